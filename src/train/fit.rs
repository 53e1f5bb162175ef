//! The loop.

mod judge;

use super::batches::{Batches, is_same, varies, without_items};
use super::callback::{Callback, Run, names, weights};
use super::checkpoints::{Checkpoints, Folder, Loaded, Place, gathered_state, load_positions, load_task, positions};
use super::history::{Figures, History, Record};
use super::task::Trained;
use super::trainer::{Trainer, parts};
use crate::backend::edge::{self, Instant};
use crate::checkpoint::{self, join};
use crate::data::Array;
use crate::error::{Error, Result};
use crate::optim::Optimizer;
use crate::optim::schedule::ReduceLrOnPlateau;
use crate::parallel::{DataParallel, DiLoCo};
use crate::tensor::Tensor;
use std::path::PathBuf;
use std::time::Duration;

/// Time from one look at the figures to the next: each waits for the device.
const READ_EVERY: Duration = Duration::from_millis(200);

/// A run under way.
pub(super) struct Fit<'f, 'a, const N: usize> {
    trainer: &'f mut Trainer<'a, N>,
    train: &'f dyn Batches<N>,
    epochs: usize,
    checkpoints: Option<Checkpoints>,
    folder: Option<Folder>,
    plateau: Option<(String, ReduceLrOnPlateau)>,
    figures: Figures,
    items: usize,
    loss: Option<Tensor>,
    /// The sums of means that the run was resumed with within an epoch, until the first step tells their names.
    carried: Option<Vec<f32>>,
    others: Vec<(String, Tensor)>,
    /// Steps of this process.
    done: u64,
    place: Place,
    began: Instant,
    saved: Instant,
    /// Whether it was told that validation has no loss.
    warned: bool,
    /// Whether a checkpoint waits for the next outer step.
    due: bool,
    stop: Option<String>,
}

impl<'f, 'a, const N: usize> Fit<'f, 'a, N> {
    pub fn new(trainer: &'f mut Trainer<'a, N>, train: &'f dyn Batches<N>) -> Result<Self> {
        let (epochs, checkpoints) = match trainer.limits.fast {
            true => (1, None),
            false => (trainer.epochs, trainer.checkpoints.clone()),
        };
        if let Some(Checkpoints { best: Some(figure), better: None, .. }) = &checkpoints {
            trainer.training.totals.better(figure)?;
        }
        trainer.join()?;
        let plateau = trainer.plateau.clone();
        if let Some((figure, plateau)) = &plateau {
            plateau.check()?;
            let better = trainer.training.totals.better(figure).unwrap_or(plateau.mode);
            if better != plateau.mode {
                let mode = plateau.mode;
                let text = format!(
                    "plateau: `{figure}` is better where it is {better:?}, and the plateau's `mode` is {mode:?}"
                );
                return Err(Error::Option(text));
            }
        }
        if let (Some(_), Some((_, first))) = (&plateau, trainer.task.optimizers().into_iter().next()) {
            match &trainer.rates {
                Some(rates) => first.set_lrs(rates)?,
                None => trainer.rates = Some(first.lrs()),
            }
        }
        for (name, scheduler) in &mut trainer.schedules {
            scheduler.start(optimizer(&mut *trainer.task, name.as_deref())?)?;
        }
        let parallel = trainer.options.parallel.as_deref();
        let is_first = parallel.is_none_or(DataParallel::is_first);
        let folder = checkpoints.clone().filter(|_| is_first).map(Folder::open).transpose()?;
        let mut place = Place { data: train.fingerprint(), ..Place::default() };
        if let Some(parallel) = parallel {
            if parallel.any([varies(&place.data)])? == [true] {
                place.data = without_items(&place.data);
            }
            parallel.agree("data", &place.data)?;
        }
        let now = Instant::now();
        Ok(Fit {
            trainer,
            train,
            epochs,
            checkpoints,
            folder,
            plateau,
            figures: Figures::default(),
            items: 0,
            loss: None,
            carried: None,
            others: Vec::new(),
            done: 0,
            place,
            began: now,
            saved: now,
            warned: false,
            due: false,
            stop: None,
        })
    }

    /// What it has come to.
    pub fn into_history(self) -> History {
        self.place.history
    }

