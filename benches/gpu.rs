//! What a GPU's own compiler makes of every kernel and variant, without the GPU: Mesa's RADV compiles for AMD chips on a
//! machine that has none.
//!
//!     cargo bench --bench gpu > docs/gpu.md        # the table as a page
//!     cargo bench --bench gpu -- matmul conv       # kernels whose names hold one of these words
//!
//! Shapes are those of the bench of operations; a kernel or a variant that none of them runs is lowered for the largest
//! case of `tests/ops` that it fits. The driver comes with Debian's mesa-vulkan-drivers, `vulkan.h` with libvulkan-dev.

#[expect(dead_code, unused_imports, reason = "only the judges need results and tolerances")]
#[path = "../tests/ops/cases.rs"]
mod cases;
#[path = "../tests/defined.rs"]
mod defined;
#[path = "ops/list.rs"]
mod list;
#[path = "gpu/listing.rs"]
mod listing;
#[path = "gpu/radv.rs"]
mod radv;

use listing::Figures;
use radv::{CHIPS, Chip, Radv};
use std::collections::BTreeMap;
use std::fmt::Write;
use wgrad::kernel::{Dispatch, Kernel, Pass, Variant};
use wgrad::{DType, Device};

const HEAD: &str = "\
# What a GPU's compiler makes of the kernels

The output of `cargo bench --bench gpu > docs/gpu.md`: every kernel and variant for GPUs, compiled by Mesa's RADV for
AMD's vega10, navi21 and gfx1100 as the engine has it compiled (naga's SPIR-V, unchecked, shared memory not zeroed).
Three values are of the three chips in that order; one value is of all.

* VGPRs: vector registers of an invocation. Spilled: those that did not fit. LDS: bytes that a workgroup shares. Waves:
  subgroups that a SIMD can hold.
* Multiply-adds: their share of the vector instructions of the loop that has the most of them and of what the loop
  around it, if there is one, adds to a turn: a bound, from issue alone, on the part of the peak that can be reached.
* Packed: the share of those that multiply and add two pairs of f16 at once, in a time in which others do one.
* Load, store: bytes that an instruction reads from or writes to memory, the mean over the hottest loop or, where no
  loop does, over all of the kernel; edges that are read one by one are counted as often as the rest.
* Divisions: integer divisions that are made for each invocation.
* A `*` marks what is chosen at that shape where nothing is forced.
* Where a chosen kernel reads and writes f16 or bf16 as they are, it stands again with that type behind its shape.
";

/// One pipeline that a variant runs.
struct Row {
    kernel: &'static str,
    variant: &'static str,
    is_chosen: bool,
    shape: String,
    pass: Pass,
}

/// A dispatch and the operation it comes from.
struct Example {
    dispatch: Dispatch,
    shape: String,
    /// Whether it is of the size of real work.
    is_real: bool,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let radv = match Radv::find() {
        Ok(radv) => radv,
        Err(missing) => {
            println!("The kernels cannot be compiled for GPUs here: {missing}.");
            return;
        }
    };
    let is_asked = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let examples = examples();
    let mut rows: BTreeMap<&'static str, Vec<[Option<Row>; CHIPS.len()]>> = BTreeMap::new();
    for kernel in cases::kernels().filter(|kernel| is_asked(kernel.name)) {
        rows.insert(kernel.name, rows_of(kernel, &examples));
    }
    let compiled = compiled(&radv, rows.values().flatten());
    let mut text = format!("{HEAD}\n{}", table_head());
    for row in rows.values().flatten() {
        text += &line(row, &compiled);
    }
    print!("{text}");
}

/// What operations and cases run.
fn examples() -> Vec<Example> {
    let mut all = Vec::new();
    for op in list::all() {
        let device = Device::null();
        let mut run = (op.start)(&device).unwrap_or_else(|error| panic!("{}: {error}", op.name));
        let plan = device.record(&mut run).1;
        let shape = format!("{} {}", op.name, op.shape);
        let real =
            plan.dispatches().iter().map(|d| Example { dispatch: d.clone(), shape: shape.clone(), is_real: true });
        all.extend(real);
    }
    for case in cases::all() {
        let small = |dispatch| Example { dispatch, shape: case.name.clone(), is_real: false };
        all.extend(case.dispatches().into_iter().map(small));
    }
    all
}

