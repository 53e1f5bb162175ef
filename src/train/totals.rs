//! Sums over the batches of an epoch, on the device.

use super::task::Outcome;
use crate::backend::Pending;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::metrics::{Metric, Rows, in_f32};
use crate::nn::StateDict;
use crate::nn::StateTensor;
use crate::optim::schedule::Better;
use crate::parallel::DataParallel;
use crate::tensor::Tensor;
use std::rc::Rc;

/// The most means that a step tells beside its loss.
const OTHERS: usize = 14;

/// The numbers of an epoch: its items, the sums of each mean, and of each the items that it leaves out.
const MEANS: usize = 1 + 2 * (1 + OTHERS);

/// Where the items stand that the loss leaves out.
const LEFT_OUT: usize = 2 + OTHERS;

/// The words of figures of which the smaller is better, beside those of losses and errors.
const SMALLER: &str = "nll bce ce xent crossentropy kl kld jsd mse rmse msle rmsle mae mape smape hinge huber wer cer ter err ece \
                       brier perplexity ppl bpc bpb bpd fid norm";

/// The words of those of which the larger is better.
const LARGER: &str = "accuracy acc auc auroc f1 precision recall iou miou dice bleu rouge r2 psnr ssim map";

/// Which is better of the values of a figure that nobody tells of but its name.
fn by_name(name: &str) -> Option<Better> {
    let name = name.to_lowercase();
    let words = || name.split(|letter: char| !letter.is_alphanumeric());
    let has = |list: &str| words().any(|word| list.split_whitespace().any(|own| own == word));
    // The loss that is made of an accuracy is a loss.
    if words().any(|word| ["loss", "losses", "error", "errors"].iter().any(|end| word.ends_with(end))) {
        return Some(Better::Smaller);
    }
    match (has(SMALLER) || name.contains("cross_entropy"), has(LARGER)) {
        (true, false) => Some(Better::Smaller),
        (false, true) => Some(Better::Larger),
        _ => None,
    }
}

/// Sums of losses and of what metrics count. They are tensors from before a step, which it changes in place: so a replayed step
/// adds to them too, and nothing is read until somebody looks.
pub(super) struct Totals {
    /// The items, their losses and the other means, and the items that each of these leaves out.
    means: Tensor,
    names: Vec<String>,
    kept: Vec<Kept>,
    /// Whether this is a set that is evaluated: where metrics collect, in training they are not told.
    evaluates: bool,
    /// Of a set that several ranks have evaluated: the sums over all.
    whole: Option<Sums>,
    /// Whether a mean says what it is over, and whether all that was read last is over nothing.
    over: bool,
    waits: bool,
}

/// The sums of the means, and of each metric its own, or all that it collected.
type Sums = (Vec<f32>, Vec<Vec<f64>>);

/// A metric, and what is kept for it.
struct Kept {
    metric: Rc<dyn Metric>,
    sums: Tensor,
    rows: Rows,
}

impl Kept {
    /// The sums over a group, of this rank's; or what all its ranks have collected, in the order of the set.
    fn gathered(&self, own: &[f64], group: &DataParallel) -> Result<Vec<f64>> {
        let all = group.gather(own, false)?;
        if self.metric.collects() {
            let sizes = group.gather(&self.rows.sizes, false)?;
            return Ok(by_batch(&all, &sizes, group.group().size()));
        }
        if own.is_empty() {
            return Ok(all);
        }
        let merged = all.chunks(own.len()).map(<[f64]>::to_vec).reduce(|a, b| self.metric.merge(&a, &b));
        Ok(merged.unwrap_or_default())
    }
}

impl Totals {
    /// Of a training epoch, or of a set that is evaluated, without a metric yet.
    pub fn new(device: &Device, evaluates: bool) -> Totals {
        Totals {
            means: Tensor::zeros([MEANS], device),
            names: Vec::new(),
            kept: Vec::new(),
            evaluates,
            whole: None,
            over: false,
            waits: false,
        }
    }

    /// Has a metric told too.
    pub fn tell(&mut self, metric: Rc<dyn Metric>) {
        let sums = Tensor::zeros([if metric.collects() { 0 } else { metric.len() }], self.means.device());
        self.kept.push(Kept { metric, sums, rows: Rows::default() });
    }

