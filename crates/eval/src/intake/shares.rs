//! How many of an intake's numbers are each source's, where some source has a bound of its own.

/// A number that is nobody's.
const NOBODY: u16 = u16::MAX;

/// See the module's text. Without bounds nothing is kept.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Per source: most numbers.
    most: Vec<Option<usize>>,
    /// Per source: numbers in use.
    live: Vec<usize>,
    /// Per number: its source.
    sources: Vec<u16>,
}

impl Shares {
    /// From here on; to be called before the first number is given.
    pub(super) fn bound(&mut self, most: Vec<Option<usize>>) {
        if most.iter().any(Option::is_some) {
            self.live = vec![0; most.len()];
            self.most = most;
        }
    }

    /// Whether a source may have one more.
    pub(super) fn has_room(&self, source: u16) -> bool {
        let most = self.most.get(source as usize).copied().flatten();
        most.is_none_or(|most| self.live[source as usize] < most)
    }

    /// A number is given to a source.
    pub(super) fn give(&mut self, number: u32, source: u16) {
        let Some(live) = self.live.get_mut(source as usize) else {
            return;
        };
        *live += 1;
        let at = number as usize;
        if self.sources.len() <= at {
            self.sources.resize(at + 1, NOBODY);
        }
        self.sources[at] = source;
    }

    /// A number is taken back.
    pub(super) fn free(&mut self, number: u32) {
        let Some(source) = self.sources.get_mut(number as usize) else {
            return;
        };
        let source = std::mem::replace(source, NOBODY);
        if let Some(live) = self.live.get_mut(source as usize) {
            *live -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_bound() {
        let mut shares = Shares::default();
        shares.bound(vec![Some(1), None]);
        shares.give(0, 0);
        shares.give(1, 1);
        assert_eq!([0, 1].map(|source| shares.has_room(source)), [false, true]);
        shares.free(1);
        assert!(!shares.has_room(0));
        shares.free(0);
        shares.free(0);
        assert!(shares.has_room(0));
        shares.give(0, 1);
        assert!(shares.has_room(0));
    }
}