    /// Goes to where the last checkpoint was written.
    pub fn resume(&mut self) -> Result<()> {
        let mut loaded = self.folder.as_ref().map(Folder::load).transpose()?.flatten();
        let parallel = self.trainer.options.parallel.clone();
        if let Some(parallel) = &parallel {
            let own = loaded.as_ref().map_or_else(|| Ok(Vec::new()), Loaded::to_bytes)?;
            let first = parallel.group().broadcast(0, own)?;
            loaded = (!first.is_empty()).then(|| Loaded::from_bytes(&first)).transpose()?;
        }
        let Some(loaded) = loaded else { return Ok(()) };
        if !is_same(&loaded.place.data, &self.place.data) {
            let (had, has) = (&loaded.place.data, &self.place.data);
            let text = format!("was written by a run on other data: {had}; now {has}");
            return Err(Error::file(&loaded.path, text));
        }
        let task = &mut *self.trainer.task;
        load_task(task, &loaded.values)?;
        if let Some(parallel) = &parallel {
            load_positions(task, &loaded.values, parallel);
        }
        for (at, (name, scheduler)) in self.trainer.schedules.iter_mut().enumerate() {
            let steps = loaded.place.schedule.unwrap_or(loaded.place.step);
            match loaded.place.rates.get(at) {
                Some(Some(rates)) => scheduler.go_on(steps, rates),
                _ => scheduler.go_to(steps, optimizer(task, name.as_deref())?)?,
            }
        }
        if let (Some((_, plateau)), Some(saved)) = (&mut self.plateau, loaded.place.plateau) {
            (plateau.best, plateau.bad, plateau.cooling) = saved;
        }
        let names = names(&self.trainer.callbacks);
        for (name, callback) in names.iter().zip(&mut self.trainer.callbacks) {
            if let Some(saved) = loaded.callback(name) {
                callback.load_state(saved)?;
            }
        }
        let totals = &mut self.trainer.training.totals;
        let missing =
            totals.load_state(&checkpoint::part(&loaded.values, "totals"), loaded.place.metrics.as_deref())?;
        if parallel.is_some_and(|own| !own.is_first()) {
            // Rank 0 holds what all have summed up.
            totals.reset();
        }
        if loaded.place.batch > 0 {
            self.carried = Some(totals.means()?);
            // Where the epoch turns out to be at its end, no step tells them.
            loaded.place.means.iter().for_each(|names| totals.set_names(names));
            if !missing.is_empty() && self.folder.is_some() {
                log::warn!(
                    "{}: there are no sums of {}: in epoch {} it is told of the batches from here on",
                    loaded.path.display(),
                    missing.join(" and "),
                    loaded.place.epoch + 1
                );
            }
        }
        if let Some(outer) = &self.trainer.outer {
            let saved = checkpoint::part(&loaded.values, "diloco");
            if saved.is_empty() { outer.restart()? } else { outer.load_state(&saved)? }
        }
        let scaler = checkpoint::part(&loaded.values, "scaler");
        if let Some(own) = self.trainer.options.scaler.as_ref().filter(|_| !scaler.is_empty()) {
            own.load_state(&scaler)?;
        }
        self.place = loaded.place;
        let mut callbacks = names.iter().zip(&self.trainer.callbacks);
        let mut stays = |name: &str| callbacks.any(|(own, callback)| own == name && callback.stays_ended());
        self.place.ended.take_if(|(name, _)| !stays(name));
        self.stop = self.place.ended.as_ref().map(|(_, why)| why.clone());
        Ok(())
    }

    pub fn run(&mut self, validation: Option<&dyn Batches<N>>) -> Result<()> {
        if let Some(set) = validation.filter(|_| self.place.step == 0 && self.trainer.limits.sanity > 0) {
            let limit = self.trainer.limits.sanity;
            self.trainer.with_averages(|trainer| trainer.evaluated(set, "", limit))?;
        }
        self.tell(|callback, run| callback.started(run))?;
        while self.place.epoch < self.epochs && !self.ends_now()? {
            let whole = self.epoch(validation)?;
            if whole {
                self.end_epoch(validation)?;
            }
        }
        if self.stop.is_some() {
            self.save()?;
        }
        self.place.history.stopped = self.stop.clone();
        Ok(())
    }

    /// Batches of this epoch.
    fn batches(&self) -> usize {
        self.train.len_of(self.number()).min(self.trainer.limits.train())
    }

    /// The number of this epoch in the data's own count.
    fn number(&self) -> u64 {
        if self.trainer.limits.repeats { 0 } else { self.place.epoch as u64 }
    }

    /// What this rank would have: an end that was asked for, an end since the time is over, a checkpoint since it is time.
    fn asks(&self) -> [bool; 3] {
        let trainer = &self.trainer;
        let late = trainer.time_limit.is_some_and(|most| self.began.elapsed() >= most);
        let save = self.folder.as_ref().and_then(|folder| folder.options.every);
        let asked = trainer.stop.is_asked() || self.stop.is_some();
        [asked, late, save.is_some_and(|every| self.saved.elapsed() >= every)]
    }

