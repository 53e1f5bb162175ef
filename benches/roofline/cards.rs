//! Cards by their published figures.

use wgrad::kernel::{Class, Info};

/// A card that a step's time is foretold for.
pub struct Card {
    pub name: &'static str,
    /// How the name of an adapter ends that is this card, or goes on with a bracket.
    pub adapter: &'static str,
    /// Bytes a second.
    pub bytes: f64,
    /// Operations in f32 a second, a multiply-add being two.
    pub flops: f64,
    /// Multiprocessors, compute units or cores.
    pub units: u64,
    /// Invocations of a subgroup, where all have this size.
    pub subgroup: Option<u32>,
    /// Seconds from the end of one pass to the start of one that waits for it.
    pub pass: f64,
    /// Where the figures come from.
    pub source: &'static str,
}

/// Those of the table.
pub const CARDS: [Card; 4] = [
    Card {
        name: "RTX 4090",
        adapter: "RTX 4090",
        bytes: 1008e9,
        flops: 82.6e12,
        units: 128,
        subgroup: Some(32),
        pass: 3e-6,
        source: "NVIDIA's data sheet",
    },
    Card {
        name: "H200",
        adapter: "H200",
        bytes: 4800e9,
        flops: 67e12,
        units: 132,
        subgroup: Some(32),
        pass: 3e-6,
        source: "NVIDIA's data sheet of the SXM form, without tensor cores",
    },
    Card {
        name: "RX 7900 XTX",
        adapter: "7900 XTX",
        bytes: 960e9,
        flops: 61.4e12,
        units: 96,
        subgroup: None,
        pass: 4e-6,
        source: "AMD's data sheet; two operations of a kind at once are counted",
    },
    Card {
        name: "M3 Max",
        adapter: "M3 Max",
        bytes: 400e9,
        flops: 14.1e12,
        units: 40,
        subgroup: None,
        pass: 5e-6,
        source: "Apple's bandwidth; operations are 40 cores x 128 lanes x 2 x 1.38 GHz, since Apple tells none",
    },
];

/// An adapter as wgpu would describe it, by what choosing a variant depends on.
pub fn info(subgroup: Option<u32>) -> Info {
    Info {
        name: "a card that is not here".into(),
        api: "vulkan".into(),
        driver: "none".into(),
        class: Class::Gpu,
        subgroup,
        max_binding_bytes: (2 << 30) - 4,
        max_groups: 65_535,
        max_threads: 1024,
        max_shared_bytes: 32 << 10,
        shader_f16: false,
        cooperative: None,
    }
}