    pub fn metrics(&self) -> impl Iterator<Item = &dyn Metric> {
        self.kept.iter().map(|kept| &*kept.metric)
    }

    /// Says the names of the other means before a step does: those of sums that were saved.
    pub fn set_names(&mut self, names: &[String]) {
        self.names = names.to_vec();
    }

    /// The names of the other means.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Adds a batch of so many items. What is to be [collected](Totals::collect) of it is returned, since nothing can be read
    /// while a step is captured.
    pub fn add(&mut self, outcome: &Outcome, items: usize) -> Result<Vec<Tensor>> {
        if outcome.others.len() > OTHERS {
            let text = format!("a step tells {} means beside its loss: at most {OTHERS}", outcome.others.len());
            return Err(Error::Option(text));
        }
        self.names = outcome.others.iter().map(|(name, _)| name.clone()).collect();
        let loss = outcome.loss.detach();
        let weights = Tensor::full([], items as f32, loss.device());
        let over = outcome.weight()?;
        self.over |= over.is_some();
        let scalars = std::iter::once(&loss).chain(outcome.others.iter().map(|(_, value)| value));
        let mut new = vec![weights.clone()];
        let mut left_out = Vec::new();
        for scalar in scalars {
            if scalar.numel() != 1 {
                let text = format!("a loss or mean of a step has the shape {}: expected one number", scalar.shape());
                return Err(Error::Option(text));
            }
            let mut value = scalar.detach().reshape(()).cast(DType::F32);
            if let Some((_, nothing)) = &over {
                value = value.masked_fill(nothing, 0.0);
            }
            let mut lost = None;
            if let Some(made) = &outcome.made {
                // Of a step that was given up, what is no number is told of no items.
                let given_up = value.isfinite().logical_or(made).logical_not();
                value = value.masked_fill(&given_up, 0.0);
                lost = Some(given_up);
            }
            match (&over, lost) {
                (Some((over, _)), lost) => {
                    // The items that its mean is not over.
                    let told = lost.map_or(over.clone(), |lost| over.masked_fill(&lost, 0.0));
                    left_out.push(&weights - &told);
                    new.push(value * told);
                }
                (None, lost) => {
                    left_out.extend(lost.map(|lost| lost.cast(DType::F32) * items as f32));
                    new.push(value * items as f32);
                }
            }
        }
        let add = |start: usize, new: &[Tensor]| {
            let place = self.means.narrow(0, start, new.len());
            place.assign(&(&place + Tensor::stack(new, 0)));
        };
        add(0, &new);
        if !left_out.is_empty() {
            add(LEFT_OUT, &left_out);
        }
        let mut collected = Vec::new();
        if let Some((output, target)) = &outcome.judged {
            let (output, target) = (&in_f32(output), &in_f32(target));
            for Kept { metric, sums, .. } in &self.kept {
                match (metric.collects(), self.evaluates) {
                    (false, _) => sums.assign(&metric.update(sums, output, target)),
                    (true, true) => collected.push(metric.batch(output, target)),
                    (true, false) => {}
                }
            }
        } else if let Some(metric) = self.metrics().next() {
            let text = format!(
                "the metric `{}` has nothing to judge: return `Outcome::of(loss).judged(&output, &target)` from the step",
                metric.name()
            );
            return Err(Error::Option(text));
        }
        Ok(collected)
    }

    /// Copies what a batch gave to those that collect.
    pub fn collect(&mut self, batch: &[Tensor]) -> Result<()> {
        let collects = self.kept.iter_mut().filter(|kept| kept.metric.collects());
        collects.zip(batch).try_for_each(|(kept, batch)| kept.rows.add(batch))
    }

    /// Notes a batch of which this rank has no item.
    pub fn skip(&mut self) {
        self.kept.iter_mut().for_each(|kept| kept.rows.sizes.push(0.0));
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.whole = None;
        self.means.upload(&[0.0f32; MEANS]);
        for Kept { metric, sums, rows } in &mut self.kept {
            *rows = Rows::default();
            if !metric.collects() {
                sums.upload(&vec![0.0f32; sums.numel()]);
            }
        }
    }

