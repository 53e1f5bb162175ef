//! Ranks that share a batch come to the weights of one process that has all of it: the workloads of `benches/step`.
//!
//! `WGRAD_STEPS=500 cargo test --test library same_as_one` takes so many steps of each.

use super::parallel::{apart, several};
use crate::devices::devices;
use crate::workload::Workload;
use std::path::Path;
use wgrad::nn::{StateDict, state};
use wgrad::parallel::{Alone, DataParallel, Group, Threads};
use wgrad::plan::Replay;
use wgrad::{Device, Result, Tensor};

/// A workload with less of its batches, and how far the weights may come apart by rounding, beside the largest of a tensor.
struct Case {
    workload: Workload,
    /// Items of a batch, and how much of each is read, where it is tokens.
    items: usize,
    /// Other numbers of items, for when rounding takes an input of a relu over its edge: seldom, and not with every batch.
    or: &'static [usize],
    tokens: Option<usize>,
    steps: usize,
    most: f32,
}

/// The weights after so many steps of this rank's part of each batch.
fn taught(case: &Case, group: impl Group + 'static, device: &Device) -> Result<StateDict> {
    let mnist = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/mnist"));
    let mut training = case.workload.start(mnist, device)?;
    let (rank, part) = (group.rank(), case.items / group.size());
    let parallel = DataParallel::new(&training.model, group)?.bucket_bytes(256 << 10);
    let ctx = parallel.synced();
    let cut = |tensor: &Tensor| tensor.narrow(0, rank * part, part).copy();
    let mut step = Replay::new();
    for at in 0..case.steps {
        let (mut x, mut target) = training.batches[at % training.batches.len()].to(device);
        if let Some(tokens) = case.tokens {
            target = target.reshape([x.size(0), x.size(1)]).narrow(1, 0, tokens);
            x = x.narrow(1, 0, tokens);
        }
        let [x, target] = [cut(&x), cut(&target).flatten(0)];
        step.run([&x, &target], |[x, target]| {
            let loss = training.model.forward(x, &ctx).cross_entropy(target);
            training.optimizer.step(&parallel.backward(&loss)?);
            Ok(loss)
        })?;
    }
    state(&training.model)
}

fn same(mut case: Case) {
    if let Ok(text) = std::env::var("WGRAD_STEPS") {
        let steps = text.parse().expect("a number of steps");
        // Rounding adds up.
        (case.most, case.steps) = (case.most * (steps as f32 / case.steps as f32).max(1.0), steps);
    }
    for (name, device) in devices() {
        let mut sizes = [&[case.items], case.or].concat().into_iter();
        let is_near = sizes.by_ref().any(|items| is_same(&Case { items, ..case }, name, &device));
        assert!(is_near, "{:?} on {name}: several ranks are not as one", case.workload);
    }
}

/// Whether several ranks come as near to one as they should, each time to the same bits.
fn is_same(case: &Case, name: &str, device: &Device) -> bool {
    let what = format!("{:?} of {} items on {name}", case.workload, case.items);
    let alone = taught(case, Alone, device).expect("it learns");
    let start = taught(&Case { steps: 0, ..*case }, Alone, device).expect("it is made");
    let moved = apart(&alone, &start);
    [2, 4].into_iter().all(|ranks| {
        let run = || Threads::run(&several(device, ranks), |group, device| taught(case, group, device));
        let all = run().expect("they learn");
        assert!(all.iter().all(|other| *other == all[0]), "{what}: {ranks} ranks came to differ");
        let far = apart(&all[0], &alone);
        println!("{what}: {ranks} ranks are {far} from one, which has moved {moved}");
        assert!(moved > 100.0 * case.most, "{what}: it has moved {moved}");
        assert!(run().expect("they learn") == all, "{what}: {ranks} ranks come to other bits the second time");
        far < case.most
    })
}

#[test]
fn ranks_of_w1_with_parts_of_a_batch_are_the_same_as_one() {
    same(Case { workload: Workload::W1, items: 64, or: &[], tokens: None, steps: 50, most: 1e-4 });
}

#[test]
fn ranks_of_w5_with_parts_of_a_batch_are_the_same_as_one() {
    // Of a million inputs of its relus, rounding takes some over their edge in a few steps, and each step after multiplies that.
    same(Case { workload: Workload::W5, items: 8, or: &[16, 4, 12], tokens: None, steps: 2, most: 1e-4 });
}

#[test]
fn ranks_of_w8_with_parts_of_a_batch_are_the_same_as_one() {
    // The bias of keys has no gradient but for rounding, of which Adam makes whole steps.
    same(Case { workload: Workload::W8, items: 4, or: &[], tokens: Some(16), steps: 8, most: 1e-3 });
}