    /// Whether the run ends here, where all ranks decide together.
    fn ends_now(&mut self) -> Result<bool> {
        let asked = match &self.trainer.options.parallel {
            Some(parallel) => parallel.any(self.asks())?,
            None => self.asks(),
        };
        Ok(self.is_over(asked))
    }

    /// Whether the run ends here, and why.
    fn is_over(&mut self, [asked, late, _]: [bool; 3]) -> bool {
        let trainer = &self.trainer;
        let why = if asked {
            "it was asked to".to_string()
        } else if trainer.max_steps.is_some_and(|most| self.place.step >= most) {
            format!("{} steps are done", self.place.step)
        } else if late {
            format!("{:.0} seconds are over", self.began.elapsed().as_secs_f64())
        } else {
            return false;
        };
        self.stop.get_or_insert(why);
        true
    }

    /// The rest of an epoch; whether it is whole.
    fn epoch(&mut self, validation: Option<&dyn Batches<N>>) -> Result<bool> {
        self.trainer.thaw(self.place.epoch);
        if self.place.batch == 0 {
            self.trainer.training.totals.reset();
        }
        let (before, start) = (self.place.seconds, Instant::now());
        let (train, first, batches) = (self.train, self.place.batch, self.batches());
        if batches == 0 {
            return Err(Error::Data(format!("epoch {} has no batch", self.place.epoch + 1)));
        }
        let mut read = Instant::now();
        let parallel = self.trainer.options.parallel.clone();
        let mut epoch = parts(train, parallel.as_deref(), self.number(), first);
        while self.place.batch < batches {
            let Some(batch) = epoch.next() else {
                if self.place.batch == 0 {
                    let told =
                        if batches == usize::MAX { String::new() } else { format!(", where the set tells {batches}") };
                    let text = format!("epoch {} has no batch{told}", self.place.epoch + 1);
                    return Err(Error::Data(text));
                }
                // A set that did not know its length.
                self.trainer.outer.as_ref().map_or(Ok(()), DiLoCo::sync)?;
                self.read(true)?;
                return Ok(true);
            };
            let (batch, items) = batch?;
            parallel.iter().for_each(|own| own.ask(self.asks()));
            self.step(batch, items)?;
            if self.done == 1 {
                self.look_for_figures(validation)?;
            }
            self.place.seconds = before + start.elapsed().as_secs_f64();
            let is_last = self.place.batch == batches;
            let met = self.met(is_last)?;
            if is_last || read.elapsed() >= READ_EVERY {
                self.read(is_last)?;
                read = Instant::now();
            } else {
                // The device works on this step while the host makes the next batch.
                self.trainer.device.submit();
            }
            self.tell(|callback, run| callback.step(run))?;
            let asked = match (&self.trainer.outer, &parallel) {
                (Some(_), _) => met.unwrap_or_default(),
                (None, Some(parallel)) => parallel.asked(),
                (None, None) => self.asks(),
            };
            let over = self.is_over(asked);
            self.due |= asked[2] || self.is_step_to_save();
            let is_common = self.trainer.outer.is_none() || met.is_some();
            if over || is_common && std::mem::take(&mut self.due) && !is_last {
                if !is_last {
                    self.read(true)?;
                }
                if over {
                    break;
                }
                self.save()?;
            }
        }
        Ok(self.place.batch >= batches)
    }

    /// Counts a step of ranks that train by themselves; what any of them asks, where they have met.
    fn met(&mut self, is_last: bool) -> Result<Option<[bool; 3]>> {
        let asks = self.asks();
        let ends = is_last || self.trainer.max_steps.is_some_and(|most| self.place.step >= most);
        self.trainer.outer.as_ref().map_or(Ok(None), |outer| outer.stepped(asks, ends))
    }

