//! A run as a page to read afterwards.

use super::callback::{Callback, Run, Saved};
use super::history::Record;
use super::page;
use crate::backend::{edge, whole};
use crate::data::png;
use crate::error::{Error, Result};
use crate::metrics::{ConfusionMatrix, Scored};
use crate::nn::Summary;
use crate::profile::{Profile, Row};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The step of a run that is timed, counted from where this process began: what the first ones make is there.
const TIMED: u64 = 5;

/// The most points of a curve by steps: where there are more, every second is left out.
const POINTS: usize = 1500;

/// Writes a run as one page of HTML that needs no network: settings, device, data and model, curves with the values under the
/// cursor, a confusion matrix and a table by class, the time of a step by kernel and by layer, memory. It is written anew after
/// each epoch, so that a run can be watched, and goes on where a run is resumed.
///
/// ```no_run
/// # use wgrad::train::Report;
/// let report = Report::new("runs/first.html").title("MNIST").setting("lr", 0.001);
/// // Beside another run, on one page:
/// Report::compare(&["runs/first.html", "runs/second.html"], "runs/both.html")?;
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// A confusion matrix is there if [`ConfusionCounts`](crate::metrics::ConfusionCounts) are among the run's metrics and there is
/// a set for validation; ROC curves, precision over recall, calibration and the worst mistakes, if [`Scores`] are.
///
/// [`Scores`]: crate::metrics::Scores
pub struct Report {
    path: PathBuf,
    /// What the page shows, and what another one may read out of it.
    data: Value,
    /// Only one in so many points by steps is kept by now.
    every: u64,
    seen: u64,
    mistakes: usize,
    pictures: Option<Picture>,
    weights: bool,
    /// Whether it was told what the page lacks.
    warned: bool,
}

/// The picture of an item: its height and width, and bytes pixel by pixel, of one channel, three or four.
type Picture = Box<dyn Fn(usize) -> Option<([usize; 2], Vec<u8>)>>;

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Report {
    /// In a file.
    pub fn new(path: impl AsRef<Path>) -> Report {
        let path: PathBuf = path.as_ref().into();
        let title = path.file_stem().map_or_else(|| "run".into(), |stem| stem.to_string_lossy().into_owned());
        let data = json!({
            "title": title, "settings": [], "steps": [], "epochs": [], "started": [], "classes": [],
        });
        Report { path, data, every: 1, seen: 0, mistakes: 24, pictures: None, weights: false, warned: false }
    }

    /// The title, by default the file's name; runs side by side are told apart by it.
    #[must_use]
    pub fn title(mut self, title: &str) -> Report {
        self.data["title"] = json!(title);
        self
    }

    /// Tells a setting of the run.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl ToString) -> Report {
        self.push("settings", json!([name, value.to_string()]));
        self
    }

    /// Shows the layers of the model.
    #[must_use]
    pub fn summary(mut self, summary: &Summary) -> Report {
        let rows = summary.rows.iter().map(|row| json!([row.path, row.layer, row.shape.to_string(), row.parameters]));
        self.data["summary"] = json!({"rows": rows.collect::<Vec<_>>(), "parameters": summary.parameters});
        self
    }

    /// The names of the classes, in the order of labels.
    #[must_use]
    pub fn classes<S: AsRef<str>>(mut self, names: &[S]) -> Report {
        self.data["classes"] = names.iter().map(AsRef::as_ref).collect();
        self
    }

    /// How many of the worst mistakes are listed; 24.
    #[must_use]
    pub fn mistakes(self, count: usize) -> Report {
        Report { mistakes: count, ..self }
    }

    /// Shows the worst mistakes as pictures: `picture` gives the height and width of an item of the validation set, and its bytes
    /// pixel by pixel, of one channel, three, or four with opacity.
    #[must_use]
    pub fn pictures(self, picture: impl Fn(usize) -> Option<([usize; 2], Vec<u8>)> + 'static) -> Report {
        Report { pictures: Some(Box::new(picture)), ..self }
    }

    /// Also histograms of all weights, after each epoch: they are read for it.
    #[must_use]
    pub fn histograms(self) -> Report {
        Report { weights: true, ..self }
    }

    /// One page of several runs, from their own pages.
    ///
    /// # Errors
    /// [`Error::File`] if a page cannot be read or written, or is none of this kind.
    pub fn compare(pages: &[impl AsRef<Path>], to: impl AsRef<Path>) -> Result<()> {
        let read = |path: &Path| {
            let text = fs::read_to_string(path).map_err(|error| Error::file_because(path, "cannot be read", error))?;
            page::data_of(&text).ok_or_else(|| Error::file(path, "is no report of a run, or of several already"))
        };
        let runs = pages.iter().map(|path| read(path.as_ref())).collect::<Result<Vec<Value>>>()?;
        whole::write(to.as_ref(), page::of(&runs))
    }

    fn push(&mut self, list: &str, value: Value) {
        if let Some(all) = self.data[list].as_array_mut() {
            all.push(value);
        }
    }

    /// The pictures of the items that are listed, as PNG in base 64.
    fn drawn(&self) -> Result<Value> {
        let Some(picture) = &self.pictures else { return Ok(Value::Null) };
        let mut all = serde_json::Map::new();
        for item in self.data["scores"]["mistakes"].as_array().into_iter().flatten().filter_map(|row| row[0].as_u64()) {
            if let Some(([height, width], pixels)) = picture(item as usize) {
                all.insert(item.to_string(), json!(base64(&png(width, height, &pixels)?)));
            }
        }
        Ok(Value::Object(all))
    }

    /// What a page can do without, a table of classes where a label is of none: it is left out, and the log says so once.
    fn made<T>(&mut self, made: Result<T>) -> Option<T> {
        if let Err(error) = &made
            && !std::mem::replace(&mut self.warned, true)
        {
            log::warn!("Report: the page shows less of the validation set: {error}");
        }
        made.ok()
    }

    /// Somebody may look at it at any time.
    fn write(&self) -> Result<()> {
        whole::write(&self.path, page::of(std::slice::from_ref(&self.data)))
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let at = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let sextet = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[sextet as usize]) });
        }
    }
    out
}

