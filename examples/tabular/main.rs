//! Learns one column of a CSV file from the others: a number (regression) or a category (classification).
//!
//!     cargo run --release --example tabular
//!     cargo run --release --example tabular -- --target demand
//!
//! The flats of `examples/data/flats.csv` are made up by a formula and noise of known size, so that the best possible
//! error is known. On the CPU backend the first command prints:
//!
//!     flats.csv: 1600 rows to train, 400 to validate
//!     area         a number: mean 69.7, deviation 29.4, median 71.0
//!     rooms        a number: mean 2.7, deviation 0.9, median 3.0
//!     year         a number: mean 1960.5, deviation 32.9, median 1960.0, missing in 155 rows
//!     energy       a number: mean 147.6, deviation 57.9, median 151.0, missing in 210 rows
//!     district     one of 5
//!     heating      one of 3, missing in 66 rows
//!     epoch  training loss  validation loss  mean error
//!         1         0.7396           0.4182      192.68
//!        11         0.0228           0.0273       49.04
//!     ..
//!        74         0.0093           0.0169       38.93
//!     the best epoch was 53
//!     new_flats.csv, line 2: rent 851.9
//!     new_flats.csv, line 3: rent 957.8
//!     new_flats.csv, line 4: rent 1651.8
//!     always the median: 317.48
//!     the formula itself, at best: 30.00
//!     validation mean error: 39.08
//!
//! and the second ends with:
//!
//!     new_flats.csv, line 2: demand low (80%)
//!     new_flats.csv, line 3: demand high (86%)
//!     new_flats.csv, line 4: demand medium (71%)
//!     always the most frequent: 35.75%
//!     the formula itself, at best: 90.00%
//!     validation accuracy: 85.50%
//!
//! A file of your own: `-- --data FILE.csv --target COLUMN --ignore COLUMN,COLUMN --predict NEW.csv`.

mod args;
mod encoder;
#[path = "../program/losses.rs"]
mod losses;
mod made_up;
#[path = "../program/start.rs"]
mod start;
mod table;

use args::Args;
use clap::Parser;
use encoder::{Encoder, Goal, Scale, median};
use losses::Losses;
use start::{note, say, start};
use std::path::Path;
use std::process::ExitCode;
use table::Table;
use wgrad::nn::{self, Ctx, Init, Layer, Linear, Relu, Sequential, Strictness};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::plan::Replay;
use wgrad::{DType, Error, Reduction, Result, Rng, Tensor};

/// One row in five judges the model and is not trained on.
const VALIDATION: usize = 5;

/// Fewer rows than this cannot be split in a way that tells anything.
const LEAST_ROWS: usize = 20;

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

/// Rows on the device, with their right answers.
struct Part {
    x: Tensor,
    y: Tensor,
}

