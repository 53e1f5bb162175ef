//! Training steps of burn on its CPU backend.

#[path = "../../steps.rs"]
mod steps;
mod train;

fn main() {
    train::run(burn::tensor::Device::flex());
}
