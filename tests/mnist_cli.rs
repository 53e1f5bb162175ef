//! The MNIST example as its user meets it: one sentence for each mistake, and a run that trains, saves, loads and
//! predicts.

#[path = "mnist_cli/command.rs"]
mod command;
#[path = "mnist_cli/mistakes.rs"]
mod mistakes;
#[path = "mnist_cli/runs.rs"]
mod runs;
