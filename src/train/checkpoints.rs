//! The checkpoints of a run in a folder, and how a run goes on from them.

use super::callback::Saved;
use super::history::{Figures, History, Record};
use super::task::Trained;
use crate::checkpoint::{self, Notes, float, join, number};
use crate::error::{Error, Result};
use crate::nn::{self, StateDict, Strictness, load_state, state};
use crate::optim::schedule::Better;
use crate::parallel::DataParallel;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of a run's checkpoints, and their times. One is written after every epoch, and when the run ends or is stopped. Weights
/// that are no finite numbers are not written: the run ends, and the checkpoint before stays the last.
///
/// ```no_run
/// # use std::time::Duration;
/// # use wgrad::train::Checkpoints;
/// // Also every ten minutes; the last three are kept, and the one whose validation was best.
/// let checkpoints = Checkpoints::in_folder("runs/mnist").every(Duration::from_secs(600)).keep(3).best("val_accuracy");
/// ```
#[doc(alias = "ModelCheckpoint")]
#[derive(Debug, Clone)]
pub struct Checkpoints {
    pub(super) folder: PathBuf,
    pub(super) every_steps: Option<u64>,
    pub(super) every: Option<Duration>,
    pub(super) keep: usize,
    pub(super) best: Option<String>,
    pub(super) better: Option<Better>,
    pub(super) resume: bool,
}

impl Checkpoints {
    /// In a folder, which is made where there is none. A folder with a run in it is refused, unless that is
    /// [resumed](Checkpoints::resume).
    pub fn in_folder(folder: impl Into<PathBuf>) -> Checkpoints {
        let folder = folder.into();
        Checkpoints { folder, every_steps: None, every: None, keep: 2, best: None, better: None, resume: false }
    }

    /// After so many steps too.
    #[must_use]
    pub fn every_steps(self, steps: u64) -> Checkpoints {
        Checkpoints { every_steps: Some(steps.max(1)), ..self }
    }

    /// After so much time too.
    #[must_use]
    pub fn every(self, time: Duration) -> Checkpoints {
        Checkpoints { every: Some(time), ..self }
    }

    /// The number of the last ones that are kept, at least 1; by default 2.
    #[must_use]
    pub fn keep(self, count: usize) -> Checkpoints {
        Checkpoints { keep: count.max(1), ..self }
    }

    /// Also keeps the weights of the epoch whose figure is best, in `best.safetensors`: see
    /// [`Run::better`](super::Run::better).
    #[must_use]
    pub fn best(self, figure: &str) -> Checkpoints {
        Checkpoints { best: Some(figure.to_string()), ..self }
    }

    /// Which of two values of [that figure](Checkpoints::best) is better, where its name does not say so.
    #[must_use]
    pub fn by(self, better: Better) -> Checkpoints {
        Checkpoints { better: Some(better), ..self }
    }

    /// Goes on from the last whole checkpoint in the folder; where there is none, begins. Metrics may be others than they were: within
    /// an epoch what is new is told of the batches since. A run that a callback has ended, such as
    /// [`EarlyStopping`](super::EarlyStopping), stays ended, with more epochs too: see
    /// [`Callback::stays_ended`](super::Callback::stays_ended). What else ends a run does so for once: a
    /// [`Stop`](super::Stop), a time, a number of steps.
    #[must_use]
    pub fn resume(self) -> Checkpoints {
        self.resume_if(true)
    }

    /// The same where a flag says so.
    #[must_use]
    pub fn resume_if(self, resume: bool) -> Checkpoints {
        Checkpoints { resume, ..self }
    }
}

/// The form of these files, to be raised where an older crate could not read them.
const FORM: u64 = 1;
/// The name of the text that holds all that is no tensor.
const NOTE: &str = "wgrad.run";