/// A row for each pipeline of the kernel: those of real work that are chosen, and one example of every other variant.
fn rows_of(kernel: &'static Kernel, examples: &[Example]) -> Vec<[Option<Row>; CHIPS.len()]> {
    let of_kernel: Vec<&Example> = examples.iter().filter(|e| std::ptr::eq(e.dispatch.kernel, kernel)).collect();
    let mut found: Vec<(String, [Option<Row>; CHIPS.len()])> = Vec::new();
    for variant in kernel.variants {
        for (at, chip) in CHIPS.iter().enumerate() {
            let fits = |dispatch: &Dispatch| (variant.fits)(&chip.info(), dispatch);
            // Some variants are of halves alone.
            let shown = |dispatch: &Dispatch| {
                let half = halved(dispatch, DType::F16);
                if fits(dispatch) { Some(dispatch.clone()) } else { fits(&half).then_some(half) }
            };
            let fitting = of_kernel.iter().filter(|e| shown(&e.dispatch).is_some());
            let (chosen, others): (Vec<&Example>, Vec<&Example>) = fitting.partition(|e| {
                e.is_real && shown(&e.dispatch).is_some_and(|dispatch| is_chosen(variant, chip, &dispatch))
            });
            // Where it is never chosen for real work: the largest, real work before cases.
            let largest = others.into_iter().max_by_key(|e| (e.is_real, e.dispatch.bytes()));
            let shown = if chosen.is_empty() { largest.into_iter().collect() } else { chosen };
            for (example, half) in
                shown.iter().flat_map(|e| [None, Some(DType::F16), Some(DType::BF16)].map(|h| (e, h)))
            {
                let dispatch = half.map_or_else(|| example.dispatch.clone(), |half| halved(&example.dispatch, half));
                if !fits(&dispatch) {
                    continue;
                }
                let is_chosen = is_chosen(variant, chip, &dispatch);
                let passes = match half {
                    Some(_) if !fits(&example.dispatch) => variant.lowered(&chip.info(), &dispatch).passes,
                    None => variant.lowered(&chip.info(), &dispatch).passes,
                    Some(_) if is_chosen => of_halves(variant, chip, &example.dispatch, &dispatch),
                    Some(_) => Vec::new(),
                };
                for pass in passes {
                    let key = format!("{} {}", variant.name, key(&pass));
                    let place = found.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                        found.push((key, Default::default()));
                        found.len() - 1
                    });
                    let shape = half.map_or(example.shape.clone(), |half| format!("{}, {half}", example.shape));
                    found[place].1[at].get_or_insert(Row {
                        kernel: kernel.name,
                        variant: variant.name,
                        is_chosen,
                        shape,
                        pass,
                    });
                }
            }
        }
    }
    found.into_iter().map(|(_, row)| row).collect()
}

/// The same with floats of half size in the place of f32, but for a bias, which a pass in mixed precision leaves as it is.
fn halved(dispatch: &Dispatch, half: DType) -> Dispatch {
    let mut dispatch = dispatch.clone();
    let bias =
        dispatch.kernel.name.starts_with("linear").then_some(2).filter(|_| dispatch.kernel.name != "linear_weight");
    for (at, binding) in dispatch.bindings.iter_mut().enumerate() {
        if binding.dtype != DType::F32 || Some(at) == bias {
            continue;
        }
        (binding.bytes, binding.dtype) = (half.bytes() as u64 * binding.numel() as u64, half);
    }
    dispatch
}

/// The variant's passes on floats of half size, but for those that convert around it and those that are as of f32.
fn of_halves(variant: &Variant, chip: &Chip, whole: &Dispatch, halved: &Dispatch) -> Vec<Pass> {
    let of_whole = variant.lowered(&chip.info(), whole).passes;
    let mut passes = variant.lowered(&chip.info(), halved).passes;
    passes.retain(|pass| {
        let is_own = of_whole.iter().any(|other| (other.shader.name, other.entry) == (pass.shader.name, pass.entry));
        is_own && !of_whole.iter().any(|other| key(other) == key(pass))
    });
    passes
}

