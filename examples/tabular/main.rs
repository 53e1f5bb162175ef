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
//!     epoch       loss  mean error   val_loss  val_mean error  items/s  seconds
//!         1     0.7477    254.8543     0.4258        192.9239  ..
//!        11     0.0227     44.5803     0.0280         50.2752  ..
//!     ..
//!        90     0.0090     28.4782     0.0175         40.1884  ..
//!     stopped: val_loss was no better than 0.0161 for 20 epochs
//!     the best epoch was 70
//!     new_flats.csv, line 2: rent 841.2
//!     new_flats.csv, line 3: rent 964.1
//!     new_flats.csv, line 4: rent 1653.1
//!     always the median: 317.48
//!     the formula itself, at best: 30.00
//!     validation mean error: 38.34
//!
//! and the second ends with:
//!
//!     new_flats.csv, line 2: demand low (82%)
//!     new_flats.csv, line 3: demand high (89%)
//!     new_flats.csv, line 4: demand medium (80%)
//!     always the most frequent: 35.75%
//!     the formula itself, at best: 90.00%
//!     validation accuracy: 86.75%
//!
//! A file of your own: `-- --data FILE.csv --target COLUMN --ignore COLUMN,COLUMN --predict NEW.csv`.

mod args;
mod goal;
#[path = "../program/losses.rs"]
mod losses;
mod made_up;
#[path = "../program/run.rs"]
mod run;
#[path = "../program/start.rs"]
mod start;

use args::Args;
use clap::Parser;
use goal::Goal;
use run::Look;
use start::{note, say, start};
use std::process::ExitCode;
use wgrad::data::{Array, DataLoader, Encoder, LoaderOptions, Table};
use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential};
use wgrad::optim::{Adam, AdamOptions};
use wgrad::train::{EarlyStopping, Outcome, Progress, Trainer};
use wgrad::{Error, Result, Rng};

/// One row in five judges the model and is not trained on.
const VALIDATION: usize = 5;

/// Fewer rows than this cannot be split in a way that tells anything.
const LEAST_ROWS: usize = 20;

/// Epochs from one row of the table to the next.
const TOLD: usize = 10;

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    if let Some(path) = &args.make {
        return std::fs::write(path, made_up::flats()).map_err(|problem| Error::file(path, problem));
    }
    let device = args.run.device.open()?;
    note!("device: {device}: {}", device.why());

    let table = match &args.data {
        Some(path) => Table::read(path)?,
        None => Table::parse("flats.csv", include_bytes!("../data/flats.csv"))?,
    };
    let target = args.target.as_deref().unwrap_or("rent");
    table.column(target)?;
    let inputs = inputs(args, &table, target)?;
    if table.len() < LEAST_ROWS {
        let text = format!("{}: {} rows are too few to learn from: expected {LEAST_ROWS}", table.name(), table.len());
        return Err(Error::Data(text));
    }
    let mut rows: Vec<usize> = (0..table.len()).collect();
    Rng::stream(args.run.seed, 1).shuffle(&mut rows);
    let (validation, train) = rows.split_at(table.len() / VALIDATION);
    say!("{}: {} rows to train, {} to validate", table.name(), train.len(), validation.len())?;

    // What the columns become is measured on the training rows alone: the others stand for rows not yet seen.
    let encoder = Encoder::fit(&table, train, &names(&inputs), &names(&args.categories))?;
    let goal = Goal::fit(&table, train, target, &names(&args.categories))?;
    say!("{}", encoder.to_string().trim_end())?;
    let part = |rows: &[usize]| -> Result<Vec<(Vec<f32>, Array)>> {
        Ok(encoder.rows(&table, rows)?.into_iter().zip(goal.answers(&table, rows)?).collect())
    };
    let (train, validation) = (part(train)?, part(validation)?);
    let baseline = goal.baseline(&train, &validation);
    // Better to hear of a mistake in new rows now than after training.
    let new = match &args.predict {
        Some(path) => Some(Table::read(path)?),
        None if args.data.is_some() => None,
        None => Some(Table::parse("new_flats.csv", include_bytes!("../data/new_flats.csv"))?),
    };
    let all = |table: Table| Ok((encoder.rows(&table, &(0..table.len()).collect::<Vec<_>>())?, table));
    let new = new.map(all).transpose()?;

    let mut init = Init::new(args.run.seed, &device);
    let model = Sequential::new()
        .push(Linear::new(encoder.width(), 64, &mut init))
        .push(Relu::new())
        .push(Linear::new(64, 32, &mut init))
        .push(Relu::new())
        .push(Linear::new(32, goal.outputs(), &mut init));
    args.run.begin(&model)?;
    let (batch_size, shuffle) = (args.batch_size, Some(args.run.seed));
    let train = DataLoader::new(train, LoaderOptions { batch_size, shuffle, ..LoaderOptions::default() })?;
    let validation = DataLoader::new(validation, LoaderOptions { batch_size: 1000, ..LoaderOptions::default() })?;
    let optimizer = Adam::new(&model, AdamOptions { lr: args.lr, ..AdamOptions::default() })?;
    let trainer = Trainer::new(&device, &model, optimizer, |[x, y], ctx| {
        let said = model.forward(x, ctx);
        Ok(Outcome::of(goal.loss(&said, y)).and(goal.metric(), &goal.measure(&said, y)))
    });
    let mut trainer = args
        .run
        .apply(trainer, Look { progress: Progress::new().every(TOLD), ..Look::default() })?
        .epochs(args.epochs)
        .callback(EarlyStopping::new("val_loss", args.patience).restore_best());
    let history = trainer.fit(&train, Some(&validation))?;
    if let Some((epoch, _)) = history.of("val_loss").iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)) {
        say!("the best epoch was {}", epoch + 1)?;
    }
    args.run.finish(&history, &model)?;

    if let Some((x, new)) = new {
        let x = Array::new(x.concat(), [new.len(), encoder.width()]).to(&device);
        goal.tell(&model.forward(&x, &Ctx::eval()), &new)?;
    }
    say!("{}: {}", goal.baseline_title(), goal.show(baseline))?;
    if let Some(known) = goal.best_possible().filter(|_| args.data.is_none()) {
        say!("the formula itself, at best: {}", goal.show(known))?;
    }
    let found = trainer.evaluate(&validation)?.get(goal.metric()).unwrap_or(f64::NAN);
    say!("validation {}: {}", goal.metric(), goal.show(found))
}

fn names(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
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
        table.header().iter().filter(|name| *name != target && !ignored.contains(name)).cloned().collect();
    if inputs.is_empty() {
        return Err(Error::Option(format!("no column is left to learn `{target}` from: ignore fewer")));
    }
    Ok(inputs)
}
