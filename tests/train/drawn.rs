//! Runs with dropout that are stopped and gone on with: each rank's masks are those of the run that was not.

use super::parallel::several;
use crate::devices::devices;
use std::path::Path;
use wgrad::data::{Array, DataLoader, LoaderOptions};
use wgrad::nn::{
    Ctx, Dropout, Flatten, Init, Layer, Linear, Lstm, Module, RecurrentOptions, StateDict, generators, state,
};
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::parallel::{Alone, Group, Threads};
use wgrad::train::{Checkpoints, Outcome, Trainer};
use wgrad::{Device, Result, Tensor};

/// Sequences of 6 numbers by one of two ways, both by chance.
#[derive(Module)]
struct Net {
    lstm: Option<Lstm>,
    flat: Flatten,
    linear: Linear,
    dropout: Dropout,
    head: Linear,
}

impl Layer for Net {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let inner = match &self.lstm {
            Some(lstm) => lstm.forward(x, ctx).i((.., -1)),
            None => self.dropout.forward(&self.linear.forward(&self.flat.forward(x, ctx), ctx), ctx),
        };
        self.head.forward(&inner, ctx)
    }
}

struct Asked<'a> {
    is_recurrent: bool,
    micro_batches: usize,
    folder: &'a Path,
    until: Option<u64>,
}

/// Two epochs, or up to a step, from where the folder has them.
fn run(group: impl Group + 'static, device: &Device, asked: &Asked) -> Result<StateDict> {
    let init = &mut Init::new(5, device);
    let options = RecurrentOptions { layers: 2, dropout: 0.3, ..RecurrentOptions::default() };
    let lstm = asked.is_recurrent.then(|| Lstm::with(1, 8, options, init));
    // What only the other way draws from is another generator.
    let other = &mut Init::new(6, device);
    let (linear, dropout) = (Linear::new(6, 8, init), Dropout::new(0.3, if asked.is_recurrent { other } else { init }));
    let model = Net { lstm, flat: Flatten::new(), linear, dropout, head: Linear::new(8, 2, init) };
    let item = |i: usize| {
        let x: Vec<f32> = (0..6).map(|at| ((i * 6 + at) as f32 * 0.7).sin()).collect();
        (Array::new(x, [6, 1]), (i % 2) as i32)
    };
    // The last batch has 3 items, which two ranks cut into other numbers of parts.
    let options = LoaderOptions { batch_size: 8, shuffle: Some(3), ..LoaderOptions::default() };
    let loader = DataLoader::new((0..35).map(item).collect::<Vec<_>>(), options)?;
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.2, ..SgdOptions::default() })?;
    let step = |[x, labels]: [&Tensor; 2], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).cross_entropy(labels)));
    let mut trainer = Trainer::new(device, &model, sgd, step)
        .epochs(2)
        .micro_batches(asked.micro_batches)
        .parallel(group)
        .checkpoints(Checkpoints::in_folder(asked.folder).every_steps(1).resume());
    if let Some(until) = asked.until {
        trainer = trainer.max_steps(until);
    }
    trainer.fit(&loader, None)?;
    drop(trainer);
    state(&model)
}

#[test]
fn a_recurrent_layer_tells_what_it_draws_from_and_is_resumed() {
    for (name, device) in devices() {
        let init = &mut Init::new(5, &device);
        let options = RecurrentOptions { layers: 2, dropout: 0.3, ..RecurrentOptions::default() };
        assert_eq!(generators(&Lstm::with(1, 8, options, init)).len(), 1);
        assert_eq!(generators(&Lstm::new(1, 8, init)).len(), 0, "one without dropout draws nothing");
        let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let part = |folder: &Path, until| {
            let asked = Asked { is_recurrent: true, micro_batches: 1, folder, until };
            run(Alone, &device, &asked).expect("it learns")
        };
        let want = part(whole.path(), None);
        part(parts.path(), Some(4));
        assert!(part(parts.path(), None) == want, "on {name}");
    }
}

#[test]
fn ranks_that_drew_less_than_the_first_go_on_where_they_were() {
    for (name, device) in devices() {
        for is_recurrent in [false, true] {
            let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
            let part = |folder: &Path, until| {
                let asked = Asked { is_recurrent, micro_batches: 2, folder, until };
                let all = Threads::run(&several(&device, 2), |group, device| run(group, device, &asked));
                all.expect("they learn").swap_remove(0)
            };
            let want = part(whole.path(), None);
            // Behind the first epoch's last batch.
            part(parts.path(), Some(6));
            assert!(part(parts.path(), None) == want, "on {name}, recurrent: {is_recurrent}");
        }
    }
}
