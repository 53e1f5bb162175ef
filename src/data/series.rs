//! Series of numbers, cut into what is known and what follows.

use super::dataset::Dataset;
use super::item::Array;
use crate::error::{Error, Result};

/// Windows of a series: an item is `context` steps `[context, width]`, and the `horizon` steps that follow, `[horizon, width]`.
///
/// ```
/// use wgrad::data::{Dataset, SeriesWindows, WindowOptions};
/// // Ten steps of two numbers each; three are seen, and the first number of the next two is foretold.
/// let values = (0..20).map(|at| at as f32).collect();
/// let options = WindowOptions { context: 3, horizon: 2, targets: Some(vec![0]), ..WindowOptions::default() };
/// let series = SeriesWindows::new(values, 2, options)?;
/// let (seen, next) = series.get(1)?;
/// assert_eq!((series.len(), seen.shape(), next.shape(), next.f32s()), (6, &[3, 2][..], &[2, 1][..], &[8.0, 10.0][..]));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "timeseries_dataset_from_array")]
#[derive(Debug, Clone)]
pub struct SeriesWindows {
    values: Vec<f32>,
    width: usize,
    options: WindowOptions,
}

/// Options of [`SeriesWindows`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowOptions {
    /// Steps that are seen; 1.
    pub context: usize,
    /// Steps that follow; 1.
    pub horizon: usize,
    /// Steps from the begin of a window to that of the next; 1.
    pub stride: usize,
    /// The numbers of a step that are foretold, by their places; all.
    pub targets: Option<Vec<usize>>,
}

impl Default for WindowOptions {
    fn default() -> WindowOptions {
        WindowOptions { context: 1, horizon: 1, stride: 1, targets: None }
    }
}

impl SeriesWindows {
    /// Of the values of all steps, `width` for each. Split a series by time before it is cut, so that no window of the training part
    /// reaches into the validation part.
    ///
    /// # Errors
    /// [`Error::Option`] if the width, the context, the horizon or the stride is 0, or a target is not below the width;
    /// [`Error::Data`] if the values are no whole number of steps, or there is no whole window.
    pub fn new(values: Vec<f32>, width: usize, options: WindowOptions) -> Result<SeriesWindows> {
        let WindowOptions { context, horizon, stride, ref targets } = options;
        if [width, context, horizon, stride].contains(&0) {
            let text = format!(
                "SeriesWindows: a width of {width}, a context of {context}, a horizon of {horizon}, a stride of {stride}: \
                 choose at least 1 for each"
            );
            return Err(Error::Option(text));
        }
        if let Some(target) = targets.iter().flatten().find(|target| **target >= width) {
            let text = format!("SeriesWindows: a target {target} of a width of {width}: the first is 0");
            return Err(Error::Option(text));
        }
        let (steps, count) = (values.len() / width, values.len());
        if steps * width != count {
            return Err(Error::Data(format!("SeriesWindows: {count} values are no whole number of steps of {width}")));
        }
        if steps < context.saturating_add(horizon) {
            let text = format!("SeriesWindows: a series of {steps} steps has no {context} and {horizon} that follow");
            return Err(Error::Data(text));
        }
        Ok(SeriesWindows { values, width, options })
    }
}

impl Dataset for SeriesWindows {
    type Item = (Array, Array);

    fn len(&self) -> usize {
        let WindowOptions { context, horizon, stride, .. } = self.options;
        (self.values.len() / self.width - context - horizon) / stride + 1
    }

    fn get(&self, row: usize) -> Result<(Array, Array)> {
        let WindowOptions { context, horizon, stride, targets } = &self.options;
        let values = |from: usize, count: usize| &self.values[from * self.width..][..count * self.width];
        let (start, all) = (row * stride, (0..self.width).collect());
        let targets = targets.as_ref().unwrap_or(&all);
        let next = values(start + context, *horizon).chunks(self.width);
        let next: Vec<f32> = next.flat_map(|step| targets.iter().map(|target| step[*target])).collect();
        let seen = Array::new(values(start, *context).to_vec(), [*context, self.width]);
        Ok((seen, Array::new(next, [*horizon, targets.len()])))
    }
}
