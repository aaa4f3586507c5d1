//! Time as it is stored and as it is shown, and new ids.

/// Now, in microseconds since 1970, UTC.
pub(crate) fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// A stored time as the API shows it: RFC 3339, UTC, always six digits.
pub(crate) fn stamp(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        .to_string()
}

/// A new id: `UUIDv7`, so that ids made later sort later.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