/// The place that a run has come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Place {
    pub epoch: usize,
    /// Batches of this epoch that are done.
    pub batch: usize,
    pub step: u64,
    /// Seconds of this epoch's training so far.
    pub seconds: f64,
    /// Steps of the schedule.
    pub schedule: Option<u64>,
    /// The rates of each schedule that something else has changed.
    pub rates: Vec<Option<Vec<f64>>>,
    /// The state of a plateau: the best figure, bad epochs in a row, epochs left of a cooldown.
    pub plateau: Option<(Option<f64>, u64, u64)>,
    /// The best figure that was kept.
    pub best: Option<f64>,
    /// The callback that has ended the run, and why.
    pub ended: Option<(String, String)>,
    /// The names of the metrics and of the means whose sums are saved, in their order.
    pub metrics: Option<Vec<String>>,
    pub means: Option<Vec<String>>,
    /// The fingerprint of the data.
    pub data: String,
    pub history: History,
}

/// A folder that this run alone writes to.
#[derive(Debug)]
pub(super) struct Folder {
    pub options: Checkpoints,
    _lock: File,
}

impl Folder {
    pub fn open(options: Checkpoints) -> Result<Folder> {
        let folder = &options.folder;
        fs::create_dir_all(folder).map_err(|error| Error::file_because(folder, "cannot be made", error))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|error| Error::file_because(&path, "cannot be written", error))?;
        if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
            return Err(Error::file(folder, "another run writes its checkpoints here: choose another folder"));
        }
        let found = Folder { options, _lock: lock };
        let (resume, all) = (found.options.resume, found.all()?);
        if let (false, Some(last)) = (resume, all.last()) {
            let last = last.file_name().unwrap_or_default().to_string_lossy();
            let text = format!("a run is there already, up to {last}: resume it, or choose another folder");
            return Err(Error::file(&found.options.folder, text));
        }
        Ok(found)
    }

    /// The checkpoints by their steps.
    fn all(&self) -> Result<Vec<PathBuf>> {
        let folder = &self.options.folder;
        let entries = fs::read_dir(folder).map_err(|error| Error::file_because(folder, "cannot be read", error))?;
        let mut found: Vec<(u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let step = name.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()?;
                Some((step, entry.path()))
            })
            .collect();
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    pub fn path_of(&self, step: u64) -> PathBuf {
        self.options.folder.join(format!("step-{step:09}.safetensors"))
    }

    /// Writes a checkpoint whole or not at all, and removes those that are too many.
    pub fn save(&self, place: &Place, mut values: StateDict, callbacks: &[(String, Saved)]) -> Result<PathBuf> {
        let path = self.path_of(place.step);
        for (name, saved) in callbacks {
            values.extend(join([(&*format!("callback.{name}"), saved.values.clone())]));
        }
        checkpoint::write_with_notes(&values, &Notes::from([(NOTE.into(), place.note(callbacks))]), &path)?;
        let all = self.all()?;
        for old in &all[..all.len().saturating_sub(self.options.keep)] {
            // One that stays costs room and nothing else.
            let _ = fs::remove_file(old);
        }
        Ok(path)
    }

    /// The last checkpoint that is whole; those behind it that are not are told in the log.
    pub fn load(&self) -> Result<Option<Loaded>> {
        let mut first = None;
        for path in self.all()?.into_iter().rev() {
            match Loaded::read(&path) {
                Ok(loaded) => return Ok(Some(loaded)),
                Err(error) => {
                    log::warn!("{error}; the checkpoint before it is taken");
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(None), Err)
    }
}

/// A checkpoint that was read.
pub(super) struct Loaded {
    pub path: PathBuf,
    pub place: Place,
    pub values: StateDict,
    note: Value,
}

impl Loaded {
    fn read(path: &Path) -> Result<Loaded> {
        Loaded::of(path, checkpoint::read_with_notes(path)?)
    }

    /// What [`to_bytes`](Loaded::to_bytes) gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Loaded> {
        let path = Path::new("the checkpoint of rank 0");
        Loaded::of(path, checkpoint::parsed_with_notes(path, bytes)?)
    }

    /// All of it, for another process.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        checkpoint::bytes_of(&self.values, &Notes::from([(NOTE.into(), self.note.to_string())]))
    }

    fn of(path: &Path, (values, notes): (StateDict, Notes)) -> Result<Loaded> {
        let note =
            notes.get(NOTE).ok_or_else(|| Error::file(path, "is no checkpoint of a run: it holds weights alone"))?;
        let note: Value = serde_json::from_str(note)
            .map_err(|error| Error::file_because(path, "is no checkpoint of a run", error))?;
        match note["form"].as_u64() {
            Some(FORM) => {}
            Some(form) if form > FORM => {
                let text =
                    format!("was written by a newer wgrad (form {form}, this one reads up to {FORM}): update it");
                return Err(Error::file(path, text));
            }
            _ => return Err(Error::file(path, "is no checkpoint of a run")),
        }
        let place = Place::of(&note).ok_or_else(|| Error::file(path, "is no whole checkpoint of a run"))?;
        Ok(Loaded { path: path.into(), place, values, note })
    }

    /// The state that a callback kept.
    pub fn callback(&self, name: &str) -> Option<Saved> {
        let text = self.note["callbacks"][name].as_str()?.to_string();
        Some(Saved { text, values: checkpoint::part(&self.values, &format!("callback.{name}")) })
    }
}

