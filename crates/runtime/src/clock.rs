//! Wall time: read here and nowhere else.

use std::time::UNIX_EPOCH;

use foghorn_model::Timestamp;

/// Now, by the machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where hands read the clock that thought is handed"
)]
pub fn wall() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(since.as_millis() as i64)
}
