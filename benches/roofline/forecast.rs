//! What a step's passes would take if bytes, operations and starts were all that counts.

use super::cards::Card;
use std::collections::BTreeMap;
use wgrad::kernel::{Cost, Dispatch, Info, Slot, Variant};

/// Of the peak, where a kernel has no loop of multiply-adds: another instruction is one operation and not two.
const OTHER: f64 = 0.5;

/// The share of multiply-adds in the hot loop of a kernel's variant, by the page that a GPU's compiler wrote.
pub struct Shares(BTreeMap<(String, String), f64>);

impl Shares {
    /// From the text of docs/gpu.md: of f32 on the third chip, the mean over a variant's entry points that have such a loop.
    pub fn of(page: &str) -> Shares {
        let mut all: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
        for line in page.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [kernel, variant, _, shape, _, _, _, _, share, ..] = cells[..] else { continue };
            let last = share.rsplit('/').next().unwrap_or_default().trim();
            if let Some(Ok(percent)) = last.strip_suffix('%').map(str::parse::<f64>)
                && !shape.ends_with("f16")
            {
                let key = (kernel.to_string(), variant.trim_end_matches('*').to_string());
                all.entry(key).or_default().push(percent / 100.0);
            }
        }
        let mean = |found: Vec<f64>| found.iter().sum::<f64>() / found.len() as f64;
        Shares(all.into_iter().map(|(key, found)| (key, mean(found))).collect())
    }

    fn get(&self, kernel: &str, variant: &str) -> f64 {
        self.0.get(&(kernel.to_string(), variant.to_string())).copied().unwrap_or(OTHER)
    }
}

/// A kernel of a step, lowered for a kind of adapter.
pub struct Work {
    pub kernel: &'static str,
    share: f64,
    /// With the scratch memory of its passes.
    cost: Cost,
    passes: u64,
    /// Of the pass that has most.
    groups: u64,
}

impl Work {
    /// # Panics
    /// If no variant fits.
    pub fn of(dispatch: &Dispatch, info: &Info, shares: &Shares) -> Work {
        let kernel = dispatch.kernel;
        let fits = |v: &&Variant| (v.fits)(info, dispatch);
        let suited = kernel.variants.iter().find(|v| fits(v) && (v.suits)(info, dispatch));
        let variant = suited.or_else(|| kernel.variants.iter().find(fits));
        let variant = variant.unwrap_or_else(|| panic!("{}: no variant fits", kernel.name));
        let lowering = variant.lowered(info, dispatch);
        let scratch = lowering.passes.iter().flat_map(|pass| &pass.slots).map(|slot| match slot {
            Slot::Arg(_) => 0,
            Slot::Scratch(at) => lowering.scratch[*at],
        });
        let Cost { flops, bytes } = (kernel.cost)(dispatch);
        Work {
            kernel: kernel.name,
            share: shares.get(kernel.name, variant.name),
            cost: Cost { flops, bytes: bytes + scratch.sum::<u64>() },
            passes: lowering.passes.len() as u64,
            groups: lowering.passes.iter().map(|pass| pass.groups).max().unwrap_or(1).max(1),
        }
    }
}

/// Seconds of a step, by what bounds its kernels.
#[derive(Default)]
pub struct Forecast {
    /// Of starts of passes.
    pub starts: f64,
    /// Of kernels that wait for memory.
    pub bytes: f64,
    /// Of kernels that compute.
    pub flops: f64,
    /// Of those two, what would not be if every kernel had workgroups for all units.
    pub idle: f64,
    pub passes: u64,
    pub cost: Cost,
    by_kernel: BTreeMap<&'static str, f64>,
}

impl Forecast {
    pub fn of(step: &[Work], card: &Card) -> Forecast {
        let mut all = Forecast::default();
        for work in step {
            // The last round of workgroups is seldom whole, and few workgroups leave units idle.
            let rounds = work.groups.div_ceil(card.units) * card.units;
            let busy = work.groups as f64 / rounds as f64;
            let reach = (work.groups as f64 / card.units as f64).min(1.0);
            let flops = work.cost.flops as f64 / (card.flops * work.share * busy);
            let bytes = work.cost.bytes as f64 / (card.bytes * reach);
            if flops > bytes {
                all.flops += flops;
            } else {
                all.bytes += bytes;
            }
            all.idle += flops.max(bytes) - (flops * busy).max(bytes * reach);
            let starts = work.passes as f64 * card.pass;
            all.starts += starts;
            all.passes += work.passes;
            all.cost.flops += work.cost.flops;
            all.cost.bytes += work.cost.bytes;
            *all.by_kernel.entry(work.kernel).or_default() += starts + flops.max(bytes);
        }
        all
    }

    pub fn seconds(&self) -> f64 {
        self.starts + self.bytes + self.flops
    }

    /// The kernels that take most, with their part of the step.
    pub fn longest(&self, count: usize) -> Vec<(&'static str, f64)> {
        let mut all: Vec<_> = self.by_kernel.iter().map(|(name, seconds)| (*name, seconds / self.seconds())).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(count);
        all
    }
}