fn run(args: &Args) -> Result<()> {
    if let Some(path) = &args.make {
        return std::fs::write(path, made_up::flats()).map_err(|problem| Error::file(path, problem));
    }
    let device = args.device.open()?;
    note!("device: {device}: {}", device.why());

    let table = match &args.data {
        Some(path) => read(path)?,
        None => Table::parse("flats.csv", include_bytes!("../data/flats.csv"))?,
    };
    let target = args.target.as_deref().unwrap_or("rent");
    let target_column = table.column(target)?;
    let inputs = inputs(args, &table, target)?;
    if table.len() < LEAST_ROWS {
        let text = format!("{}: {} rows are too few to learn from: expected {LEAST_ROWS}", table.name, table.len());
        return Err(Error::Data(text));
    }
    let mut rows: Vec<usize> = (0..table.len()).collect();
    Rng::stream(args.seed, 1).shuffle(&mut rows);
    let (validation_rows, train_rows) = rows.split_at(table.len() / VALIDATION);
    say!("{}: {} rows to train, {} to validate", table.name, train_rows.len(), validation_rows.len())?;

    // What the columns become is measured on the training rows alone: the others stand for rows not yet seen.
    let encoder = Encoder::fit(&table, train_rows, &inputs, &args.categories)?;
    let goal = Goal::fit(&table, train_rows, target_column, &args.categories)?;
    say!("{}", encoder.to_string().trim_end())?;
    let width = encoder.width();
    let x = encoder.encode(&table, 0..table.len())?;
    let y = goal.answers(&table, &(0..table.len()).collect::<Vec<_>>(), target_column)?;
    let part = |rows: &[usize]| {
        let x = rows.iter().flat_map(|&row| &x[row * width..][..width]).copied().collect();
        Part { x: Tensor::from_vec(x, [rows.len(), width], &device), y: y.tensor(rows, &device) }
    };
    let validation = part(validation_rows);
    // Better to hear of a mistake in new rows now than after training.
    let new = match &args.predict {
        Some(path) => Some(read(path)?),
        None if args.data.is_some() => None,
        None => Some(Table::parse("new_flats.csv", include_bytes!("../data/new_flats.csv"))?),
    };
    let new = new.map(|new| encoder.encode(&new, 0..new.len()).map(|x| (new, x))).transpose()?;

    let mut init = Init::new(args.seed, &device);
    let model = Sequential::new()
        .push(Linear::new(width, 64, &mut init))
        .push(Relu::new())
        .push(Linear::new(64, 32, &mut init))
        .push(Relu::new())
        .push(Linear::new(32, goal.outputs(), &mut init));
    let mut optimizer = Adam::new(&model, AdamOptions { lr: args.lr, ..AdamOptions::default() })?;
    let mut step = Replay::new();
    let mut file = Losses::new(args.losses.as_deref())?;

    // The best weights so far, their validation loss and their epoch.
    let mut best = (nn::state(&model)?, f32::INFINITY, 0);
    let mut train_rows = train_rows.to_vec();
    say!("epoch  training loss  validation loss  {:>10}", goal.metric())?;
    for epoch in 1..=args.epochs {
        Rng::stream(args.seed, 1 + epoch as u32).shuffle(&mut train_rows);
        let sum = Tensor::zeros([1], &device);
        for rows in train_rows.chunks(args.batch_size) {
            let batch = part(rows);
            let loss = step.run([&batch.x, &batch.y], |[x, y]| {
                let loss = loss(&model.forward(x, &Ctx::train()), y);
                optimizer.step(&loss.backward());
                Ok(loss)
            })?;
            file.add("loss", &loss)?;
            sum.assign(&(&sum + loss.affine(rows.len() as f32, 0.0)));
        }
        let training_loss = sum.item()? / train_rows.len() as f32;
        let said = model.forward(&validation.x, &Ctx::eval());
        let validation_loss = loss(&said, &validation.y).item()?;
        if !validation_loss.is_finite() {
            return Err(Error::Option(format!(
                "the loss became {validation_loss} in epoch {epoch}: use a smaller --lr"
            )));
        }
        if validation_loss < best.1 {
            best = (nn::state(&model)?, validation_loss, epoch);
        }
        let ends = epoch == args.epochs || epoch - best.2 > args.patience;
        if epoch % 10 == 1 || ends {
            let metric = goal.show(goal.measure(&said, &validation.y)?);
            say!("{epoch:>5}  {training_loss:>13.4}  {validation_loss:>15.4}  {metric:>10}")?;
        }
        if ends {
            break;
        }
    }
    say!("the best epoch was {}", best.2)?;
    nn::load_state(&model, &best.0, Strictness::Strict)?;

    if let Some((new, x)) = new {
        predict(&model, &goal, target, &new, &Tensor::from_vec(x, [new.len(), width], &device))?;
    }
    let said = model.forward(&validation.x, &Ctx::eval());
    let [title, always] = [goal.baseline_title(), &goal.show(goal.baseline(&part(&train_rows).y, &validation.y)?)];
    say!("{title}: {always}")?;
    if let Some(known) = goal.best_possible(target).filter(|_| args.data.is_none()) {
        say!("the formula itself, at best: {}", goal.show(known))?;
    }
    say!("validation {}: {}", goal.metric(), goal.show(goal.measure(&said, &validation.y)?))?;
    Ok(())
}

fn read(path: &Path) -> Result<Table> {
    let bytes = std::fs::read(path).map_err(|problem| Error::file_because(path, "cannot be read", problem))?;
    Table::parse(&path.display().to_string(), &bytes)
}