impl Place {
    fn note(&self, callbacks: &[(String, Saved)]) -> String {
        let record = |record: &Record| {
            let figures: Vec<Value> = record.figures.iter().map(|(name, value)| json!([name, number(value)])).collect();
            json!({
                "epoch": record.epoch, "step": record.step, "seconds": record.seconds, "rate": number(record.rate),
                "lr": record.lr, "figures": figures,
            })
        };
        let history: Vec<Value> = self.history.epochs.iter().map(record).collect();
        let plateau = self.plateau.map(|(best, bad, cooling)| json!([best.map(number), bad, cooling]));
        // To the bit.
        let bits = |rates: &Vec<f64>| rates.iter().map(|rate| rate.to_bits()).collect::<Vec<u64>>();
        let rates: Vec<Option<Vec<u64>>> = self.rates.iter().map(|rates| rates.as_ref().map(bits)).collect();
        let callbacks: serde_json::Map<String, Value> =
            callbacks.iter().map(|(name, saved)| (name.clone(), json!(saved.text))).collect();
        json!({
            "form": FORM, "wgrad": env!("CARGO_PKG_VERSION"), "epoch": self.epoch, "batch": self.batch, "step": self.step,
            "seconds": self.seconds, "schedule": self.schedule, "rates": rates, "plateau": plateau,
            "best": self.best.map(number), "ended": self.ended, "data": self.data, "history": history,
            "callbacks": callbacks, "metrics": self.metrics, "means": self.means,
        })
        .to_string()
    }

    fn of(note: &Value) -> Option<Place> {
        let size = |value: &Value| usize::try_from(value.as_u64()?).ok();
        let record = |value: &Value| {
            let figure = |pair: &Value| Some((pair[0].as_str()?.to_string(), float(&pair[1])?));
            let figures: Option<Figures> = value["figures"].as_array()?.iter().map(figure).collect();
            Some(Record {
                epoch: size(&value["epoch"])?,
                step: value["step"].as_u64()?,
                seconds: value["seconds"].as_f64()?,
                rate: float(&value["rate"])?,
                lr: value["lr"].as_f64()? as f32,
                figures: figures?,
            })
        };
        let epochs: Option<Vec<Record>> = note["history"].as_array()?.iter().map(record).collect();
        let plateau = match &note["plateau"] {
            Value::Null => None,
            plateau => Some((float(&plateau[0]), plateau[1].as_u64()?, plateau[2].as_u64()?)),
        };
        let rates = |all: &Value| {
            all.as_array()?.iter().map(|bits| bits.as_u64().map(f64::from_bits)).collect::<Option<Vec<f64>>>()
        };
        // Older files have none.
        let names = |all: &Value| {
            all.as_array()?.iter().map(|name| Some(name.as_str()?.to_string())).collect::<Option<Vec<String>>>()
        };
        Some(Place {
            epoch: size(&note["epoch"])?,
            batch: size(&note["batch"])?,
            step: note["step"].as_u64()?,
            seconds: note["seconds"].as_f64()?,
            schedule: note["schedule"].as_u64(),
            rates: note["rates"].as_array().map_or_else(Vec::new, |all| all.iter().map(rates).collect()),
            plateau,
            best: float(&note["best"]),
            // Older files have none.
            ended: note["ended"][0]
                .as_str()
                .zip(note["ended"][1].as_str())
                .map(|(name, why)| (name.into(), why.into())),
            metrics: names(&note["metrics"]),
            means: names(&note["means"]),
            data: note["data"].as_str()?.to_string(),
            history: History { epochs: epochs?, stopped: None },
        })
    }
}

