//! Series of numbers, cut into what is known and what follows.

use super::dataset::Dataset;
use super::item::Array;
use crate::error::{Error, Result};

/// Windows of a series: an item is `context` steps, and the `horizon` steps that follow, each `[steps, width]`.
///
/// ```
/// use wgrad::data::{Dataset, SeriesWindows};
/// // Ten steps of two numbers each; three are seen, and two foretold.
/// let series = SeriesWindows::new((0..20).map(|at| at as f32).collect(), 2, 3, 2, 1)?;
/// let (seen, next) = series.get(1)?;
/// assert_eq!((series.len(), seen.shape(), next.f32s()), (6, &[3, 2][..], &[8.0, 9.0, 10.0, 11.0][..]));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "timeseries_dataset_from_array")]
#[derive(Debug, Clone)]
pub struct SeriesWindows {
    values: Vec<f32>,
    width: usize,
    context: usize,
    horizon: usize,
    stride: usize,
}

impl SeriesWindows {
    /// Of the values of all steps, `width` for each; a window begins `stride` steps behind the one before. Split a series by time
    /// before it is cut, so that no window of the training part reaches into the validation part.
    ///
    /// # Errors
    /// [`Error::Option`] if the width, the context, the horizon or the stride is 0; [`Error::Data`] if the values are no whole number
    /// of steps, or there is no whole window.
    pub fn new(values: Vec<f32>, width: usize, context: usize, horizon: usize, stride: usize) -> Result<SeriesWindows> {
        if [width, context, horizon, stride].contains(&0) {
            let text = format!(
                "SeriesWindows: a width of {width}, a context of {context}, a horizon of {horizon}, a stride of {stride}: \
                 choose at least 1 for each"
            );
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
        Ok(SeriesWindows { values, width, context, horizon, stride })
    }
}

impl Dataset for SeriesWindows {
    type Item = (Array, Array);

    fn len(&self) -> usize {
        (self.values.len() / self.width - self.context - self.horizon) / self.stride + 1
    }

    fn get(&self, row: usize) -> Result<(Array, Array)> {
        let steps = |from: usize, count: usize| {
            Array::new(self.values[from * self.width..][..count * self.width].to_vec(), [count, self.width])
        };
        let start = row * self.stride;
        Ok((steps(start, self.context), steps(start + self.context, self.horizon)))
    }
}