/// The columns to learn from: all but the target and those that are to be ignored.
fn inputs(args: &Args, table: &Table, target: &str) -> Result<Vec<String>> {
    let mut ignored = args.ignore.clone();
    if ignored.iter().any(|name| name == target) {
        return Err(Error::Option(format!(
            "--ignore {target}: that is the column to be told, which is never learned from"
        )));
    }
    if args.data.is_none() {
        // The other target is not known of a flat that is yet to be let.
        ignored.extend(["rent".to_string(), "demand".to_string()]);
    }
    for name in ignored.iter().chain(&args.categories) {
        table.column(name)?;
    }
    let inputs: Vec<String> =
        table.header.iter().filter(|name| *name != target && !ignored.contains(name)).cloned().collect();
    if inputs.is_empty() {
        return Err(Error::Option(format!("no column is left to learn `{target}` from: ignore fewer")));
    }
    Ok(inputs)
}

/// The mean squared error of numbers, or the cross-entropy of classes.
fn loss(said: &Tensor, y: &Tensor) -> Tensor {
    if y.dtype() == DType::F32 { said.squeeze(1).mse_loss(y, Reduction::Mean) } else { said.cross_entropy(y) }
}

impl Goal {
    fn metric(&self) -> &'static str {
        match self {
            Goal::Number(_) => "mean error",
            Goal::Class(_) => "accuracy",
        }
    }

    /// The mean absolute error in the unit of the column, or the share of right answers.
    fn measure(&self, said: &Tensor, y: &Tensor) -> Result<f32> {
        match self {
            Goal::Number(scale) => Ok(said.squeeze(1).l1_loss(y, Reduction::Mean).item()? * scale.std as f32),
            Goal::Class(_) => said.argmax(1).eq(y).mean().item(),
        }
    }

    fn baseline_title(&self) -> &'static str {
        match self {
            Goal::Number(_) => "always the median",
            Goal::Class(_) => "always the most frequent",
        }
    }

    /// What the median of the training rows comes to, or their most frequent class.
    fn baseline(&self, train: &Tensor, validation: &Tensor) -> Result<f32> {
        match self {
            Goal::Number(scale) => {
                let middle = median(&train.to_vec::<f32>()?.into_iter().map(f64::from).collect::<Vec<_>>()) as f32;
                let off = validation.to_vec::<f32>()?.iter().map(|y| (y - middle).abs()).sum::<f32>();
                Ok(off / validation.numel() as f32 * scale.std as f32)
            }
            Goal::Class(values) => {
                let train = train.to_vec::<i32>()?;
                let count = |class: &i32| train.iter().filter(|y| *y == class).count();
                let most = (0..values.len() as i32).max_by_key(count).unwrap_or(0);
                let right = validation.to_vec::<i32>()?.iter().filter(|y| **y == most).count();
                Ok(right as f32 / validation.numel() as f32)
            }
        }
    }

    /// What the formula behind the made-up flats comes to.
    fn best_possible(&self, target: &str) -> Option<f32> {
        match target {
            "rent" => Some(made_up::LEAST_ERROR),
            "demand" => Some(made_up::MOST_ACCURACY),
            _ => None,
        }
    }

    fn show(&self, metric: f32) -> String {
        match self {
            Goal::Number(_) => format!("{metric:.2}"),
            Goal::Class(_) => format!("{:.2}%", 100.0 * metric),
        }
    }
}

/// Tells the answer for each row of a table, whose numbers are x.
fn predict(model: &impl Layer, goal: &Goal, target: &str, table: &Table, x: &Tensor) -> Result<()> {
    let said = model.forward(x, &Ctx::eval());
    match goal {
        Goal::Number(Scale { mean, std }) => {
            for (row, y) in said.to_vec::<f32>()?.iter().enumerate() {
                say!("{}: {target} {:.1}", table.place(row), f64::from(*y) * std + mean)?;
            }
        }
        Goal::Class(values) => {
            let shares = said.softmax(1).to_vec::<f32>()?;
            for (row, shares) in shares.chunks(values.len()).enumerate() {
                let (name, share) =
                    values.iter().zip(shares).max_by(|a, b| a.1.total_cmp(b.1)).expect("there are classes");
                say!("{}: {target} {name} ({:.0}%)", table.place(row), 100.0 * share)?;
            }
        }
    }
    Ok(())
}
