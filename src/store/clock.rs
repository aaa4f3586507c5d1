//! Time as it is stored and as it is shown, and new ids.

/// Now, in microseconds since 1970, UTC.
pub(crate) fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond() + jump_us()
}

/// How far the tests have turned the clock of this data directory; a released binary has no such switch.
fn jump_us() -> i64 {
    if !cfg!(debug_assertions) {
        return 0;
    }
    std::env::var_os("WINDLASS_TEST_CLOCK")
        .and_then(|path| std::fs::read_to_string(path).ok())
        .and_then(|seconds| seconds.trim().parse::<i64>().ok())
        .map_or(0, |seconds| seconds * 1_000_000)
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
    if jump_us() == 0 {
        return uuid::Uuid::now_v7().to_string();
    }
    let now = u64::try_from(now_us()).unwrap_or(0);
    let now = uuid::Timestamp::from_unix(uuid::NoContext, now / 1_000_000, 0);
    uuid::Uuid::new_v7(now).to_string()
}
