//! Compensated sums and means, as Prometheus forms them.
//!
//! Kahan summation in Neumaier's variant: the bits depend on the order of the addends, so callers
//! add in label (or time) order, and always from scratch.

/// One step of the compensated sum: the new sum and compensation.
pub(crate) fn kahan_step(addend: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + addend;
    let compensation = if total.is_infinite() {
        0.0
    } else if sum.abs() >= addend.abs() {
        compensation + ((sum - total) + addend)
    } else {
        compensation + ((addend - total) + sum)
    };
    (total, compensation)
}

/// A compensated sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KahanSum {
    sum: f64,
    compensation: f64,
}

impl KahanSum {
    /// A sum that so far holds one value.
    pub(crate) fn of(value: f64) -> Self {
        Self {
            sum: value,
            compensation: 0.0,
        }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        (self.sum, self.compensation) = kahan_step(value, self.sum, self.compensation);
    }

    /// The sum, compensation included.
    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.compensation
        }
    }
}

/// A compensated mean: sum over count for as long as the sum stays finite, an incremental mean
/// from where it would overflow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KahanMean {
    count: f64,
    sum: f64,
    mean: f64,
    compensation: f64,
    incremental: bool,
}

impl KahanMean {
    /// The mean of one value.
    pub(crate) fn of(value: f64) -> Self {
        Self {
            count: 1.0,
            sum: value,
            mean: 0.0,
            compensation: 0.0,
            incremental: false,
        }
    }

    /// Takes in a value.
    pub(crate) fn add(&mut self, value: f64) {
        let before = self.count;
        self.count += 1.0;
        if !self.incremental {
            let (sum, compensation) = kahan_step(value, self.sum, self.compensation);
            if !sum.is_infinite() {
                (self.sum, self.compensation) = (sum, compensation);
                return;
            }
            self.incremental = true;
            self.mean = self.sum / before;
            self.compensation /= before;
        }
        let share = before / self.count;
        (self.mean, self.compensation) = kahan_step(
            value / self.count,
            share * self.mean,
            share * self.compensation,
        );
    }

    /// The mean of all values so far.
    pub(crate) fn value(self) -> f64 {
        if self.incremental {
            self.mean + self.compensation
        } else {
            self.sum / self.count + self.compensation / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = KahanSum::default();
        for value in values {
            sum.add(*value);
        }
        sum.total()
    }

    fn mean(values: &[f64]) -> f64 {
        let mut mean = KahanMean::of(values[0]);
        for value in &values[1..] {
            mean.add(*value);
        }
        mean.value()
    }

    #[test]
    fn small_addends_survive_large_ones() {
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
    }

    #[test]
    fn means_do_not_overflow() {
        assert_eq!(mean(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(mean(&[f64::INFINITY, 1.0]), f64::INFINITY);
    }
}
