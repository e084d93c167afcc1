//! What one shard gives to a tick: rows (its series, in label order) and columns over them.

use foghorn_model::STALE_NAN;

/// Stands in a dense column where a series gives no element. No range function gives it: staleness
/// markers never enter one, and arithmetic makes only quiet NaNs.
pub(crate) const ABSENT: f64 = STALE_NAN;

/// Whether a place of a dense column is empty.
#[inline]
pub(crate) fn is_absent(value: f64) -> bool {
    foghorn_model::is_stale(value)
}

/// Rows and columns of one shard at one tick. Buffers are kept from tick to tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scanned {
    /// The slot of each row's (first) series.
    pub(crate) slots: Vec<u32>,
    /// Changes whenever the rows may be others than before.
    pub(crate) version: u64,
    /// Per dense column: a value a row, [`ABSENT`] where there is none.
    pub(crate) dense: Vec<Vec<f64>>,
    /// Per sparse column: rows that have a value, and it.
    pub(crate) sparse: Vec<Vec<(u32, f64)>>,
}

impl Scanned {
    /// Empties it for a scan of so many columns.
    pub(crate) fn clear(&mut self, dense: usize, sparse: usize) {
        self.slots.clear();
        self.dense.resize_with(dense, Vec::new);
        self.dense.iter_mut().for_each(Vec::clear);
        self.sparse.resize_with(sparse, Vec::new);
        self.sparse.iter_mut().for_each(Vec::clear);
    }

    /// A row's value in a column.
    pub(crate) fn value(&self, column: Column, row: u32) -> Option<f64> {
        match column {
            Column::Dense(at) => {
                let value = self.dense[at as usize][row as usize];
                (!is_absent(value)).then_some(value)
            }
            Column::Sparse(at) => {
                let values = &self.sparse[at as usize];
                let found = values.binary_search_by_key(&row, |(row, _)| *row);
                found.ok().map(|at| values[at].1)
            }
        }
    }

    /// Rows that have a value in a column, and it, in label order.
    pub(crate) fn values(&self, column: Column) -> impl Iterator<Item = (u32, f64)> + '_ {
        let (dense, sparse) = match column {
            Column::Dense(at) => (self.dense[at as usize].as_slice(), [].as_slice()),
            Column::Sparse(at) => ([].as_slice(), self.sparse[at as usize].as_slice()),
        };
        let dense = dense.iter().enumerate().map(|(row, v)| (row as u32, *v));
        dense
            .filter(|(_, v)| !is_absent(*v))
            .chain(sparse.iter().copied())
    }
}

/// A column of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Most rows have a value.
    Dense(u32),
    /// Few rows have one.
    Sparse(u32),
}
