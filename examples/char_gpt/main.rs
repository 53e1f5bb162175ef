//! Trains a causal Transformer on the characters of a play, and lets it write.
//!
//!     cargo run --release --example char_gpt
//!
//! On the CPU backend with two threads it prints:
//!
//!     818241 parameters, 65 different characters
//!     156549 characters to learn from, 17394 held out
//!
//!     epoch       loss   val_loss  items/s  seconds
//!         1     2.7925     2.3909  ..
//!         2     2.2518     2.1181  ..
//!         3     2.0120     1.9580  ..
//!         4     1.8666     1.8582  ..
//!     ..
//!
//! An epoch is an eighth of the steps, and `val_loss` is that of the held-out part, in nats a character: 1.7 at last. Then it
//! writes, in this manner:
//!
//!     My dear, bear you shall live the hather?
//!
//!     Pol.
//!     By by whold all the are well bell be,
//!     And the with not uperinard in taked of here again unnows
//!     dead your fathers.
//!     O, by couppreaven in!
//!     O anter is what thich, good this rembers of I matter?
//!
//!     Ham.
//!     This mount heave in it feche such, and great of thrien
//!     ..
//!
//! `--load` and `--steps 0` write from saved weights, at the same cost for the thousandth character as for the tenth.
//! `--data FILE` learns another text: all nine plays that this one was taken from, 2,000 steps of `--lr 1e-3`, gave a
//! held-out loss of 1.911. `--help` names the sizes. `--parallel 4` shares each batch among four GPUs.

mod args;
#[path = "../program/losses.rs"]
mod losses;
mod model;
#[path = "../program/ranks.rs"]
mod ranks;
#[path = "../program/run.rs"]
#[expect(dead_code, reason = "weights are loaded and saved with their alphabet")]
mod run;
#[path = "../program/start.rs"]
mod start;
mod text;
mod writer;

use args::Args;
use clap::Parser;
use model::{Gpt, Size};
use run::Look;
use start::{note, out, say, start};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use text::{Alphabet, Text};
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::nn::{Init, Layer, Strictness};
use wgrad::optim::schedule::{CosineAnnealingLr, LinearLr, SequentialLr};
use wgrad::optim::{AdamW, AdamWOptions};
use wgrad::parallel::Group;
use wgrad::train::{Drawn, Trainer};
use wgrad::{Device, Error, Result, Rng, checkpoint, nn};
use writer::{Sampling, Writer};

/// Rows of the table.
const ROWS: usize = 8;

fn main() -> ExitCode {
    start(|| {
        let args = Args::parse();
        check(&args)?;
        args.ranks.run(args.run.device, |group, device| run(&args, group, device))
    })
}

fn run(args: &Args, group: Arc<dyn Group>, device: &Device) -> Result<()> {
    let tells = group.rank() == 0;
    args.run.check()?;
    let text = text::read(args.data.as_deref())?;
    let mut saved = args.run.load.as_ref().map(checkpoint::read).transpose()?;
    let alphabet = match (&mut saved, &args.run.load) {
        (Some(saved), Some(path)) => Alphabet::take(saved, path)?,
        _ => Alphabet::of(&text),
    };
    let own = if text.contains('\n') { "\n" } else { &text[..text.chars().next().map_or(0, char::len_utf8)] };
    let prompt = alphabet.numbers(args.prompt.as_deref().unwrap_or(own), "the prompt")?;
    let text = Text::new(alphabet.numbers(&text, "the text")?, args.context)?;
    let Args { layers, width, heads, context, dropout, .. } = *args;
    let size = Size { letters: alphabet.len(), layers, width, heads, context, dropout };
    let model = Gpt::new(size, &mut Init::new(args.run.seed, device));
    if let Some(saved) = &saved {
        nn::load_state(&model, saved, Strictness::Strict)?;
    }
    let [train, held_out] = text.sizes();
    let parameters: usize = nn::parameters(&model).iter().map(|(_, p)| p.shape().numel()).sum();
    if tells {
        say!("{parameters} parameters, {} different characters", alphabet.len())?;
        say!("{train} characters to learn from, {held_out} held out\n")?;
    }

    let draw = |rng: &mut Rng| Ok(text.draw(args.batch_size, context, rng));
    let train = Drawn::new(args.steps, args.run.seed, draw).epochs(ROWS);
    let options = LoaderOptions { batch_size: args.batch_size, ..LoaderOptions::default() };
    let held_out = DataLoader::new(text.held_out(context), options)?;
    let trainer = Trainer::new(device, &model, optimizer(&model, args)?, |[seen, next], ctx| {
        Ok(model.forward(seen, ctx).cross_entropy(&next.flatten(0)).into())
    });
    let epochs = if args.steps == 0 { 0 } else { train.in_epochs() };
    let trainer = args.run.apply(trainer, Look::default())?.epochs(epochs);
    let mut trainer = trainer.schedule(schedule(args.steps)).parallel(group);
    let history = trainer.fit(&train, Some(&held_out))?;
    let loss = trainer.evaluate(&held_out)?.get("loss").unwrap_or(f64::NAN);
    if !tells {
        return Ok(());
    }
    say!("\nheld-out loss {loss:.4} nats a character")?;
    args.run.tell_how_to_go_on(&history);
    if let Some(path) = &args.run.save {
        let mut state = nn::state(&model)?;
        alphabet.put(&mut state);
        checkpoint::write(&state, path)?;
        note!("weights saved to {}", path.display());
    }
    if args.length > 0 { write(&model, &alphabet, &prompt, args, device) } else { Ok(()) }
}

