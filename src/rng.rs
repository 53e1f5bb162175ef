//! The one random generator: counter-based, so that any element of any stream can be drawn alone, anywhere.
//!
//! Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//! The key is the seed; the counter is (element, step low, step high, stream). `shaders/prelude.wgsl` holds the
//! same function for the device.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The hash of nothing: FNV-1a (Fowler, Noll, Vo).
pub(crate) const NO_HASH: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash with a byte or a word more.
pub(crate) fn hashed(hash: u64, more: impl Into<u64>) -> u64 {
    (hash ^ more.into()).wrapping_mul(0x0100_0000_01b3)
}

/// One block of four random words.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let left = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let right = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (right >> 32) as u32 ^ counter[1] ^ key[0],
            right as u32,
            (left >> 32) as u32 ^ counter[3] ^ key[1],
            left as u32,
        ];
    }
    counter
}

/// Uniform numbers of whole blocks from `first` on, as many as there is room for: what [`philox`] gives for the counters
/// (block, rest) goes through [`unit`]. Many blocks go side by side, in loops that are compiled for a processor's vectors.
#[inline(always)]
pub(crate) fn units(to: &mut [f32], first: u32, rest: [u32; 3], key: [u32; 2]) {
    for (at, to) in to.chunks_mut(4 * LANES).enumerate() {
        let mut all = [0.0; 4 * LANES];
        let first = first.wrapping_add((at * LANES) as u32);
        let words = philox_lanes(first, rest, key);
        for (lane, block) in all.chunks_exact_mut(4).enumerate() {
            for (unit_at, words) in block.iter_mut().zip(&words) {
                *unit_at = unit(words[lane]);
            }
        }
        to.copy_from_slice(&all[..to.len()]);
    }
}

/// Blocks side by side.
const LANES: usize = 16;

/// The four words of each block: [`philox`], a round of all blocks at a time.
#[inline(always)]
fn philox_lanes(first: u32, rest: [u32; 3], mut key: [u32; 2]) -> [[u32; LANES]; 4] {
    let mut counters = [[0; LANES], [rest[0]; LANES], [rest[1]; LANES], [rest[2]; LANES]];
    for (lane, block) in counters[0].iter_mut().enumerate() {
        *block = first.wrapping_add(lane as u32);
    }
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let [a, b, c, d] = &mut counters;
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            let left = u64::from(MULTIPLIERS[0]) * u64::from(*a);
            let right = u64::from(MULTIPLIERS[1]) * u64::from(*c);
            *a = (right >> 32) as u32 ^ *b ^ key[0];
            *b = right as u32;
            *c = (left >> 32) as u32 ^ *d ^ key[1];
            *d = left as u32;
        }
    }
    counters
}

/// The seed as a Philox key.
pub fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// Uniform in [0, 1) with 24 bits, the same on the host and on a device.
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Refuses what is no range of uniform numbers.
#[track_caller]
pub(crate) fn check_range(low: f32, high: f32) {
    assert!(low <= high, "uniform: the lower bound, {low}, is above the upper, {high}");
    assert!((high - low).is_finite(), "uniform: {low}..{high} is wider than the largest f32");
}

/// Streams of the crate's own draws.
pub mod streams {
    /// Tensors made by `uniform` and `normal`, and initial weights.
    pub const TENSORS: u32 = 0;
    /// The order of a data loader's samples.
    pub const SHUFFLE: u32 = 1;
    /// Which part of a data set an item is dealt to.
    pub const SPLIT: u32 = 2;
    /// Batches that a function draws.
    pub const DRAWN: u32 = 3;
    /// Moments that an optimizer rounds up or down.
    pub const ROUNDING: u32 = 4;
    /// Draws of layers on the device.
    pub const LAYERS: u32 = 1 << 16;
}

/// A sequence of draws on the host: one stream of one seed.
///
/// ```
/// let mut rng = wgrad::Rng::new(7);
/// let mut again = wgrad::Rng::new(7);
/// assert_eq!(rng.uniform(), again.uniform());
/// ```
#[derive(Debug, Clone)]
pub struct Rng {
    key: [u32; 2],
    stream: u32,
    block: u64,
    words: [u32; 4],
    used: usize,
}

impl Rng {
    /// The first stream of `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng::stream(seed, streams::TENSORS)
    }

    /// A numbered stream of `seed`; streams are independent of each other.
    pub fn stream(seed: u64, stream: u32) -> Rng {
        Rng { key: key(seed), stream, block: 0, words: [0; 4], used: 4 }
    }

    /// One of many sequences: the first two words of the Philox block at (0, number low, number high, stream) under the seed
    /// are the seed of the numbered one.
    pub(crate) fn numbered(seed: u64, number: u64, stream: u32) -> Rng {
        let [low, high, ..] = philox([0, number as u32, (number >> 32) as u32, stream], key(seed));
        Rng::stream(u64::from(low) | u64::from(high) << 32, stream)
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox([self.block as u32, (self.block >> 32) as u32, 0, self.stream], self.key);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        unit(self.next_u32())
    }

    /// Uniform in [low, high). The upper bound, which rounding may meet, gives way to the number below it.
    pub fn within(&mut self, low: f32, high: f32) -> f32 {
        let drawn = low + (high - low) * self.uniform();
        if drawn < high { drawn } else { high.next_down().max(low) }
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f32 {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * f64::from(1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }

    /// Uniform in `0..bound`, without bias (Lemire, "Fast random integer generation in an interval", 2019).
    ///
    /// # Panics
    /// If `bound` is 0.
    #[track_caller]
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "below: the bound is 0");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The known answers that the authors' Random123 distribution carries for philox4x32-10.
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn blocks_side_by_side_are_those_of_one_by_one() {
        let (rest, key) = ([7, 0x8000_0001, 65_539], [0x0123_4567, 0x89AB_CDEF]);
        for (first, n) in [(0, 1), (5, 64), (u32::MAX - 3, 131)] {
            let mut all = vec![0.0; n];
            units(&mut all, first, rest, key);
            for (i, drawn) in all.iter().enumerate() {
                let words = philox([first.wrapping_add(i as u32 / 4), rest[0], rest[1], rest[2]], key);
                assert_eq!(*drawn, unit(words[i % 4]), "{i} of {n} from {first}");
            }
        }
    }

    #[test]
    fn below_is_unbiased_and_in_range() {
        let mut rng = Rng::new(1);
        let mut counts = [0; 3];
        for _ in 0..30_000 {
            counts[rng.below(3) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
    }
}
