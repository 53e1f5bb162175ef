//! How large weights are.

use super::{list, number, short, table, text};
use crate::nn::{StateDict, Values};
use crate::train::chart::escaped;
use serde_json::{Value, json};

/// Ranges of a histogram.
const BINS: usize = 32;

/// The sizes of all weights: `[path, count, mean, deviation, low, high, [counts]]` each. Numbers that are none are counted apart.
pub(in crate::train) fn told(weights: &StateDict) -> Vec<Value> {
    let each = |(path, value): (&String, &crate::nn::StateTensor)| {
        let all: Vec<f64> = match &value.values {
            Values::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
            Values::F16(values) => values.iter().map(|value| value.to_f64()).collect(),
            Values::BF16(values) => values.iter().map(|value| value.to_f64()).collect(),
            _ => return None,
        };
        let finite: Vec<f64> = all.iter().copied().filter(|value| value.is_finite()).collect();
        let count = finite.len().max(1) as f64;
        let mean = finite.iter().sum::<f64>() / count;
        let deviation = (finite.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let (low, high) = finite.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        let mut counts = [0u64; BINS];
        for value in &finite {
            counts[(((value - low) / (high - low).max(1e-12) * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        Some(json!([path, all.len(), mean, deviation, low, high, counts, all.len() - finite.len()]))
    };
    weights.iter().filter_map(each).collect()
}

/// A row for each.
pub(super) fn weights(run: &Value) -> String {
    let rows = list(&run["weights"]);
    if rows.is_empty() {
        return String::new();
    }
    let row = |row: &Value| {
        let counts: Vec<f64> = list(&row[6]).iter().map(number).collect();
        let most = counts.iter().copied().fold(1.0, f64::max);
        let bar = |(at, count): (usize, &f64)| {
            let height = (22.0 * count / most).ceil();
            format!("<rect x=\"{}\" y=\"{}\" width=\"4\" height=\"{height}\"/>", 5 * at, 22.0 - height)
        };
        let bars = counts.iter().enumerate().map(bar).collect::<String>();
        let lost = match row[7].as_u64() {
            None | Some(0) => String::new(),
            Some(count) => format!(" ({count} are no numbers)"),
        };
        let svg = format!(
            "<svg class=\"sizes\" viewBox=\"0 0 160 22\" width=\"160\" height=\"22\" role=\"img\">{bars}</svg>{lost}"
        );
        let numbers = [1, 2, 3, 4].map(|at| short(number(&row[at])));
        let [count, mean, deviation, low] = numbers;
        vec![escaped(&text(&row[0])), count, mean, deviation, low, svg, short(number(&row[5]))]
    };
    format!(
        "<section><details><summary>Weights</summary>\n{}</details></section>\n",
        table(
            &["path", "values", "mean", "deviation", "least", "", "largest"],
            &rows.iter().map(row).collect::<Vec<_>>()
        )
    )
}
