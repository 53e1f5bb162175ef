//! The exchanges of the crate themselves, where kernels and links take as long as they are told: they sleep, so that it matters little
//! what else a machine does.

use super::model;
use super::step::{Paper, Recorded};
use super::trained::{Batch, Training};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use wgrad::kernel::{Access, Call, Kernel};
use wgrad::nn::{Ctx, Layer, Module, Parameter};
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::parallel::{Alone, Group, Threads};
use wgrad::{DType, Device, Error, Result, Tensor};

/// Milliseconds of a layer forward; backward takes twice as long.
const LAYER: u32 = 20;
const LAYERS: usize = 6;
/// Values of a layer's parameter, which are a bucket.
const VALUES: usize = 1 << 20;
/// Runs of which the shortest counts.
const RUNS: usize = 5;

static SLEEP: Kernel = Kernel::new("sleep", &[Access::Read, Access::Write], slept, |d| d.cost(d.len(0) as u64));

fn slept(call: &mut Call) {
    sleep(Duration::from_millis(u64::from(call.params::<u32>())));
    let x = call.read::<f32>(0).to_vec();
    call.write::<f32>(1)[..x.len()].copy_from_slice(&x);
}

/// `x`, after so many milliseconds, and its gradient after twice as many.
fn slow(x: &Tensor, ms: u32) -> Tensor {
    let run = |x: &Tensor, ms: u32| {
        let y = Tensor::empty(x.shape(), DType::F32, x.device());
        Tensor::run(&SLEEP, &[&x.contiguous(), &y], &ms);
        y
    };
    run(x, ms).tracked("slow", &[x], move |dy, _| vec![Some(run(dy, 2 * ms))])
}

#[derive(Module)]
struct Slow {
    layers: Vec<Parameter>,
}

impl Layer for Slow {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.layers.iter().fold(x.clone(), |x, layer| slow(&x, LAYER).add(&ctx.param(layer).mean()))
    }
}

fn start(device: &Device) -> Result<(Training, Batch)> {
    let layer = |_| Parameter::new(Tensor::zeros([VALUES], device));
    let model = Slow { layers: (0..LAYERS).map(layer).collect() };
    let optimizer = Box::new(Sgd::new(&model, SgdOptions::default())?);
    let training = Training { model: Box::new(model), optimizer, batches: Vec::new() };
    Ok((training, [Tensor::ones([8, 10], device), Tensor::from_slice(&[0i32; 8], [8], device)]))
}

/// Ranks whose sums take a link's time.
struct Paced(Threads, Pace);

/// Seconds of an exchange, and bytes a second of what each rank sends.
#[derive(Clone, Copy)]
struct Pace {
    latency: f64,
    bytes: f64,
}

impl Pace {
    fn of(self, ranks: usize, bytes: f64) -> f64 {
        self.latency + 2.0 * (ranks as f64 - 1.0) / ranks as f64 * bytes / self.bytes
    }
}

impl Group for Paced {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.0.all_gather(own)
    }

    fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
        let (begun, due) = (Instant::now(), self.1.of(self.size(), 4.0 * values.len() as f64));
        self.0.all_reduce(values)?;
        sleep(Duration::from_secs_f64(due).saturating_sub(begun.elapsed()));
        Ok(())
    }
}

/// A step of so many ranks: the seconds of one bucket's exchange, of the step by the model, and as it was.
pub struct Row {
    pub ranks: f64,
    pub exchange: f64,
    pub said: f64,
    pub took: f64,
}

/// What [`print`] prints in a process of its own, which has a thread for every kernel that sleeps.
pub fn rows() -> Result<Vec<Row>> {
    let failed = |text: String| Error::Group(format!("the rehearsal: {text}"));
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let output = Command::new(own).arg("--rehearse").env("RAYON_NUM_THREADS", "16").output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let row = |line: &str| -> Option<Row> {
        let mut numbers = line.split(' ').map_while(|text| text.parse::<f64>().ok());
        let [ranks, exchange, said, took] = [(); 4].map(|()| numbers.next());
        Some(Row { ranks: ranks?, exchange: exchange?, said: said?, took: took? })
    };
    let rows: Option<Vec<Row>> = text.lines().map(row).collect();
    let is_whole = |rows: &Vec<Row>| output.status.success() && !rows.is_empty();
    rows.filter(is_whole).ok_or_else(|| failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// One rank, and several on three links.
pub fn print() -> Result<()> {
    let device = Device::new_cpu();
    let of = |group: Box<dyn Group>| {
        let (training, batch) = start(&device)?;
        Recorded::of(training, batch, group, &device)
    };
    let alone = of(Box::new(Alone))?;
    let mut one = f64::INFINITY;
    for _ in 0..RUNS {
        one = one.min(timed(&alone)?);
    }
    let paper = of(Box::new(Paper(2)))?;
    let mut least = vec![f64::INFINITY; paper.step.kernels().count()];
    for _ in 0..RUNS {
        let (ran, profile) = device.profile(|| paper.run())?;
        ran?;
        least.iter_mut().zip(&profile.spans).for_each(|(least, span)| *least = least.min(span.ns as f64 / 1e9));
    }
    let step = paper.step.timed(&least);
    println!("1 0 {} {one}", model::step(&step, &[0.0; LAYERS], None, 0.0));
    for ranks in [2, 4] {
        // Hidden but for the last, as long as backward of a layer, and longer.
        for bytes in [400e6, 120e6, 60e6] {
            let pace = Pace { latency: 0.005, bytes };
            let devices: Vec<Device> = (0..ranks).map(|_| Device::new_cpu()).collect();
            let took = Threads::run(&devices, |group, device| {
                let (training, batch) = start(device)?;
                let recorded = Recorded::of(training, batch, Paced(group.clone(), pace), device)?;
                let mut least = f64::INFINITY;
                for _ in 0..RUNS {
                    group.barrier()?;
                    least = least.min(timed(&recorded)?);
                }
                Ok(least)
            })?;
            let exchanges: Vec<f64> = step.buckets.iter().map(|bytes| pace.of(ranks, *bytes)).collect();
            let said = model::step(&step, &exchanges, None, 0.0);
            println!("{ranks} {} {said} {}", exchanges[0], took[0]);
        }
    }
    Ok(())
}

fn timed(recorded: &Recorded) -> Result<f64> {
    let start = Instant::now();
    recorded.run()?;
    Ok(start.elapsed().as_secs_f64())
}
