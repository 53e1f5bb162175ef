//! A step of training as its plan has it: kernels in order, and between them what goes to the other ranks and comes back.

use super::trained::{Batch, Training};
use std::sync::Arc;
use wgrad::kernel::{Access, BufferId, Cost, Dispatch};
use wgrad::nn::{Ctx, Layer};
use wgrad::parallel::{DataParallel, Group};
use wgrad::plan::{Captured, Plan};
use wgrad::{Device, Result, Tensor};

/// A group on paper: this rank alone, which is told that it has others like itself.
pub struct Paper(pub usize);

impl Group for Paper {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        self.0
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![own.to_vec(); self.0])
    }

    fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
        values.iter_mut().for_each(|value| *value *= self.0 as f32);
        Ok(())
    }

    fn broadcast(&self, _root: usize, own: Vec<u8>) -> Result<Vec<u8>> {
        Ok(own)
    }
}

/// What happens in a step.
#[derive(Clone)]
pub enum Event {
    Kernel(Work),
    /// Bytes leave, by the number of their bucket.
    Give(usize),
    /// Here the device waits for them.
    Take(usize),
}

/// A kernel.
#[derive(Clone)]
pub struct Work {
    /// The parameter that it works for.
    pub label: Option<Arc<str>>,
    pub cost: Cost,
    /// Seconds, where it was timed.
    pub seconds: f64,
}

/// A step.
#[derive(Clone)]
pub struct Step {
    pub events: Vec<Event>,
    /// The bytes of each bucket in f32.
    pub buckets: Vec<f64>,
}

impl Step {
    /// Of a plan whose seams are exchanges.
    fn of(plan: &Plan) -> Step {
        let (mut events, mut buckets, mut names) = (Vec::new(), Vec::new(), Vec::<BufferId>::new());
        for dispatch in plan.dispatches() {
            if !is_exchange(dispatch) {
                let (label, cost) = (dispatch.label.clone(), (dispatch.kernel.cost)(dispatch));
                events.push(Event::Kernel(Work { label, cost, seconds: 0.0 }));
                continue;
            }
            let buffer = dispatch.bindings[0].buffer;
            if dispatch.kernel.access[0] == Access::Read {
                events.push(Event::Give(names.len()));
                names.push(buffer);
                buckets.push(4.0 * dispatch.len(0) as f64);
            } else {
                let bucket = names.iter().rposition(|name| *name == buffer);
                events.push(Event::Take(bucket.expect("what is taken was given before")));
            }
        }
        Step { events, buckets }
    }

    /// With the seconds that each of its kernels took.
    pub fn timed(mut self, seconds: &[f64]) -> Step {
        assert_eq!(seconds.len(), self.kernels().count(), "a time for each kernel of the plan");
        self.kernels_mut().zip(seconds).for_each(|(work, seconds)| work.seconds = *seconds);
        self
    }

    pub fn kernels(&self) -> impl Iterator<Item = &Work> {
        self.events.iter().filter_map(|event| if let Event::Kernel(work) = event { Some(work) } else { None })
    }

    pub fn kernels_mut(&mut self) -> impl Iterator<Item = &mut Work> {
        self.events.iter_mut().filter_map(|event| if let Event::Kernel(work) = event { Some(work) } else { None })
    }

    /// Of all kernels.
    pub fn seconds(&self) -> f64 {
        self.kernels().map(|work| work.seconds).sum()
    }

    /// Of all kernels together.
    pub fn cost(&self) -> Cost {
        self.kernels().fold(Cost::default(), |sum, work| Cost {
            flops: sum.flops + work.cost.flops,
            bytes: sum.bytes + work.cost.bytes,
        })
    }

    /// Of the kernels behind the last exchange: the optimizer's.
    pub fn update(&self) -> f64 {
        let last = self.events.iter().rposition(|event| matches!(event, Event::Take(_))).map_or(0, |at| at + 1);
        Step { events: self.events[last..].to_vec(), buckets: Vec::new() }.seconds()
    }

    /// When each bucket leaves, as a part of the kernels' time.
    pub fn ready(&self) -> Vec<f64> {
        let (mut now, mut ready) = (0.0, Vec::new());
        for event in &self.events {
            match event {
                Event::Kernel(work) => now += work.seconds,
                Event::Give(_) => ready.push(now / self.seconds()),
                Event::Take(_) => {}
            }
        }
        ready
    }
}

/// Whether it is a place where the host works: the only such in these steps are exchanges.
fn is_exchange(dispatch: &Dispatch) -> bool {
    dispatch.kernel.name == "host"
}

/// A step that is captured, and what it takes.
pub struct Recorded {
    pub step: Step,
    pub captured: Captured<Tensor>,
    batch: [Tensor; 2],
    // Its exchanges go on as long as this is there.
    _parallel: DataParallel,
    _training: Training,
}

impl Recorded {
    pub fn of(training: Training, batch: Batch, group: impl Group + 'static, device: &Device) -> Result<Recorded> {
        let Training { model, mut optimizer, batches } = training;
        let parallel = DataParallel::new(&model, group)?;
        let captured = device.capture([&batch[0], &batch[1]], |[x, target]| {
            let loss = model.forward(x, &Ctx::train()).cross_entropy(target);
            optimizer.step(&parallel.backward(&loss)?);
            Ok(loss)
        })?;
        let (step, training) = (Step::of(captured.plan()), Training { model, optimizer, batches });
        Ok(Recorded { step, captured, batch, _parallel: parallel, _training: training })
    }

    /// Runs it once, to its end.
    pub fn run(&self) -> Result<f32> {
        self.captured.run([&self.batch[0], &self.batch[1]])?.item()
    }
}
