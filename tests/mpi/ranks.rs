//! What each rank runs.

use super::machines::ENDS;
use std::path::Path;
use std::process::{Command, exit};
use std::time::Duration;
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::metrics::Accuracy;
use wgrad::nn::{Init, Layer, Linear, Relu, Sequential};
use wgrad::optim::{Momentum, Sgd, SgdOptions};
use wgrad::parallel::{Compression, DiLoCoOptions, Group, Mpi, MpiDevice, MpiOptions};
use wgrad::train::{Callback, Checkpoints, Outcome, Run, Trainer};
use wgrad::{Device, Error, Result, checkpoint};

/// How it fails.
pub const FAULTS: [&str; 8] = ["kill", "stop", "panic", "error", "exit", "sleep", "other", "disk"];

/// So does the network, between two machines.
pub const CUT: &str = "cut";

/// The step at which the last rank fails: within an epoch.
const FAILS: u64 = 7;

/// Runs a rank of a job, and ends as a program does whose `main` gives an error.
pub fn run(mode: &str, folder: &Path) {
    let options = MpiOptions { device: MpiDevice::Cpu, ..MpiOptions::default() };
    let ended = Mpi::run(&options, |group, device| {
        if mode == "other" && group.rank() + 1 == group.size() {
            // Behind the first sum, and before the others are done.
            group.all_reduce(&mut [1.0])?;
            return mark(folder);
        }
        if mode == "other" {
            return (0..1000).try_for_each(|_| group.all_reduce(&mut [1.0]));
        }
        train(mode, folder, group, device)
    });
    if let Err(error) = ended {
        eprintln!("error: {error}");
        exit(1);
    }
}

fn mark(folder: &Path) -> Result<()> {
    let path = folder.join("failed");
    std::fs::write(&path, "").map_err(|error| Error::file_because(&path, "cannot be written", error))
}

fn train(mode: &str, folder: &Path, group: Mpi, device: &Device) -> Result<()> {
    let points = |n: i32| {
        (0..n).map(|i| {
            let (y, x) = (i as f32 * 2.4).sin_cos();
            ([x, y], i32::from(x * y > 0.0))
        })
    };
    let options = LoaderOptions { batch_size: 32, shuffle: Some(7), ..LoaderOptions::default() };
    let train = DataLoader::new(points(170).collect::<Vec<_>>(), options)?;
    // Another seed on each rank: all begin with the weights of rank 0.
    let init = &mut Init::new(3 + group.rank() as u64, device);
    let model = Sequential::new().push(Linear::new(2, 32, init)).push(Relu::new()).push(Linear::new(32, 2, init));
    let sgd = SgdOptions { lr: 0.1, momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    let sgd = if mode == "sharded" { Sgd::sharded(&model, sgd, group.clone()) } else { Sgd::new(&model, sgd) };
    let sgd = sgd?.clip_grad_norm(1.0)?;
    let (is_first, is_last) = (group.rank() == 0, group.rank() + 1 == group.size());
    let fails = FAULTS.contains(&mode) || mode == CUT;
    let fault = Fault { mode, folder, here: fails && if mode == "disk" { is_first } else { is_last } };
    let checkpoints = Checkpoints::in_folder(folder.join("run")).every_steps(2).resume_if(mode == "resume");
    let mut trainer = Trainer::new(device, &model, sgd, |[x, labels], ctx| {
        let logits = model.forward(x, ctx);
        Ok(Outcome::of(logits.cross_entropy(labels)).judged(&logits, labels))
    })
    .epochs(8)
    .metric(Accuracy::new())
    .callback(fault)
    .checkpoints(checkpoints)
    .parallel(group);
    match mode {
        "halves" => trainer = trainer.compress(Compression::F16),
        "diloco" => trainer = trainer.diloco(DiLoCoOptions { every: 3, ..DiLoCoOptions::default() }),
        _ => {}
    }
    let history = trainer.fit(&train, Some(&train))?;
    drop(trainer);
    if is_first {
        assert!(history.last("val_accuracy") > Some(0.8), "{history}");
        checkpoint::save(&model, folder.join("weights.safetensors"))?;
    }
    Ok(())
}

/// Fails.
struct Fault<'a> {
    mode: &'a str,
    folder: &'a Path,
    here: bool,
}

impl Callback for Fault<'_> {
    fn name(&self) -> &str {
        "fault"
    }

    fn step(&mut self, run: &mut Run) -> Result<()> {
        if !self.here || run.step != FAILS {
            return Ok(());
        }
        mark(self.folder)?;
        let signal = |name: &str| {
            let sent = Command::new("kill").args([name, &std::process::id().to_string()]).status();
            assert!(sent.is_ok_and(|status| status.success()), "kill {name}");
            std::thread::sleep(Duration::from_secs(60));
        };
        match self.mode {
            "kill" => signal("-KILL"),
            "stop" => signal("-STOP"),
            "panic" => panic!("by chance"),
            "exit" => exit(0),
            "disk" => {
                // There the next checkpoint is written first.
                let next = format!("run/step-{:09}.safetensors.{}.part", FAILS + 1, std::process::id());
                let linked = std::os::unix::fs::symlink("/dev/full", self.folder.join(next));
                linked.expect("it can be linked");
            }
            CUT => {
                // This end is in the namespace of its rank.
                let cut = Command::new("ip").args(["link", "set", ENDS[1], "down"]).status();
                assert!(cut.is_ok_and(|status| status.success()), "the link is cut");
            }
            "sleep" => std::thread::sleep(Duration::from_secs(60)),
            _ => return Err(Error::Data("the disk is full".into())),
        }
        Ok(())
    }
}
