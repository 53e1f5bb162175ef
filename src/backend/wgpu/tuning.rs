//! Which variant of a kernel runs where several fit: by a table, or by measuring.

use super::Wgpu;
use crate::backend::edge::{self, Instant};
use crate::backend::{Backend, Purpose, checked};
use crate::error::{Error, Result};
use crate::kernel::{Access, Binding, Dispatch, Info, Variant};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The choice of a kernel's variant where several fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tuning {
    /// By a table: each variant says what it is made for.
    #[default]
    Table,
    /// By what was chosen before, and by measuring where nothing was: at most six variants, at the first kernel of each
    /// shape class. A variant whose result differs from that of the table's choice is never taken. A browser, which cannot
    /// wait for a result, measures nothing.
    Measured(Choices),
    /// By what was chosen before, and by the table where nothing was: the same choices give the same bits.
    Frozen(Choices),
}

/// Variants by shape class, for one adapter, driver and version of this crate. Printed and parsed, one line a choice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choices {
    machine: String,
    of: BTreeMap<String, String>,
}

/// The most variants that are measured for one shape class.
const MAX_CANDIDATES: usize = 6;

/// Timed runs of each variant, after one that builds its shaders.
const RUNS: usize = 3;

impl Choices {
    /// None yet, for this adapter.
    pub fn new(info: &Info) -> Choices {
        Choices { machine: machine(info), of: BTreeMap::new() }
    }

    /// The number of choices.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Each shape class with the variant chosen for it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of.iter().map(|(class, variant)| (class.as_str(), variant.as_str()))
    }

    /// A file's name for the choices of this adapter, driver and version.
    pub fn file_name(info: &Info) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let name: String = machine(info).chars().map(safe).collect();
        name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-") + ".txt"
    }

    /// Whether they were made on this adapter, by this driver and version.
    pub fn is_for(&self, info: &Info) -> bool {
        self.machine == machine(info)
    }
}

/// The machine that choices depend on, beside the kernel.
fn machine(info: &Info) -> String {
    format!("wgrad {} on {}, {}, {}", env!("CARGO_PKG_VERSION"), info.name, info.api, info.driver)
}

/// Dispatches that one choice serves: the same kernel with bindings and work of about the same size.
fn class(dispatch: &Dispatch) -> String {
    let size = |n: u64| n.max(1).ilog2().to_string();
    // Of f32 and i32 there is no word, of other types their names.
    let word = |b: &Binding| if b.dtype.bytes() == 4 { String::new() } else { b.dtype.to_string() };
    let bindings = dispatch.bindings.iter().map(|b| size(b.numel() as u64) + &word(b));
    let work = size((dispatch.kernel.cost)(dispatch).flops);
    let sizes: Vec<String> = bindings.chain([work]).collect();
    format!("{} {}", dispatch.kernel.name, sizes.join(" "))
}

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        self.of.iter().try_for_each(|(class, variant)| writeln!(f, "{class}: {variant}"))
    }
}

impl FromStr for Choices {
    type Err = Error;

    fn from_str(text: &str) -> Result<Choices> {
        let mut lines = text.lines();
        let machine = lines.next().unwrap_or_default().to_string();
        let parse = |line: &str| {
            let parts = line.rsplit_once(": ").map(|(class, variant)| (class.to_string(), variant.to_string()));
            parts.ok_or_else(|| Error::Option(format!("choices of variants: `{line}` is not `kernel sizes: variant`")))
        };
        Ok(Choices { machine, of: lines.map(parse).collect::<Result<_>>()? })
    }
}

impl Wgpu {
    /// The variant that tuning says, if it fits.
    pub(super) fn tuned(&self, dispatch: &Dispatch, table: &'static Variant) -> Result<&'static Variant> {
        let fitting = || dispatch.kernel.variants.iter().filter(|v| (v.fits)(&self.info, dispatch));
        if self.tuning == Tuning::Table || fitting().nth(1).is_none() {
            return Ok(table);
        }
        let class = class(dispatch);
        if let Some(name) = self.choices_locked().of.get(&class) {
            return Ok(fitting().find(|v| v.name == name).unwrap_or(table));
        }
        if matches!(self.tuning, Tuning::Frozen(_)) || !edge::CAN_WAIT {
            return Ok(table);
        }
        let others = fitting().filter(|v| !std::ptr::eq(*v, table)).take(MAX_CANDIDATES - 1);
        let best = self.fastest(dispatch, table, others)?;
        self.choices_locked().of.insert(class, best.name.into());
        Ok(best)
    }

    /// The fastest of the variants whose results agree with the table's choice, run on copies of what is written.
    fn fastest(
        &self,
        dispatch: &Dispatch,
        table: &'static Variant,
        others: impl Iterator<Item = &'static Variant>,
    ) -> Result<&'static Variant> {
        let mut trial = dispatch.clone();
        let written = |at: &usize| dispatch.kernel.access[*at] != Access::Read;
        let places: Vec<usize> = (0..dispatch.bindings.len()).filter(written).collect();
        let before: Vec<Vec<u32>> =
            places.iter().map(|at| self.content(&dispatch.bindings[*at])).collect::<Result<_>>()?;
        for at in &places {
            let bytes = dispatch.bindings[*at].bytes;
            let buffer = self.alloc(bytes, Purpose::Result)?;
            trial.bindings[*at] = Binding { buffer, offset: 0, ..dispatch.bindings[*at] };
        }
        let measure = |variant: &'static Variant| -> Result<(Vec<Vec<u32>>, Duration)> {
            for (at, words) in places.iter().zip(&before) {
                self.write(trial.bindings[*at].buffer, 0, bytemuck::cast_slice(words));
            }
            self.run(&trial, variant)?;
            let results = places.iter().map(|at| self.content(&trial.bindings[*at])).collect::<Result<_>>()?;
            let mut best = Duration::MAX;
            for _ in 0..RUNS {
                let start = Instant::now();
                self.run(&trial, variant)?;
                // The read waits for the run.
                self.read(trial.bindings[places[0]].buffer, 0, 4).wait()?;
                best = best.min(start.elapsed());
            }
            Ok((results, best))
        };
        let freed = || places.iter().for_each(|at| self.free(trial.bindings[*at].buffer));
        let (want, time) = measure(table).inspect_err(|_| freed())?;
        let mut best = (table, time);
        for variant in others {
            // One that does not run is none to choose.
            let Ok((got, time)) = measure(variant) else { continue };
            let agrees = |(i, at): (usize, &usize)| {
                let place = (*at, dispatch.bindings[*at].dtype);
                let of_largest = table.of_largest.max(variant.of_largest);
                checked::compare(dispatch, place, &got[i], &want[i], (of_largest, 1.0)).is_ok()
            };
            if time < best.1 && places.iter().enumerate().all(agrees) {
                best = (variant, time);
            }
        }
        freed();
        Ok(best.0)
    }

    fn content(&self, binding: &Binding) -> Result<Vec<u32>> {
        self.read(binding.buffer, binding.offset, binding.word_bytes()).wait()
    }
}