fn record(record: &Record) -> Value {
    let figures: Vec<Value> = record.figures.iter().map(|(name, value)| json!([name, value])).collect();
    json!({
        "epoch": record.epoch, "step": record.step, "seconds": record.seconds, "rate": record.rate, "lr": record.lr,
        "figures": figures,
    })
}

impl Callback for Report {
    fn name(&self) -> &str {
        "report"
    }

    fn on_every_rank(&self) -> bool {
        false
    }

    fn writes_files(&self) -> bool {
        true
    }

    fn profiles(&self) -> Option<u64> {
        Some(TIMED)
    }

    fn started(&mut self, run: &mut Run) -> Result<()> {
        self.data["device"] = json!(run.device.to_string());
        self.data["data"] = json!(run.data);
        self.data["ended"] = Value::Null;
        self.push("started", json!([edge::unix_time(), run.step]));
        // Better to hear of a wrong path now than after the first epoch.
        self.write()
    }

    fn profiled(&mut self, _run: &mut Run, profile: &Profile) -> Result<()> {
        let rows = |rows: Vec<Row>| -> Vec<Value> {
            rows.iter().take(24).map(|row| json!([row.name, row.passes, row.ms])).collect()
        };
        self.data["profile"] =
            json!({"kernel": rows(profile.by_kernel()), "layer": rows(profile.by_layer()), "ms": profile.ms()});
        Ok(())
    }

    fn read(&mut self, run: &mut Run) -> Result<()> {
        self.seen += 1;
        let Some(loss) = run.loss.filter(|_| self.seen.is_multiple_of(self.every)) else { return Ok(()) };
        let point = json!([run.step, loss.item()?, run.lr()]);
        self.push("steps", point);
        if let Some(steps) = self.data["steps"].as_array_mut().filter(|steps| steps.len() > POINTS) {
            let mut at = 0;
            steps.retain(|_| {
                at += 1;
                at % 2 == 0
            });
            self.every *= 2;
        }
        Ok(())
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        self.data["epochs"] = run.history.epochs.iter().map(record).collect();
        self.data["memory"] = json!(run.device.counters().bytes);
        if let Some(fitted) = run.fitted {
            let is_other = |row: &Value| row[0] != "memory";
            self.data["settings"].as_array_mut().iter_mut().for_each(|all| all.retain(is_other));
            self.push("settings", json!(["memory", fitted.to_string()]));
        }
        if let Some(sums) = run.sums("confusion")? {
            let matrix = self.made(ConfusionMatrix::of_sums(&sums));
            self.data["confusion"] = matrix.map_or(Value::Null, |matrix| {
                let classes = 0..matrix.classes();
                let counts = classes.clone().flat_map(|t| classes.clone().map(move |p| (t, p)));
                counts.map(|(t, p)| matrix.count(t, p)).collect()
            });
        }
        if let Some(sums) = run.sums("scores")? {
            let scored = self.made(Scored::of_sums(&sums));
            self.data["scores"] = scored.map_or(Value::Null, |scored| page::scores::told(&scored, self.mistakes));
            self.data["pictures"] = self.drawn()?;
        }
        if self.weights {
            self.data["weights"] = json!(page::weights::told(&run.weights()?));
        }
        self.write()
    }

    fn ended(&mut self, run: &mut Run, error: Option<&Error>) -> Result<()> {
        let why = error.map(ToString::to_string).or_else(|| run.history.stopped.clone());
        self.data["ended"] = json!(why.unwrap_or_else(|| "all epochs are done".into()));
        self.write()
    }

    fn state(&self) -> Saved {
        let kept = json!({"steps": self.data["steps"], "started": self.data["started"], "every": self.every});
        Saved { text: kept.to_string(), ..Saved::default() }
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        let kept: Value = serde_json::from_str(&state.text)
            .map_err(|error| Error::Weights(format!("Report: its saved state is none ({error})")))?;
        self.every = kept["every"].as_u64().unwrap_or(1).max(1);
        self.data["steps"] = kept["steps"].clone();
        self.data["started"] = kept["started"].clone();
        Ok(())
    }
}
