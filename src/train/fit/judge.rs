//! What a run goes by: figures that there are, better ones, and numbers that are none.

use super::super::batches::Batches;
use super::super::callback::{is_better, last, no_figure, weights};
use super::super::checkpoints::task_generators;
use super::Fit;
use crate::checkpoint;
use crate::error::{Error, Result};
use crate::nn::{StateDict, parameters};
use crate::parallel::DataParallel;

impl<const N: usize> Fit<'_, '_, N> {
    /// Looks whether there will be the figures that the run goes by, once a step has told their names.
    pub(super) fn look_for_figures(&mut self, validation: Option<&dyn Batches<N>>) -> Result<()> {
        let plateau = self.plateau.as_ref().map(|(figure, _)| ("plateau".to_string(), figure.clone()));
        let best = self.checkpoints.as_ref().and_then(|own| own.best.clone());
        let best = best.map(|figure| ("Checkpoints::best".to_string(), figure));
        let callbacks = self.trainer.callbacks.iter();
        let callbacks = callbacks.filter_map(|own| Some((own.name().to_string(), own.figure()?.to_string())));
        let wanted: Vec<(String, String)> = callbacks.chain(plateau).chain(best).collect();
        let trainer = &mut *self.trainer;
        let mut names = trainer.training.totals.figures("");
        let lacks = |names: &[String]| wanted.iter().find(|(_, figure)| !names.contains(figure));
        if let Some(set) = validation {
            let told = [&names[..], &trainer.evaluation.totals.figures("val_")].concat();
            if lacks(&told).is_some() {
                // Only a batch tells the means that are of validation alone. What it draws is drawn again.
                let places: Vec<_> =
                    task_generators(&mut *trainer.task).into_iter().map(|own| (own.position(), own)).collect();
                trainer.with_averages(|trainer| trainer.evaluated(set, "", 1))?;
                places.iter().for_each(|(position, own)| own.set_position(*position));
            }
            names.extend(trainer.evaluation.totals.figures("val_"));
        }
        lacks(&names).map_or(Ok(()), |(whose, figure)| Err(no_figure(whose, figure, &names)))
    }

    /// What follows from an epoch's figures; `best` are the weights that they are of, where those are kept.
    pub(super) fn judge(&mut self, best: Option<StateDict>) -> Result<()> {
        if let Some((figure, plateau)) = &mut self.plateau {
            let value = last(&self.place.history, figure, "plateau")?;
            if let Some((_, optimizer)) = self.trainer.task.optimizers().into_iter().next() {
                plateau.step(value, optimizer)?;
            }
        }
        self.warn();
        self.tell(|callback, run| callback.epoch(run))?;
        if let Some(parallel) = &self.trainer.options.parallel
            && parallel.any([self.stop.is_some()])? == [true]
        {
            self.stop.get_or_insert("another rank asked for it".into());
        }
        self.keep_best(best)
    }

    /// Tells once that the loss of validation is no number: the run can still learn, so that it goes on.
    fn warn(&mut self) {
        let is_first = self.trainer.options.parallel.as_deref().is_none_or(DataParallel::is_first);
        let loss = self.figures.get("val_loss").filter(|loss| !loss.is_finite() && is_first && !self.warned);
        if let Some(loss) = loss {
            self.warned = true;
            log::warn!(
                "val_loss became {loss} in epoch {}, and the run goes on: look for labels outside of the classes and NaN in the \
                 set of validation",
                self.place.epoch + 1
            );
        }
    }

    /// Keeps the weights of the best epoch so far.
    fn keep_best(&mut self, validated: Option<StateDict>) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let Some(figure) = &folder.options.best else { return Ok(()) };
        let better = folder.options.better.map_or_else(|| self.trainer.training.totals.better(figure), Ok)?;
        let new = last(&self.place.history, figure, "Checkpoints::best")?;
        if is_better(better, new, self.place.best, 0.0) {
            let values = validated.map_or_else(|| weights(&*self.trainer.task), Ok)?;
            checkpoint::write(&values, folder.options.folder.join("best.safetensors"))?;
            self.place.best = Some(new);
        }
        Ok(())
    }

    /// Whether a run could go on from these values. Where it could not, the checkpoint before it stays the last.
    pub(super) fn check(&self, values: &StateDict) -> Result<()> {
        for (name, module) in self.trainer.task.modules() {
            for (path, _) in parameters(module).into_iter().filter(|(path, _)| !self.trainer.options.freezes(path)) {
                if values.get(&format!("module.{name}.{path}")).is_some_and(|value| !value.is_finite()) {
                    return Err(Error::Training(format!(
                        "the parameter `{path}` holds a number that is not finite after step {}: no checkpoint is written, and those \
                         before it stay. `detect_anomaly(true)` tells where such numbers begin; use a smaller learning rate, or clip \
                         gradients",
                        self.place.step
                    )));
                }
            }
        }
        Ok(())
    }
}
