//! Questions that no rule asks.

use std::sync::Arc;

use foghorn_eval::catalog::GroupIndex;
use foghorn_eval::columns::TickReader;
use foghorn_eval::promql::{EvalError, Value};
use foghorn_eval::shard::Shard;
use foghorn_model::Timestamp;
use foghorn_rules::plan::Expr;

use super::Core;

impl Core {
    /// Evaluates an expression over a group's leaves as of `at`, over what the group's tick `tick`
    /// sees. No rule notices.
    ///
    /// # Errors
    /// The expression has no result.
    pub fn ask(
        &mut self,
        group: GroupIndex,
        expr: &Expr,
        tick: Timestamp,
        at: Timestamp,
        shards: &mut [&mut Shard],
    ) -> Result<Value, EvalError> {
        let catalog = Arc::clone(&self.catalog);
        let columns = &mut self.groups[group].columns;
        columns.begin();
        let mut reader = TickReader::new(columns, &mut self.recorded, shards, tick, at);
        self.evaluator
            .evaluate(catalog.group(group), expr, at, &mut reader)
    }
}