    fn step(&mut self, batch: [Array; N], items: usize) -> Result<()> {
        let trainer = &mut *self.trainer;
        if let Some(parallel) = &trainer.options.parallel {
            parallel.weigh(items);
        }
        // What stands in the place of no item is not told.
        let told_so_far = if items == 0 { Some(trainer.training.totals.state()?) } else { None };
        let batch = batch.map(|array| array.to(&trainer.device));
        let is_first = trainer.options.parallel.as_deref().is_none_or(DataParallel::is_first);
        let asked = trainer.profile.take_if(|(step, _)| *step == self.place.step + 1).filter(|_| is_first);
        self.done += 1;
        let (told, profile) =
            match asked.is_some() || trainer.callbacks.iter().any(|own| own.profiles() == Some(self.done)) {
                false => (trainer.train_on(&batch), None),
                true => {
                    let device = trainer.device.clone();
                    device.profile(|| trainer.train_on(&batch)).map(|(told, profile)| (told, Some(profile)))?
                }
            };
        let told = told?;
        told_so_far.map_or(Ok(()), |before| trainer.training.totals.load_state(&before, None).map(drop))?;
        if let (Some(saved), Some(names)) = (self.carried.take(), &self.place.means) {
            trainer.training.totals.rename(names, &saved)?;
        }
        if let (Some((_, tell)), Some(profile)) = (asked, &profile) {
            tell(profile)?;
        }
        let mut told = told.into_iter();
        self.loss = told.next();
        self.others = trainer.training.totals.names().iter().cloned().zip(told).collect();
        for (name, scheduler) in &mut trainer.schedules {
            scheduler.step(optimizer(&mut *trainer.task, name.as_deref())?)?;
        }
        self.place.step += 1;
        self.place.batch += 1;
        profile.map_or(Ok(()), |profile| self.tell(|callback, run| callback.profiled(run, &profile)))
    }

    /// Looks at the figures of the epoch so far: those of the whole group, where all ranks look, or of this rank.
    fn read(&mut self, whole: bool) -> Result<()> {
        let trainer = &mut *self.trainer;
        let parallel = trainer.options.parallel.as_deref();
        let (items, figures) = trainer.training.totals.read("", parallel.filter(|_| whole))?;
        let ranks = parallel.filter(|_| !whole).map_or(1, |own| own.group().size());
        (self.items, self.figures) = (items * ranks, figures.into_iter().collect());
        let waits = !whole && trainer.training.totals.waits();
        if let Some(loss) = self.figures.get("loss").filter(|loss| !loss.is_finite() && !waits) {
            return Err(Error::Training(format!(
                "the loss became {loss} in epoch {}, by step {}: use a smaller learning rate, clip gradients, look for labels \
                 outside of the classes and NaN in the batch, or for the first bad kernel with `Device::checked`",
                self.place.epoch + 1,
                self.place.step
            )));
        }
        self.tell(|callback, run| callback.read(run))
    }

    fn is_step_to_save(&self) -> bool {
        let every = self.checkpoints.as_ref().and_then(|own| own.every_steps);
        every.is_some_and(|every| self.place.step.is_multiple_of(every))
    }

    /// Validates, and writes the epoch down.
    fn end_epoch(&mut self, validation: Option<&dyn Batches<N>>) -> Result<()> {
        let trainer = &mut *self.trainer;
        trainer.options.parallel.as_ref().map_or(Ok(()), |own| own.keep(&trainer.task.modules()))?;
        // What was judged: callbacks may put other weights in their place.
        let (mut best, keeps) = (None, self.folder.as_ref().is_some_and(|folder| folder.options.best.is_some()));
        if let Some(set) = validation {
            let figures = trainer.with_averages(|trainer| {
                let figures = trainer.evaluated(set, "val_", trainer.limits.validation());
                best = keeps.then(|| weights(&*trainer.task));
                figures
            });
            for (name, value) in figures? {
                self.figures.set(&name, value);
            }
        }
        let lr = trainer.task.optimizers().first().map_or(0.0, |(_, optimizer)| optimizer.lr());
        let (epoch, step, seconds) = (self.place.epoch, self.place.step, self.place.seconds);
        let rate = self.items as f64 / seconds.max(1e-9);
        self.place.history.epochs.push(Record { epoch, step, seconds, rate, lr, figures: self.figures.clone() });
        let judged = self.judge(best.transpose()?);
        (self.place.epoch, self.place.batch, self.place.seconds) = (epoch + 1, 0, 0.0);
        match judged {
            Ok(()) if self.stop.is_none() => self.save(),
            // A figure that there is not, or a log that cannot be written, ends the run, and not what it has learned. What ranks
            // save they save together, and others may be elsewhere.
            Err(error) if self.trainer.options.parallel.is_none() => {
                drop(self.save());
                Err(error)
            }
            judged => judged,
        }
    }

