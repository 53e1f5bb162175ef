//! Training steps of burn on wgpu, on the adapter that burn chooses.

#[path = "../../steps.rs"]
mod steps;
mod train;

fn main() {
    train::run(burn::tensor::Device::wgpu(Default::default()));
}