/// What clap cannot see.
fn check(args: &Args) -> Result<()> {
    let Args { width, heads, dropout, temperature, .. } = *args;
    let wrong = if !width.is_multiple_of(heads) {
        format!("a width of {width} cannot be shared by {heads} heads: use a multiple of {heads}")
    } else if !(0.0..1.0).contains(&dropout) {
        format!("--dropout {dropout} is not in 0..1")
    } else if !(temperature.is_finite() && temperature >= 0.0) {
        format!("--temperature {temperature} is not a number from 0 up")
    } else if args.prompt.as_deref() == Some("") {
        "the prompt is empty: give at least one character to go on from".into()
    } else {
        return Ok(());
    };
    Err(Error::Option(wrong))
}

/// Biases and the weights of norms are vectors, and do not decay.
fn optimizer(model: &Gpt, args: &Args) -> Result<AdamW> {
    let plain = AdamWOptions { lr: args.lr, betas: (0.9, 0.99), weight_decay: 0.0, ..AdamWOptions::default() };
    let decaying = AdamWOptions { weight_decay: 0.1, ..plain };
    AdamW::grouped(model, |_, shape| if shape.rank() < 2 { plain } else { decaying })?.clip_grad_norm(1.0)
}

/// A tenth of the steps to rise, the others to fall along half a cosine.
fn schedule(steps: usize) -> SequentialLr {
    let warm_up = (steps / 10).max(1) as u64;
    let rise = LinearLr { start_factor: 1.0 / (warm_up + 1) as f64, end_factor: 1.0, total_iters: warm_up };
    let fall = CosineAnnealingLr { t_max: (steps as u64).saturating_sub(warm_up).max(1), eta_min: 0.0 };
    SequentialLr::new().until(warm_up, rise).then(fall)
}

/// Writes on from the prompt.
fn write(model: &Gpt, alphabet: &Alphabet, prompt: &[i32], args: &Args, device: &Device) -> Result<()> {
    let sampling = Sampling { temperature: args.temperature, top_k: args.top_k };
    let (mut writer, mut rng) = (Writer::new(model, device), Rng::stream(args.run.seed, 2));
    say!("")?;
    let mut logits = Vec::new();
    for &number in prompt {
        logits = writer.read(number)?;
        show(alphabet.letter(number))?;
    }
    let start = Instant::now();
    for _ in 0..args.length {
        let number = sampling.choose(&logits, &mut rng);
        show(alphabet.letter(number))?;
        logits = writer.read(number)?;
    }
    say!("")?;
    note!("{:.0} characters a second", args.length as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// Each character at once: a program that writes is there to be watched.
fn show(letter: char) -> Result<()> {
    out(format_args!("{letter}"))
}