    /// The means so far, under names with `prefix` before them, and the number of items; over a group where there is one.
    pub fn read(&mut self, prefix: &str, group: Option<&DataParallel>) -> Result<(usize, Vec<(String, f64)>)> {
        let (mut means, mut values) = self.sums()?;
        if let Some(group) = group {
            let own: Vec<f64> = means.iter().copied().map(f64::from).collect();
            means = group.gather(&own, true)?.into_iter().map(|sum| sum as f32).collect();
            for (kept, values) in self.kept.iter().zip(&mut values) {
                *values = kept.gathered(values, group)?;
            }
            self.whole = self.evaluates.then(|| (means.clone(), values.clone()));
        }
        let items = f64::from(means[0]);
        let of = |at: usize| match items - f64::from(means[LEFT_OUT + at]) {
            told if told > 0.0 => f64::from(means[1 + at]) / told,
            // Nothing was told, or only what is no number.
            _ if items > 0.0 => f64::NAN,
            _ => 0.0,
        };
        self.waits = self.over && means[1] == 0.0 && items == f64::from(means[LEFT_OUT]);
        let means = (0..=self.names.len()).map(of);
        let told = self.metrics().zip(&values).filter(|(metric, _)| self.tells(*metric));
        let told = told.flat_map(|(metric, values)| metric.values(values));
        let figures = self.figures(prefix).into_iter().zip(means.chain(told)).collect();
        Ok((items as usize, figures))
    }

    /// Whether nothing has counted by the last look: the loss is no number, and may become one.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Whether a metric has figures here.
    fn tells(&self, metric: &dyn Metric) -> bool {
        self.evaluates || !metric.collects()
    }

    /// The names of all figures, with `prefix` before them: those of other means once a step has told them.
    pub fn figures(&self, prefix: &str) -> Vec<String> {
        let metrics = self.metrics().filter(|metric| self.tells(*metric)).flat_map(Metric::names);
        let names = std::iter::once("loss".to_string()).chain(self.names.iter().cloned()).chain(metrics);
        let mut names: Vec<String> = names.map(|name| format!("{prefix}{name}")).collect();
        for at in 1..names.len() {
            let (before, rest) = names.split_at_mut(at);
            // Of two figures of one name, such as two metrics with other thresholds, neither is lost.
            match before.iter().filter(|name| **name == rest[0]).count() {
                0 => (),
                same => rest[0] = format!("{}_{}", rest[0], same + 1),
            }
        }
        names
    }

