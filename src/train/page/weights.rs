//! How large weights are.

use super::{list, number, short, table, text};
use crate::nn::StateDict;
use crate::train::chart::escaped;
use crate::train::events::Spread;
use serde_json::{Value, json};

/// Ranges of a histogram.
const BINS: usize = 32;

/// The sizes of all weights: `[path, count, mean, deviation, low, high, [counts]]` each. Numbers that are none are counted apart.
pub(in crate::train) fn told(weights: &StateDict) -> Vec<Value> {
    let each = |(path, value): (&String, &crate::nn::StateTensor)| {
        let all = value.floats()?;
        let Spread { values, low, high, counts, .. } = Spread::<BINS>::of(&all);
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        Some(json!([path, all.len(), mean, deviation, low, high, counts, all.len() - values.len()]))
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

#[cfg(test)]
mod tests {
    use super::told;
    use crate::nn::{StateDict, StateTensor, Values};

    #[test]
    fn a_weight_without_any_number_has_neither_a_least_nor_a_largest() {
        let lost = StateTensor { shape: vec![2], values: Values::F32(vec![f32::NAN, f32::INFINITY]) };
        let row = &told(&StateDict::from([("w".to_string(), lost)]))[0];
        assert!([2, 3, 4, 5].iter().all(|at| row[at].is_null()) && row[7] == 2, "{row}");
    }
}
