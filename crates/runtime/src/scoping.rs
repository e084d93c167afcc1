//! What a config says of scopes, as the engine takes it.

use foghorn_eval::scope::{
    DEFAULT_REPLICA_TIMEOUT_MS, DEFAULT_SCOPE_TTL_MS, ScopeRule, Scoping, SourceScope,
};
use foghorn_ingest::SourceConfig;

/// How long a silence matters to scopes, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct ScopeTimes {
    /// A replica that was not heard for so long gives way to another.
    pub replica_timeout_ms: i64,
    /// A scope that was not heard for so long is no more.
    pub scope_ttl_ms: i64,
}

impl Default for ScopeTimes {
    fn default() -> Self {
        Self {
            replica_timeout_ms: DEFAULT_REPLICA_TIMEOUT_MS,
            scope_ttl_ms: DEFAULT_SCOPE_TTL_MS,
        }
    }
}

impl ScopeTimes {
    /// With what each source sends.
    pub fn scoping(self, sources: &[SourceConfig]) -> Scoping {
        Scoping {
            sources: sources.iter().map(scope_of).collect(),
            replica_timeout_ms: self.replica_timeout_ms,
            scope_ttl_ms: self.scope_ttl_ms,
        }
    }
}

pub(crate) fn scope_of(source: &SourceConfig) -> SourceScope {
    if source.is_scoped() {
        return SourceScope::Scoped(ScopeRule {
            labels: source.scope.clone(),
            replica: source.replica.clone(),
        });
    }
    if source.format.has_series() {
        SourceScope::Plain
    } else {
        SourceScope::NoSeries
    }
}
