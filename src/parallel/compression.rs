//! Gradients of half size on their way between ranks.

use super::Group;
use super::line::{ASKED, Averaged, same_parts, tail, told, weighed};
use crate::error::Result;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// The form in which gradients go from rank to rank. Their sums are made in f32, in the order of ranks; a sum is rounded once more
/// on its way back, so that all ranks get the same bits. What layers count (running statistics) is never compressed.
#[doc(alias("fp16_compress_hook", "bf16_compress_hook", "register_comm_hook"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are: f32.
    #[default]
    None,
    /// As f16, half the bytes: 11 bits of precision. A gradient above 65,504 becomes infinite, on all ranks, and is met as any
    /// other: a [`GradScaler`](crate::optim::GradScaler) leaves the step out, and else the loss that follows ends the run. Below
    /// 6e-8 it becomes 0.
    F16,
    /// As bf16, half the bytes: 8 bits of precision, in the range of f32.
    BF16,
}

impl Compression {
    /// What it sends, as ranks compare it.
    pub(super) fn sends(self) -> &'static str {
        match self {
            Compression::None => "gradients sent as f32",
            Compression::F16 => "gradients sent as f16",
            Compression::BF16 => "gradients sent as bf16",
        }
    }

    fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Compression::None => bytemuck::cast_slice(values).to_vec(),
            Compression::F16 => {
                let mut halves = vec![f16::ZERO; values.len()];
                halves.convert_from_f32_slice(values);
                bytemuck::cast_slice(&halves).to_vec()
            }
            Compression::BF16 => {
                let mut halves = vec![bf16::ZERO; values.len()];
                halves.convert_from_f32_slice(values);
                bytemuck::cast_slice(&halves).to_vec()
            }
        }
    }

    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Compression::None => bytemuck::pod_collect_to_vec(bytes),
            Compression::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(bytes).to_f32_vec(),
            Compression::BF16 => bytemuck::pod_collect_to_vec::<u8, bf16>(bytes).to_f32_vec(),
        }
    }

    /// The means over the group. Each rank adds up a part of all, as it would in f32, and gives it to the others. Weights go
    /// beside the values and not within: a mean lies in the range of a half where the values do.
    pub(super) fn mean(self, group: &dyn Group, values: &[f32], weight: f32, asks: [bool; ASKED]) -> Result<Averaged> {
        let (n, size) = (values.len(), group.size());
        let part = |rank: usize| rank * n / size..(rank + 1) * n / size;
        let own = tail(weight, asks);
        let parcel = |rank: usize| [bytemuck::cast_slice(&own), &self.encode(&values[part(rank)])[..]].concat();
        let parcels = group.all_to_all((0..size).map(parcel).collect())?;
        same_parts(&parcels, size_of_val(&own) + self.encode(&[0.0]).len() * part(group.rank()).len())?;
        let mut sums = vec![0.0f32; part(group.rank()).len()];
        let mut tails = [0.0f32; 1 + ASKED];
        for parcel in &parcels {
            let (tail, bytes) = parcel.split_at(size_of_val(&own));
            let tail: Vec<f32> = bytemuck::pod_collect_to_vec(tail);
            tails.iter_mut().zip(&tail).for_each(|(sum, own)| *sum += own);
            // A rank without an item counts for nothing, whatever it has computed.
            if tail[0] != 0.0 {
                sums.iter_mut().zip(self.decode(bytes)).for_each(|(sum, value)| *sum += tail[0] * value);
            }
        }
        let whole = weighed(tails[0])?;
        sums.iter_mut().for_each(|sum| *sum /= whole);
        let means = group.all_gather(&self.encode(&sums))?;
        Ok(Averaged { values: means.iter().flat_map(|bytes| self.decode(bytes)).collect(), asked: told(&tails) })
    }
}