    /// The sums so far; where several ranks have evaluated, over all.
    pub fn sums(&mut self) -> Result<Sums> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        let summed = self.kept.iter().filter(|kept| !kept.metric.collects()).map(|kept| &kept.sums);
        let all = std::iter::once(&self.means).chain(summed).map(|sums| sums.read::<f32>());
        let mut all = Pending::all(all).wait()?.into_iter();
        let means = all.next().unwrap_or_default();
        let values = self.kept.iter_mut().map(|kept| match kept.metric.collects() {
            true => Ok(kept.rows.all()?.to_vec()),
            false => Ok(all.next().unwrap_or_default().into_iter().map(f64::from).collect()),
        });
        Ok((means, values.collect::<Result<_>>()?))
    }

    /// Which of two values of a figure is better: see [`Run::better`](super::Run::better).
    pub fn better(&self, figure: &str) -> Result<Better> {
        let name = figure.strip_prefix("val_").unwrap_or(figure);
        let tells = |names: Vec<String>| names.iter().any(|own| own == name || own == figure);
        if let Some(metric) = self.metrics().find(|metric| tells(metric.names())) {
            return Ok(metric.better());
        }
        by_name(name).ok_or_else(|| {
            Error::Option(format!(
                "no metric of the run tells which of two values of `{figure}` is better, and its name does not either: say \
                 `by(Better::Smaller)` or `by(Better::Larger)`"
            ))
        })
    }

    fn all(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let summed = self.kept.iter().filter(|kept| !kept.metric.collects());
        let sums = summed.enumerate().map(|(at, kept)| (format!("metric{at}"), &kept.sums));
        std::iter::once(("means".to_string(), &self.means)).chain(sums)
    }

    /// Has rank 0 hold the sums of all ranks, and the others nothing.
    pub fn settle(&self, group: &DataParallel) -> Result<()> {
        let own = |sums: &Tensor| Ok(sums.to_vec::<f32>()?.into_iter().map(f64::from).collect::<Vec<f64>>());
        let settle = |sums: &Tensor, all: Vec<f64>| {
            let kept = |sum: f64| if group.is_first() { sum as f32 } else { 0.0 };
            sums.upload(&all.into_iter().map(kept).collect::<Vec<f32>>());
        };
        settle(&self.means, group.gather(&own(&self.means)?, true)?);
        for kept in self.kept.iter().filter(|kept| !kept.metric.collects()) {
            settle(&kept.sums, kept.gathered(&own(&kept.sums)?, group)?);
        }
        Ok(())
    }

    pub fn state(&self) -> Result<StateDict> {
        StateTensor::all(self.all())
    }

    /// The names of the metrics that are saved, in order; of one that is there twice, the second with a number.
    pub fn summed(&self) -> Vec<String> {
        let names: Vec<String> = self.metrics().filter(|own| !own.collects()).map(|own| own.name()).collect();
        let numbered = |(at, name): (usize, &String)| match names[..at].iter().filter(|own| *own == name).count() {
            0 => name.clone(),
            before => format!("{name} {}", before + 1),
        };
        names.iter().enumerate().map(numbered).collect()
    }

    /// Goes on from sums that were saved for metrics of these names, or else in this order; the names of those that have none,
    /// and begin with nothing.
    pub fn load_state(&self, state: &StateDict, names: Option<&[String]>) -> Result<Vec<String>> {
        let fits = |saved: &&StateTensor, sums: &Tensor| saved.shape == *sums.shape();
        let mut all = self.all();
        if let Some((name, means)) = all.next() {
            let saved = state.get(&name).filter(|saved| fits(saved, means));
            saved.ok_or_else(|| Error::Weights(format!("the run has no sums: no `{name}` fits")))?.write_to(means);
        }
        let mut missing = Vec::new();
        for ((own, (by_place, sums)), name) in all.enumerate().zip(self.summed()) {
            let place = names.map_or(Some(own), |names| names.iter().position(|saved| *saved == name));
            let key = place.map_or(by_place, |place| format!("metric{place}"));
            match state.get(&key).filter(|saved| place.is_some() && fits(saved, sums)) {
                Some(saved) => saved.write_to(sums),
                None => {
                    sums.upload(&vec![0.0f32; sums.numel()]);
                    missing.push(name);
                }
            }
        }
        Ok(missing)
    }

    /// The sums of the means, after what was loaded.
    pub fn means(&self) -> Result<Vec<f32>> {
        self.means.to_vec()
    }

    /// After a first step on `saved` sums of means that had these names: puts each where its name stands now. One that they had not
    /// is told of the items since.
    pub fn rename(&self, names: &[String], saved: &[f32]) -> Result<()> {
        if names == self.names {
            return Ok(());
        }
        let now = self.means()?;
        let mut new = vec![0.0; MEANS];
        for at in [0, 1, LEFT_OUT] {
            new[at] = now[at];
        }
        for (at, name) in self.names.iter().enumerate() {
            let (sum, left_out) = (2 + at, LEFT_OUT + 1 + at);
            let before = match names.iter().position(|own| own == name) {
                Some(old) => [saved[2 + old], saved[LEFT_OUT + 1 + old]],
                None => [0.0, saved[0]],
            };
            new[sum] = before[0] + now[sum] - saved[sum];
            new[left_out] = before[1] + now[left_out] - saved[left_out];
        }
        self.means.upload(&new);
        Ok(())
    }
}

/// What ranks have collected, rank after rank, in the order of the set: each has a part of every batch, of so many numbers.
fn by_batch(values: &[f64], sizes: &[f64], ranks: usize) -> Vec<f64> {
    let mut end = 0;
    let part = |size: &f64| {
        let start = end;
        end += *size as usize;
        &values[start..end]
    };
    let parts: Vec<&[f64]> = sizes.iter().map(part).collect();
    let batches = (parts.len() / ranks).max(1);
    (0..batches).flat_map(|batch| parts[batch..].iter().step_by(batches)).copied().flatten().copied().collect()
}
