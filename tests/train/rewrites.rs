//! What the pass over plans lets a rewrite do, whatever the rewrite says.

use wgrad::kernel::rewrite::{Change, Rewrite, View};
use wgrad::kernel::{Access, Binding, Cost, Kernel, Tolerance};
use wgrad::{DType, Device, Tensor};

use Access::{Read, ReadWrite, Write};

/// A kernel that stands for any, and what it is rewritten by.
const fn kernel(name: &'static str, access: &'static [Access], rewrites: &'static [Rewrite]) -> Kernel {
    let cost = |_: &_| Cost { flops: 0, bytes: 0 };
    Kernel::new(name, access, |_| (), cost).tolerance(Tolerance::EXACT).rewrites(rewrites)
}

/// Writes at once where its only reader would.
fn at_once(view: &View, at: usize) -> Option<Change> {
    change(view, at, |to| to)
}

/// The same, but with a binding that it makes of that place.
fn change(view: &View, at: usize, place: impl Fn(Binding) -> Binding) -> Option<Change> {
    let first = view.dispatch(at);
    let reader = view.reader(first.bindings[1].buffer)?;
    let mut by = first.clone();
    by.bindings[1] = place(*view.dispatch(reader).bindings.last()?);
    Some(Change { replace: vec![at, reader], by, picks: false })
}

static MAKES: Kernel = kernel("makes", &[Read, Write], &[Rewrite { name: "at once", apply: at_once }]);
static PASSES: Kernel = kernel("passes", &[Read, Write], &[]);
static PUTS: Kernel = kernel("puts", &[Read, ReadWrite], &[]);
static MAKES_PART: Kernel = kernel(
    "makes_part",
    &[Read, Write],
    &[Rewrite { name: "half of it", apply: |view, at| change(view, at, |to| Binding { bytes: to.bytes / 2, ..to }) }],
);
static MAKES_MORE: Kernel = kernel(
    "makes_more",
    &[Read, Write],
    &[Rewrite { name: "twice of it", apply: |view, at| change(view, at, |to| Binding { bytes: to.bytes * 2, ..to }) }],
);

/// The names of the kernels of a step, after all passes.
fn plan(device: &Device, x: &Tensor, step: impl FnOnce(&Tensor) -> Vec<Tensor>) -> Vec<&'static str> {
    let captured = device.capture(x, |x| Ok(step(x))).expect("it can be captured");
    captured.plan().dispatches().iter().map(|d| d.kernel.name).collect()
}

fn run(kernel: &'static Kernel, from: &Tensor, to: &Tensor) {
    Tensor::run(kernel, &[from, to], &0u32);
}

#[test]
fn a_rewrite_writes_what_was_written_and_no_more() {
    let device = Device::null();
    let empty = |n: usize| Tensor::empty([n], DType::F32, &device);
    for (makes, is_taken) in [(&MAKES, true), (&MAKES_PART, false), (&MAKES_MORE, false)] {
        let names = plan(&device, &empty(64), |x| {
            let (y, z) = (empty(64), empty(64));
            run(makes, x, &y);
            run(&PASSES, &y, &z);
            vec![z]
        });
        let want = if is_taken { vec![makes.name] } else { vec![makes.name, "passes"] };
        assert_eq!(names, want, "{}", makes.name);
    }
    // What is seen outside of the step has to be written, too.
    let names = plan(&device, &empty(64), |x| {
        let (y, z) = (empty(64), empty(64));
        run(&MAKES, x, &y);
        run(&PASSES, &y, &z);
        vec![z, y]
    });
    assert_eq!(names, ["makes", "passes"]);
}

/// Kernels that write all of a binding store whole vec4, so that nothing may lie behind it.
#[test]
fn a_rewrite_does_not_write_past_a_view() {
    let device = Device::null();
    let empty = |n: usize| Tensor::empty([n], DType::F32, &device);
    // Elements of the target, those of its view, whether the view may be written as a whole.
    for (n, part, start, is_taken) in
        [(3, 3, 0, true), (4, 3, 0, false), (8, 4, 0, true), (67, 67, 0, true), (68, 67, 0, false), (131, 3, 128, true)]
    {
        let target = empty(n);
        let names = plan(&device, &empty(part), |x| {
            let y = empty(part);
            run(&MAKES, x, &y);
            run(&PUTS, &y, &target.narrow(0, start, part));
            vec![]
        });
        let want: &[&str] = if is_taken { &["makes"] } else { &["makes", "puts"] };
        assert_eq!(names, want, "{part} of {n} from {start} on");
    }
    let said = super::rules::panics(|| run(&PASSES, &empty(3), &empty(4).narrow(0, 0, 3)));
    assert!(said.contains("passes: other elements lie right behind a view that is written as a whole"), "{said}");
}

#[test]
fn a_rewrite_moves_nothing_past_what_it_must_not() {
    let device = Device::null();
    let empty = |n: usize| Tensor::empty([n], DType::F32, &device);
    let (x, target) = (empty(64), empty(64));
    // What lies between reads the target before it is written: the work goes behind it.
    let names = plan(&device, &x, |x| {
        let (y, old) = (empty(64), empty(64));
        run(&MAKES, x, &y);
        run(&PASSES, &target, &old);
        run(&PUTS, &y, &target);
        vec![old]
    });
    assert_eq!(names, ["passes", "makes"]);
    // It also writes what the work reads: there is no place for it.
    let names = plan(&device, &x, |x| {
        let y = empty(64);
        run(&MAKES, x, &y);
        run(&PUTS, &target, x);
        run(&PUTS, &y, &target);
        vec![]
    });
    assert_eq!(names, ["makes", "puts", "puts"]);
    // It reads another part of the target, which is no hindrance.
    let wide = empty(128);
    let names = plan(&device, &x, |x| {
        let (y, old) = (empty(64), empty(64));
        run(&MAKES, x, &y);
        run(&PASSES, &wide.narrow(0, 64, 64), &old);
        run(&PUTS, &y, &wide.narrow(0, 0, 64));
        vec![old]
    });
    assert_eq!(names, ["makes", "passes"]);
}
