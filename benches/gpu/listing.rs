//! What a listing of machine code tells: its loops, and what their instructions are.

use crate::radv::Answer;
use std::ops::RangeInclusive;

/// The figures of one pipeline on one chip.
pub struct Figures {
    pub registers: u64,
    pub spilled: u64,
    pub shared: u64,
    pub waves: u64,
    /// Of the vector instructions of the hottest loop, where it has some.
    pub multiply_adds: Option<f64>,
    /// Those that do two of f16 at once, likewise.
    pub packed: Option<f64>,
    /// Bytes of an instruction that loads, and of one that stores.
    pub load: Option<f64>,
    pub store: Option<f64>,
    pub divisions: usize,
}

/// Instructions up to the next label.
#[derive(Default)]
struct Block<'a> {
    label: &'a str,
    /// (operation, operands).
    code: Vec<(&'a str, &'a str)>,
}

/// How many instructions of a kind there are.
#[derive(Default, Clone, Copy)]
struct Counts {
    multiply_adds: usize,
    packed: usize,
    other_vector: usize,
    loads: usize,
    load_bytes: usize,
    stores: usize,
    store_bytes: usize,
}

/// Fewer multiply-adds than this in a loop are address arithmetic.
const FEW: usize = 16;

impl Figures {
    pub fn of(answer: &Answer) -> Figures {
        let statistic = |name: &str| answer.statistics.iter().find(|(n, _)| n == name).map_or(0, |(_, value)| *value);
        let blocks = blocks(&answer.listing);
        let loops = loops(&blocks);
        let contains = |outer: &RangeInclusive<usize>, inner: &RangeInclusive<usize>| {
            outer != inner && outer.contains(inner.start()) && outer.contains(inner.end())
        };
        let innermost = loops.iter().filter(|l| !loops.iter().any(|other| contains(l, other)));
        let hottest = innermost.max_by_key(|l| {
            let counts = Counts::of(&blocks[(*l).clone()]);
            (counts.multiply_adds, counts.other_vector)
        });
        let whole = Counts::of(&blocks);
        let inside = hottest.map_or(whole, |l| Counts::of(&blocks[l.clone()]));
        // The loop around it holds it too.
        let around = hottest.and_then(|l| loops.iter().filter(|o| contains(o, l)).min_by_key(|o| o.end() - o.start()));
        let with_around = around.map_or(inside, |l| Counts::of(&blocks[l.clone()]));
        let is_product = hottest.is_some() && inside.multiply_adds >= FEW;
        let vector = with_around.multiply_adds + with_around.other_vector;
        let mean = |bytes: usize, count: usize| (count > 0).then(|| bytes as f64 / count as f64);
        let loads = if inside.loads > 0 { inside } else { whole };
        let stores = if inside.stores > 0 { inside } else { whole };
        Figures {
            registers: statistic("VGPRs"),
            spilled: statistic("Spilled VGPRs"),
            shared: statistic("LDS size"),
            waves: statistic("Subgroups per SIMD"),
            multiply_adds: is_product.then(|| with_around.multiply_adds as f64 / vector as f64),
            packed: (is_product && with_around.packed > 0).then(|| with_around.packed as f64 / vector as f64),
            load: mean(loads.load_bytes, loads.loads),
            store: mean(stores.store_bytes, stores.stores),
            divisions: divisions(&blocks),
        }
    }
}

fn blocks(listing: &str) -> Vec<Block<'_>> {
    let mut all: Vec<Block> = vec![Block::default()];
    for line in listing.lines() {
        if let Some(label) = line.strip_suffix(':').filter(|label| label.starts_with("BB")) {
            all.push(Block { label, code: Vec::new() });
        } else if line.starts_with(char::is_whitespace) {
            let text = line.split(';').next().unwrap_or_default().trim();
            let (operation, operands) = text.split_once(' ').unwrap_or((text, ""));
            all.last_mut().expect("there is one from the start").code.push((operation, operands));
        }
    }
    all
}

/// The ranges of blocks that a branch backwards repeats.
fn loops(blocks: &[Block]) -> Vec<RangeInclusive<usize>> {
    let mut found: Vec<RangeInclusive<usize>> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        for (operation, operands) in &block.code {
            if !operation.starts_with("s_branch") && !operation.starts_with("s_cbranch") {
                continue;
            }
            let target = blocks[..=at].iter().position(|other| other.label == operands.trim());
            let Some(start) = target else { continue };
            match found.iter_mut().find(|l| *l.start() == start) {
                // Several ways back to one head are one loop.
                Some(same) => *same = start..=at.max(*same.end()),
                None => found.push(start..=at),
            }
        }
    }
    found
}

impl Counts {
    fn of(blocks: &[Block]) -> Counts {
        let mut counts = Counts::default();
        for (operation, operands) in blocks.iter().flat_map(|block| &block.code) {
            counts.add(operation);
            // The second half of an instruction that does two things.
            if let Some((_, second)) = operands.split_once(":: ") {
                counts.add(second.split(' ').next().unwrap_or_default());
            }
        }
        counts
    }

    fn add(&mut self, operation: &str) {
        let name = operation.trim_start_matches("v_dual_").trim_start_matches("v_pk_").trim_start_matches("v_");
        let is_vector = operation.starts_with("v_");
        let is_memory = ["buffer_", "global_", "flat_"].iter().any(|prefix| operation.starts_with(prefix));
        if is_vector && ["fma", "mac_f", "mad_f"].iter().any(|kind| name.starts_with(kind)) {
            self.multiply_adds += 1;
            self.packed += usize::from(operation.starts_with("v_pk_fma_f16"));
        } else if is_vector {
            self.other_vector += 1;
        } else if is_memory && operation.contains("load") {
            self.loads += 1;
            self.load_bytes += bytes(operation);
        } else if is_memory && operation.contains("store") {
            self.stores += 1;
            self.store_bytes += bytes(operation);
        }
    }
}

/// What an instruction of memory moves for each invocation.
fn bytes(operation: &str) -> usize {
    let widths = [("x4", 16), ("b128", 16), ("x3", 12), ("b96", 12), ("x2", 8), ("b64", 8), ("byte", 1), ("u8", 1)];
    widths.iter().find(|(ending, _)| operation.ends_with(ending)).map_or(4, |(_, bytes)| *bytes)
}

/// An integer division whose dividend each invocation has for itself takes a reciprocal and the upper half of a product.
fn divisions(blocks: &[Block]) -> usize {
    let count = |prefix: &str| {
        blocks.iter().flat_map(|block| &block.code).filter(|(operation, _)| operation.starts_with(prefix)).count()
    };
    count("v_rcp_").min(count("v_mul_hi_"))
}
