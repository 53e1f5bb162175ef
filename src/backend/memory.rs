//! The amount of freed memory that a backend keeps: as much as was in use at once lately.

/// Free memory that is always kept.
const FLOOR: u64 = 64 << 20;
/// Buffers that are handed out before the largest use before them is forgotten: more than a training step asks for.
const WINDOW: u64 = 1 << 15;

/// Bytes in use and free, and the largest use of late.
#[derive(Debug, Default)]
pub struct Usage {
    used: u64,
    free: u64,
    /// The largest use in this window and in the one before.
    peaks: [u64; 2],
    taken: u64,
}

impl Usage {
    /// A buffer is handed out; `is_new` tells that none that was free served.
    pub fn took(&mut self, bytes: u64, is_new: bool) {
        self.used += bytes;
        self.free -= if is_new { 0 } else { bytes };
        self.taken += 1;
        if self.taken.is_multiple_of(WINDOW) {
            self.peaks = [self.used, self.peaks[0]];
        }
        self.peaks[0] = self.peaks[0].max(self.used);
    }

    /// A buffer comes back.
    pub fn gave(&mut self, bytes: u64) {
        self.used -= bytes;
        self.free += bytes;
    }

    /// A free buffer is no more.
    pub fn dropped(&mut self, bytes: u64) {
        self.free -= bytes;
    }

    /// Whether more is free than was in use at once lately.
    pub fn is_over(&self) -> bool {
        self.free > self.peaks[0].max(self.peaks[1]).max(FLOOR)
    }
}

/// The size that `bytes` is rounded up to: a quarter of a power of two, so that at most a fifth is unused.
pub fn size_class(bytes: u64, limit: u64) -> u64 {
    let bytes = bytes.max(1).next_multiple_of(256);
    let quarter = (bytes.next_power_of_two() / 8).max(256);
    let class = bytes.next_multiple_of(quarter);
    if class <= limit { class } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for() {
        for bytes in [1, 4, 255, 256, 257, 1000, 4096, 4097, 1 << 20, (1 << 20) + 4, 100_000_000] {
            let class = size_class(bytes, 128 << 20);
            assert!(class >= bytes && class.is_multiple_of(256), "{bytes} -> {class}");
            assert!(class < 1024 || class * 4 <= bytes.next_multiple_of(256) * 5, "{bytes} -> {class}");
            assert_eq!(class, size_class(class, 128 << 20));
        }
        assert_eq!(size_class((128 << 20) - 256, 128 << 20), 128 << 20);
    }

    #[test]
    fn what_is_kept_follows_what_is_used() {
        let mut usage = Usage::default();
        usage.took(4 * FLOOR, true);
        usage.gave(4 * FLOOR);
        assert!(!usage.is_over(), "the next step may ask for all of it again");
        for _ in 0..2 * WINDOW {
            usage.took(8, true);
            usage.gave(8);
            usage.dropped(8);
        }
        assert!(usage.is_over(), "nothing has asked for so much lately");
    }
}