/// Everything of a task that is saved: weights and buffers, optimizers, averages, the places of generators.
pub(super) fn task_state(task: &mut dyn Trained) -> Result<StateDict> {
    let mut all = StateDict::new();
    let mut add = |part: &str, values: StateDict| all.extend(checkpoint::join([(part, values)]));
    for (name, module) in task.modules() {
        add(&format!("module.{name}"), state(module)?);
        let positions: Vec<i64> =
            nn::generators(module).iter().flat_map(|own| [own.seed() as i64, own.position() as i64]).collect();
        let values = nn::Values::I64(positions.clone());
        add(
            "generators",
            StateDict::from([(name.to_string(), nn::StateTensor { shape: vec![positions.len()], values })]),
        );
    }
    for (name, optimizer) in task.optimizers() {
        add(&format!("optimizer.{name}"), optimizer.state()?);
    }
    for (name, average) in task.averages() {
        add(&format!("average.{name}"), average.state()?);
    }
    Ok(all)
}

/// The same on rank 0 of a group, or alone; the others give what they keep of it, and get nothing.
pub(super) fn gathered_state(task: &mut dyn Trained, is_first: bool) -> Result<Option<StateDict>> {
    if is_first {
        return task_state(task).map(Some);
    }
    for (_, optimizer) in task.optimizers() {
        if optimizer.is_sharded() {
            optimizer.state()?;
        }
    }
    Ok(None)
}

/// The places of all generators of each rank: a rank that had smaller batches may have drawn less.
pub(super) fn positions(task: &mut dyn Trained, parallel: &DataParallel) -> Result<StateDict> {
    let own: Vec<f64> = task_generators(task).iter().map(|own| own.position() as f64).collect();
    let all: Vec<i64> = parallel.gather(&own, false)?.into_iter().map(|position| position as i64).collect();
    let value = nn::StateTensor { shape: vec![all.len()], values: nn::Values::I64(all) };
    Ok(StateDict::from([(POSITIONS.to_string(), value)]))
}

/// Puts those of this rank back, where there were as many ranks.
pub(super) fn load_positions(task: &mut dyn Trained, values: &StateDict, parallel: &DataParallel) {
    let generators = task_generators(task);
    let Some(nn::Values::I64(saved)) = values.get(POSITIONS).map(|saved| &saved.values) else { return };
    let (rank, ranks) = (parallel.group().rank(), parallel.group().size());
    if saved.len() == ranks * generators.len() {
        let own = &saved[rank * generators.len()..];
        generators.iter().zip(own).for_each(|(own, saved)| own.set_position(*saved as u64));
    }
}

pub(super) fn task_generators(task: &mut dyn Trained) -> Vec<nn::Generator> {
    task.modules().iter().flat_map(|(_, module)| nn::generators(*module)).collect()
}

/// Their name in a checkpoint.
const POSITIONS: &str = "ranks.generators";

/// Puts it back.
pub(super) fn load_task(task: &mut dyn Trained, values: &StateDict) -> Result<()> {
    let part = |kind: &str, name: &str| checkpoint::part(values, &format!("{kind}.{name}"));
    for (name, module) in task.modules() {
        load_state(module, &part("module", name), Strictness::Strict)?;
        let own = nn::generators(module);
        let saved = checkpoint::part(values, "generators");
        let Some(nn::Values::I64(saved)) = saved.get(name).map(|saved| &saved.values) else { continue };
        if saved.len() != 2 * own.len()
            || own.iter().zip(saved.chunks(2)).any(|(own, saved)| own.seed() as i64 != saved[0])
        {
            let text =
                format!("`{name}` draws from other seeds than those saved: make it with the seed of the first run");
            return Err(Error::Weights(text));
        }
        for (own, saved) in own.iter().zip(saved.chunks(2)) {
            own.set_position(saved[1] as u64);
        }
    }
    for (name, optimizer) in task.optimizers() {
        optimizer.load_state(&part("optimizer", name))?;
    }
    for (name, average) in task.averages() {
        average.load_state(&part("average", name))?;
    }
    Ok(())
}
