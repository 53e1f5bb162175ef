//! Every operation by its cases, random programs of them, the shaders, and the rules of the house: what needs the list of
//! all cases.
//!
//! `cargo test softmax` runs the tests whose names hold `softmax`. An operation's case is judged by differences of the
//! function, one device by another, each kernel by its definition, and every variant of every kernel in turn.

mod architecture;
#[path = "ops/cases.rs"]
mod cases;
#[path = "ops/caught.rs"]
mod caught;
mod defined;
#[expect(dead_code, reason = "a trial takes a device that waits for it")]
mod devices;
#[path = "ops/folded.rs"]
mod folded;
#[path = "ops/judge.rs"]
mod judge;
mod programs;
mod shaders;
#[path = "ops/trials.rs"]
mod trials;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let pages = [
        ("architecture", architecture::TESTS),
        ("caught", caught::TESTS),
        ("programs", programs::TESTS),
        ("shaders", shaders::TESTS),
        ("shaders", folded::TESTS),
    ];
    let named = pages.into_iter().flat_map(|(page, tests)| {
        tests.iter().map(move |&(name, test)| {
            Trial::test(format!("{page}::{name}"), move || {
                test();
                Ok(())
            })
        })
    });
    let conclusion = libtest_mimic::run(&arguments, named.chain(trials::trials()).collect());
    devices::say_what_is_missing();
    conclusion.exit();
}
