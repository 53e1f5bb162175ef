//! The column that is learned: a number or a category, and how good an answer is.

use crate::made_up;
use crate::start::say;
use wgrad::data::{Array, Scale, Table, Target};
use wgrad::{Reduction, Result, Tensor};

pub struct Goal {
    column: String,
    target: Target,
}

impl Goal {
    /// Looks at the column's training rows.
    pub fn fit(table: &Table, rows: &[usize], column: &str, as_categories: &[&str]) -> Result<Goal> {
        Ok(Goal { column: column.into(), target: Target::fit(table, rows, column, as_categories)? })
    }

    pub fn outputs(&self) -> usize {
        self.target.outputs()
    }

    pub fn answers(&self, table: &Table, rows: &[usize]) -> Result<Vec<Array>> {
        self.target.answers(table, rows, &self.column)
    }

    /// The mean squared error of numbers, or the cross-entropy of classes.
    pub fn loss(&self, said: &Tensor, y: &Tensor) -> Tensor {
        match self.target {
            Target::Number(_) => said.squeeze(1).mse_loss(y, Reduction::Mean),
            Target::Class(_) => said.cross_entropy(y),
        }
    }

    pub fn metric(&self) -> &'static str {
        match self.target {
            Target::Number(_) => "mean error",
            Target::Class(_) => "accuracy",
        }
    }

    /// The mean absolute error in the unit of the column, or the share of right answers.
    pub fn measure(&self, said: &Tensor, y: &Tensor) -> Tensor {
        match self.target {
            Target::Number(scale) => said.squeeze(1).l1_loss(y, Reduction::Mean) * scale.std as f32,
            Target::Class(_) => said.argmax(1).eq(y).mean(),
        }
    }

    pub fn baseline_title(&self) -> &'static str {
        match self.target {
            Target::Number(_) => "always the median",
            Target::Class(_) => "always the most frequent",
        }
    }

    /// What the median of the training rows comes to, or their most frequent class.
    pub fn baseline(&self, train: &[(Vec<f32>, Array)], validation: &[(Vec<f32>, Array)]) -> f64 {
        let count = validation.len() as f64;
        match &self.target {
            Target::Number(scale) => {
                let mut numbers: Vec<f32> = train.iter().map(|(_, y)| y.f32s()[0]).collect();
                numbers.sort_by(f32::total_cmp);
                let middle = (numbers[(numbers.len() - 1) / 2] + numbers[numbers.len() / 2]) / 2.0;
                let off: f32 = validation.iter().map(|(_, y)| (y.f32s()[0] - middle).abs()).sum();
                f64::from(off) / count * scale.std
            }
            Target::Class(values) => {
                let of =
                    |part: &[(Vec<f32>, Array)], class: i32| part.iter().filter(|row| row.1.i32s()[0] == class).count();
                let most = (0..values.len() as i32).max_by_key(|class| of(train, *class)).unwrap_or(0);
                of(validation, most) as f64 / count
            }
        }
    }

    /// What the formula behind the made-up flats comes to.
    pub fn best_possible(&self) -> Option<f64> {
        match self.column.as_str() {
            "rent" => Some(f64::from(made_up::LEAST_ERROR)),
            "demand" => Some(f64::from(made_up::MOST_ACCURACY)),
            _ => None,
        }
    }

    pub fn show(&self, metric: f64) -> String {
        match self.target {
            Target::Number(_) => format!("{metric:.2}"),
            Target::Class(_) => format!("{:.2}%", 100.0 * metric),
        }
    }

    /// Tells the answer for each row of a table.
    pub fn tell(&self, said: &Tensor, table: &Table) -> Result<()> {
        let column = &self.column;
        match &self.target {
            Target::Number(Scale { mean, std }) => {
                for (row, y) in said.to_vec::<f32>()?.iter().enumerate() {
                    say!("{}: {column} {:.1}", table.place(row), f64::from(*y) * std + mean)?;
                }
            }
            Target::Class(values) => {
                let shares = said.softmax(1).to_vec::<f32>()?;
                for (row, shares) in shares.chunks(values.len()).enumerate() {
                    let best = values.iter().zip(shares).max_by(|a, b| a.1.total_cmp(b.1));
                    let (name, share) = best.expect("there are classes");
                    say!("{}: {column} {name} ({:.0}%)", table.place(row), 100.0 * share)?;
                }
            }
        }
        Ok(())
    }
}