/// Whether the variant runs where nothing is forced.
fn is_chosen(variant: &Variant, chip: &Chip, dispatch: &Dispatch) -> bool {
    let info = chip.info();
    let fits = |v: &&Variant| (v.fits)(&info, dispatch);
    let suiting = dispatch.kernel.variants.iter().filter(fits).find(|v| (v.suits)(&info, dispatch));
    suiting.is_some_and(|chosen| chosen.name == variant.name)
}

/// What tells pipelines apart.
fn key(pass: &Pass) -> String {
    format!("{} {} {:?}", pass.shader.name, pass.entry, pass.constants)
}

type Compiled = BTreeMap<(usize, String), Figures>;

/// Compiles every pipeline once for each chip.
fn compiled<'a>(radv: &Radv, rows: impl Iterator<Item = &'a [Option<Row>; CHIPS.len()]> + Clone) -> Compiled {
    let mut all = Compiled::new();
    for (at, chip) in CHIPS.iter().enumerate() {
        let mut passes: BTreeMap<String, &Pass> = BTreeMap::new();
        for row in rows.clone().filter_map(|row| row[at].as_ref()) {
            passes.insert(key(&row.pass), &row.pass);
        }
        let ordered: Vec<&Pass> = passes.values().copied().collect();
        let answers = radv.compile(chip, &ordered);
        all.extend(passes.into_keys().zip(answers).map(|(key, answer)| ((at, key), Figures::of(&answer))));
    }
    all
}

fn table_head() -> String {
    let columns = [
        "kernel",
        "variant",
        "entry point",
        "shape",
        "VGPRs",
        "spilled",
        "LDS",
        "waves",
        "multiply-adds",
        "packed",
        "load",
        "store",
        "divisions",
    ];
    format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

/// One line of the table.
fn line(row: &[Option<Row>; CHIPS.len()], compiled: &Compiled) -> String {
    let first = row.iter().flatten().next().expect("a row of at least one chip");
    let figures: Vec<Option<&Figures>> = row
        .iter()
        .enumerate()
        .map(|(at, row)| row.as_ref().and_then(|row| compiled.get(&(at, key(&row.pass)))))
        .collect();
    let each = |figure: fn(&Figures) -> String| {
        let all: Vec<String> = figures.iter().map(|f| f.map_or("-".into(), figure)).collect();
        if all.iter().all(|one| *one == all[0]) { all[0].clone() } else { all.join(" / ") }
    };
    let mut set = String::new();
    for (name, value) in &first.pass.constants {
        use wgrad::kernel::Constant::{Alias, Bool, Element, Enable, Function, Single, U32};
        // Writing to a string cannot fail.
        let _ = match value {
            Bool(true) => write!(set, " {name}"),
            U32(n) if *n > 0 => write!(set, " {name}={n}"),
            // What a function of it says, the kernel's name does.
            Bool(false) | U32(_) | Alias(_) | Function(_) | Element(_) | Single | Enable => Ok(()),
        };
    }
    let mark = if row.iter().flatten().any(|row| row.is_chosen) { "*" } else { "" };
    let cells = [
        first.kernel.to_string(),
        format!("{}{mark}", first.variant),
        format!("{}{set}", first.pass.entry),
        first.shape.replace('|', ","),
        each(|f| f.registers.to_string()),
        each(|f| f.spilled.to_string()),
        each(|f| f.shared.to_string()),
        each(|f| f.waves.to_string()),
        each(|f| f.multiply_adds.map_or("-".into(), |share| format!("{:.1}%", 100.0 * share))),
        each(|f| f.packed.map_or("-".into(), |share| format!("{:.1}%", 100.0 * share))),
        each(|f| f.load.map_or("-".into(), |bytes| format!("{bytes:.0}"))),
        each(|f| f.store.map_or("-".into(), |bytes| format!("{bytes:.0}"))),
        each(|f| f.divisions.to_string()),
    ];
    format!("| {} |\n", cells.join(" | "))
}
