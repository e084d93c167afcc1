//! `topk` and `bottomk`.

use super::cache::Projection;
use super::error::EvalError;
use super::order::{ascending_nan_last, descending_nan_last};
use crate::vector::{Element, Vector};

/// The k greatest (or least) elements of each group, best first, groups in the order in which
/// they are first met. Which of equal elements stay follows from Prometheus' own heap.
pub(super) fn select(
    groups: &mut Projection,
    top: bool,
    k: f64,
    vector: Vector,
) -> Result<Vector, EvalError> {
    if vector.is_empty() {
        return Ok(vector);
    }
    if !(i64::MIN as f64..=i64::MAX as f64).contains(&k) {
        return Err(EvalError::NoCount(k));
    }
    let k = (k as i64).clamp(0, vector.len() as i64) as usize;
    if k == 0 {
        return Ok(Vec::new());
    }
    let mut heaps: Vec<Heap> = Vec::new();
    for element in vector {
        let number = groups.number(&element.labels);
        let seat = groups.sit(number, heaps.len() as u32).unwrap_or_else(|| {
            heaps.push(Heap {
                top,
                elements: Vec::new(),
            });
            heaps.len() as u32 - 1
        });
        heaps[seat as usize].offer(element, k);
    }
    Ok(heaps.into_iter().flat_map(Heap::into_ranked).collect())
}

/// A binary heap with its worst element at the root.
struct Heap {
    top: bool,
    elements: Vector,
}

impl Heap {
    /// Takes an element in where there is room, or where it beats the worst.
    fn offer(&mut self, element: Element, k: usize) {
        if self.elements.len() < k {
            self.elements.push(element);
            self.up();
            return;
        }
        let worst = self.elements[0].value;
        let beats = if self.top {
            worst < element.value
        } else {
            worst > element.value
        };
        if beats || worst.is_nan() && !element.value.is_nan() {
            self.elements[0] = element;
            self.down();
        }
    }

    /// Whether `i` is worse than `j`; NaN is worse than everything, another NaN included.
    fn worse(&self, i: usize, j: usize) -> bool {
        let (a, b) = (self.elements[i].value, self.elements[j].value);
        a.is_nan() || if self.top { a < b } else { a > b }
    }

    fn up(&mut self) {
        let mut at = self.elements.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.worse(at, parent) {
                break;
            }
            self.elements.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self) {
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            if child >= self.elements.len() {
                return;
            }
            if child + 1 < self.elements.len() && self.worse(child + 1, child) {
                child += 1;
            }
            if !self.worse(child, at) {
                return;
            }
            self.elements.swap(at, child);
            at = child;
        }
    }

    fn into_ranked(self) -> Vector {
        let order = if self.top {
            descending_nan_last
        } else {
            ascending_nan_last
        };
        let mut elements = self.elements;
        elements.sort_by(|a, b| order(a.value, b.value));
        elements
    }
}