    /// Writes a checkpoint, where there is a folder for it; of a group, rank 0 does.
    fn save(&mut self) -> Result<()> {
        let trainer = &mut self.trainer;
        if self.checkpoints.is_none() {
            return Ok(());
        }
        if let Some(parallel) = &trainer.options.parallel {
            trainer.training.totals.settle(parallel)?;
        }
        let task = &mut *trainer.task;
        let places = trainer.options.parallel.as_ref().map(|parallel| positions(task, parallel)).transpose()?;
        let Some(mut values) = gathered_state(task, self.folder.is_some())? else { return Ok(()) };
        self.check(&values)?;
        values.extend(places.into_iter().flatten());
        values.extend(join([("totals", self.trainer.training.totals.state()?)]));
        if let Some(scaler) = &self.trainer.options.scaler {
            values.extend(join([("scaler", scaler.state()?)]));
        }
        if let Some(outer) = &self.trainer.outer {
            values.extend(join([("diloco", outer.state())]));
        }
        let totals = &self.trainer.training.totals;
        self.place.metrics = Some(totals.summed());
        if self.done > 0 {
            self.place.means = Some(totals.names().to_vec());
        }
        self.place.schedule = self.trainer.schedules.first().map(|(_, scheduler)| scheduler.steps());
        self.place.rates.clear();
        for (name, scheduler) in &mut self.trainer.schedules {
            self.place.rates.push(scheduler.strayed(optimizer(&mut *self.trainer.task, name.as_deref())?));
        }
        self.place.plateau = self.plateau.as_ref().map(|(_, own)| (own.best, own.bad, own.cooling));
        let callbacks = &self.trainer.callbacks;
        let callbacks: Vec<_> = names(callbacks).into_iter().zip(callbacks.iter().map(|own| own.state())).collect();
        let Some(folder) = &self.folder else { return Ok(()) };
        let path: PathBuf = edge::busy(|| folder.save(&self.place, values, &callbacks))?;
        self.saved = Instant::now();
        self.tell(|callback, run| callback.saved(run, &path))
    }

    /// Tells every callback.
    pub fn tell(&mut self, mut event: impl FnMut(&mut dyn Callback, &mut Run) -> Result<()>) -> Result<()> {
        let batches = self.batches();
        let trainer = &mut *self.trainer;
        let is_first = trainer.options.parallel.as_deref().is_none_or(DataParallel::is_first);
        let mut ended = None;
        let told = trainer.callbacks.iter_mut().enumerate();
        let fast = trainer.limits.fast;
        let hears = |own: &dyn Callback| (is_first || own.on_every_rank()) && !(fast && own.writes_files());
        for (at, callback) in told.filter(|(_, own)| hears(&***own)) {
            let mut why = None;
            let mut run = Run {
                epoch: self.place.epoch,
                epochs: self.epochs,
                batch: self.place.batch,
                batches,
                step: self.place.step,
                seconds: self.place.seconds,
                rate: self.items as f64 / self.place.seconds.max(1e-9),
                figures: self.figures.clone(),
                loss: self.loss.as_ref(),
                fitted: trainer.memory.last(),
                history: &self.place.history,
                device: &trainer.device,
                data: &self.place.data,
                others: &self.others,
                totals: &trainer.training.totals,
                validated: &mut trainer.evaluation.totals,
                task: &mut *trainer.task,
                stop: &mut why,
            };
            event(&mut **callback, &mut run)?;
            ended = ended.or(why.map(|why| (at, why)));
        }
        if let Some((at, why)) = ended {
            self.stop.get_or_insert_with(|| why.clone());
            self.place.ended.get_or_insert_with(|| (names(&trainer.callbacks).swap_remove(at), why));
        }
        Ok(())
    }
}

impl<const N: usize> Trainer<'_, N> {
    /// Lets parameters move whose time has come in an epoch: a step with others is another step.
    pub(super) fn thaw(&mut self, epoch: usize) {
        let frozen = self.frozen.iter().filter(|(_, until)| epoch < *until);
        let frozen: Vec<String> = frozen.map(|(path, _)| path.clone()).collect();
        if frozen != self.options.frozen {
            (self.options.frozen, self.training.replay) = (frozen, Default::default());
            self.memory = Default::default();
        }
    }
}

/// The optimizer of a name, or the first.
fn optimizer<'t>(task: &'t mut (impl Trained + ?Sized), name: Option<&str>) -> Result<&'t mut dyn Optimizer> {
    let all = task.optimizers();
    let names = all.iter().map(|(own, _)| *own).collect::<Vec<_>>().join(", ");
    let found = all.into_iter().find(|(own, _)| name.is_none_or(|name| name == *own));
    found.map(|(_, optimizer)| optimizer).ok_or_else(|| {
        Error::Option(match name {
            None => "a schedule needs an optimizer, and the task has none".into(),
            Some(name) => format!("there is no optimizer `{name}` for the schedule: choose among {names}"),
        })
    })
}
