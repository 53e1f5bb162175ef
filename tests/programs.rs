//! Random programs: the same on both backends, eager and replayed.
//!
//! `WGRAD_PROGRAMS=COUNT` runs so many, `WGRAD_SEED=N` starts at that seed. A program that fails is shrunk and printed as
//! a test.

#[path = "programs/draw.rs"]
mod draw;
#[path = "programs/found.rs"]
mod found;
#[path = "programs/judge.rs"]
mod judge;
#[path = "programs/layers.rs"]
mod layers;
#[path = "programs/moves.rs"]
mod moves;
#[path = "programs/op.rs"]
mod op;
#[path = "programs/program.rs"]
mod program;
#[path = "programs/shrink.rs"]
mod shrink;
#[path = "programs/update.rs"]
mod update;

use crate::devices::{has_gpu, say};
use crate::{cases, devices};
use judge::{Bench, Fault, Seen, Way};
use op::{ALONG, CASES, ONES, Op, POSITIVE, REDUCTIONS, TWOS};
use program::Program;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use wgrad::Device;

/// Each test with its name.
pub const TESTS: &[(&str, fn())] = &[
    ("programs_agree", programs_agree),
    ("every_operation_is_drawn", every_operation_is_drawn),
    ("a_fault_is_shrunk_to_what_it_needs", a_fault_is_shrunk_to_what_it_needs),
    ("what_lies_behind_a_view", found::what_lies_behind_a_view),
    ("inputs_that_are_returned", found::inputs_that_are_returned),
    ("gradients_that_are_one_repeated_number", found::gradients_that_are_one_repeated_number),
    ("views_of_nothing", found::views_of_nothing),
    ("numbers_that_are_none", found::numbers_that_are_none),
    ("numbers_that_are_none_and_their_gradients", found::numbers_that_are_none_and_their_gradients),
    ("weights_that_are_held", found::weights_that_are_held),
];

/// How many a test run has.
const COUNT: u64 = 2_000;

/// A run ends after so many failures.
const MOST_FAILURES: usize = 20;

/// A worker takes so many at a time.
const BLOCK: u64 = 50;

/// A device is replaced by a new one after so many blocks.
const RENEWED: u64 = 20;

/// How the GPU runs a program: a long run goes through all variants of kernels.
fn way(seed: u64) -> Way {
    let turn = seed / (5 * BLOCK);
    let mut names: Vec<&str> =
        cases::kernels().flat_map(|kernel| kernel.variants).map(|variant| variant.name).collect();
    names.sort_unstable();
    names.dedup();
    match turn % 8 {
        _ if seed < COUNT => Way::Suited,
        0..4 => Way::Suited,
        4 => Way::Browser,
        5 => Way::Checked,
        _ => Way::Variant(names[turn as usize / 4 % names.len()]),
    }
}

fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a whole number"))
}

/// What all programs together had.
#[derive(Default)]
struct Tally {
    failures: Vec<String>,
    seen: Seen,
    steps: usize,
    operations: BTreeMap<String, usize>,
}

fn programs_agree() {
    judge::hush();
    let (count, first) = (number("WGRAD_PROGRAMS", COUNT), number("WGRAD_SEED", 0));
    let started = Instant::now();
    let (next, tally) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).clamp(1, 4);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let (mut bench, cpu) = (Bench::new(has_gpu()), Device::new_cpu());
                for done in 1.. {
                    let from = next.fetch_add(BLOCK, Ordering::Relaxed);
                    for seed in from..(from + BLOCK).min(first + count) {
                        if !is_enough(&tally) {
                            bench.go(way(seed));
                            one(seed, &mut bench, &cpu, &tally);
                        }
                    }
                    if from >= first + count || is_enough(&tally) {
                        break;
                    }
                    if done % RENEWED == 0 {
                        bench.renew();
                        say(&format!("programs: {} in {:.0} s", from - first, started.elapsed().as_secs_f32()));
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let cases = CASES.iter().filter(|case| tally.operations.contains_key(&case.name)).count();
    say(&format!(
        "programs: {count} of {} steps from seed {first}, {} operations of which {cases} are cases, in {:.0} s; {} elements \
         compared, {:.2}% of them blurred by roundings",
        tally.steps,
        tally.operations.len(),
        started.elapsed().as_secs_f32(),
        tally.seen.elements,
        100.0 * tally.seen.blurred as f32 / tally.seen.elements.max(1) as f32
    ));
    devices::say_what_is_missing();
    assert!(tally.failures.is_empty(), "{} failures:\n{}", tally.failures.len(), tally.failures.join("\n"));
}

fn is_enough(tally: &Mutex<Tally>) -> bool {
    tally.lock().unwrap_or_else(PoisonError::into_inner).failures.len() >= MOST_FAILURES
}

fn one(seed: u64, bench: &mut Bench, cpu: &Device, tally: &Mutex<Tally>) {
    let program = draw::program(seed, cpu);
    let found = bench.judge(&program);
    let failure = found.as_ref().err().map(|fault| {
        let again = bench.judge(&program).is_err();
        let mut judge = |program: &Program| bench.judge(program).err();
        let short = if again { shrink::shrunk(&program, fault, &mut judge) } else { program.clone() };
        let now = bench.judge(&short).err().map_or("not when it is run again".into(), |fault| fault.text);
        format!("WGRAD_SEED={seed} {:?}, {}: {}\n// {now}\n{short}", way(seed), fault.kind, fault.text)
    });
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = failure {
        say(&format!("FAILED {failure}"));
        tally.failures.push(failure);
    }
    if let Ok(seen) = found {
        tally.seen.elements += seen.elements;
        tally.seen.blurred += seen.blurred;
    }
    for (_, op, _) in program.steps() {
        tally.steps += 1;
        *tally.operations.entry(op.title()).or_default() += 1;
    }
}

/// Every function of the tables and most cases are in the programs of a test run, so that a new one joins by itself.
fn every_operation_is_drawn() {
    judge::hush();
    let cpu = Device::cpu();
    let mut seen = BTreeMap::new();
    for seed in 0..700 {
        draw::program(seed, &cpu).steps().for_each(|(_, op, _)| *seen.entry(op.title()).or_insert(0) += 1);
    }
    let ones = (0..ONES.len() + POSITIVE.len()).map(|at| Op::One(at).title());
    let tables = ones.chain((0..TWOS.len()).map(|at| Op::Two(at).title()));
    let tables = tables.chain(REDUCTIONS.iter().map(|(text, _)| text.to_string()));
    let tables = tables.chain(ALONG.iter().map(|(text, _)| text.to_string()));
    let missing: Vec<String> = tables.filter(|title| !seen.contains_key(title)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let cases = CASES.iter().filter(|case| seen.contains_key(&case.name)).count();
    assert!(3 * cases > CASES.len(), "{cases} of {} cases", CASES.len());
}

/// Programs with a softmax are shrunk to little more than that.
fn a_fault_is_shrunk_to_what_it_needs() {
    judge::hush();
    let cpu = Device::cpu();
    let fault = Fault { kind: "a softmax", text: String::new() };
    let is_softmax = |program: &Program| program.steps().any(|(_, op, _)| op.title() == "x.softmax(dim)");
    let programs = (0..400).map(|seed| draw::program(seed, &cpu)).filter(|program| is_softmax(program));
    for program in programs.take(12) {
        let short = shrink::shrunk(&program, &fault, &mut |program| is_softmax(program).then(|| fault.clone()));
        assert!(short.steps().count() <= 2 && short.items.len() <= 4, "{short}");
    }
}
