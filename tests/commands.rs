//! The examples as their users meet them: as programs, on every device that tests run on.
//!
//! Cargo builds the examples for `cargo test`; before `cargo test --test commands` alone, `cargo build --examples` does.

mod char_gpt;
mod cifar10;
mod curves;
mod custom_kernel_cli;
#[expect(dead_code, reason = "the last test binary says what was not run")]
mod devices;
mod diffusion_cli;
mod digits;
mod gan_cli;
mod mnist_cli;
#[path = "../examples/mnist/model.rs"]
mod model;
mod outputs;
mod program;
mod resumed;
mod serve;
mod tabular_cli;
