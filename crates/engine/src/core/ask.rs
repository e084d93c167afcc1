//! Questions that no rule asks.

use std::sync::Arc;

use foghorn_eval::catalog::GroupIndex;
use foghorn_eval::columns::TickReader;
use foghorn_eval::promql::{EvalError, Value};
use foghorn_eval::shard::Shard;
use foghorn_model::{Labels, Timestamp};
use foghorn_rules::plan::Expr;

use super::Core;

impl Core {
    /// Evaluates an expression over a group's leaves as of `at`, over what the group's tick `tick`
    /// sees outside of all scopes. No rule notices.
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
        let Some(scope) = self.scopes.get_mut(&Labels::empty()) else {
            return Ok(Value::Vector(Vec::new()));
        };
        let columns = &mut self.groups[group].plain.columns;
        columns.begin();
        let mut reader = TickReader::new(columns, &mut scope.recorded, shards, tick, at);
        let group = catalog.group(group);
        scope.evaluator.evaluate(group, expr, at, &mut reader)
    }
}
