//! What programs of chance draw from, so that they can be repeated: `WINDLASS_SEED` sets the seed, and each prints its own.

use std::time::SystemTime;

/// A stream of numbers that a seed repeats (splitmix64).
pub(crate) struct Lot(u64);

impl Lot {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.draw().is_multiple_of(2)
    }
}

/// A variable that is a number.
pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// As set, else by the clock.
pub(crate) fn seed() -> u64 {
    let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    number("WINDLASS_SEED").unwrap_or(clock.as_nanos() as u64)
}
