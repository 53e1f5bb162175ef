//! What a device can do at most, measured in the same run as what is held against it.

use super::timing::repeated;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Axis};
use std::time::Duration;
use wgrad::backend::WgpuOptions;
use wgrad::kernel::Class;
use wgrad::{Device, Result, Rng, Tensor};

/// Rates that no kernel is expected to pass.
#[derive(Debug, Clone, Copy)]
pub struct Ceilings {
    /// Bytes read and written a second by the kernel that copies.
    pub bytes: f64,
    /// Operations a second of the best matrix product; on the CPU backend, of the GEMM crate alone.
    pub flops: f64,
}

impl Ceilings {
    pub fn of(device: &Device) -> Result<Ceilings> {
        let is_host = device.info().class == Class::Host;
        Ok(Ceilings { bytes: copy(device)?, flops: if is_host { gemm()? } else { product(device)? } })
    }
}

const BUDGET: Duration = Duration::from_millis(300);
const SIZES: [usize; 2] = [512, 1024];

fn copy(device: &Device) -> Result<f64> {
    let n = 16 << 20;
    let x = Tensor::ones([n], device);
    let timing = repeated(BUDGET, || {
        let y = x.copy();
        device.wait().map(|()| drop(y))
    })?;
    Ok(8.0 * n as f64 / timing.least)
}

fn product(device: &Device) -> Result<f64> {
    let rate = |size: usize| {
        let x = Tensor::normal([size, size], 0.0, 1.0, &mut Rng::new(0), device);
        let timing = repeated(BUDGET, || {
            let y = x.matmul(&x);
            device.wait().map(|()| drop(y))
        })?;
        Ok(2.0 * (size as f64).powi(3) / timing.least)
    };
    best(rate)
}

/// The crate that the CPU backend multiplies with, each core taking its part of the rows.
fn gemm() -> Result<f64> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let rate = |size: usize| {
        let mut rng = Rng::new(0);
        let a = Array2::from_shape_fn((size, size), |_| rng.uniform());
        let mut c = Array2::zeros((size, size));
        let timing = repeated(BUDGET, || {
            std::thread::scope(|scope| {
                let rows = size.div_ceil(threads);
                for (a_part, mut c_part) in a.axis_chunks_iter(Axis(0), rows).zip(c.axis_chunks_iter_mut(Axis(0), rows))
                {
                    let a = &a;
                    scope.spawn(move || general_mat_mul(1.0f32, &a_part, a, 0.0, &mut c_part));
                }
            });
            Ok(())
        })?;
        Ok(2.0 * (size as f64).powi(3) / timing.least)
    };
    best(rate)
}

fn best(rate: impl Fn(usize) -> Result<f64>) -> Result<f64> {
    SIZES.iter().try_fold(0.0, |best: f64, &size| Ok(best.max(rate(size)?)))
}

/// `cpu`, or the adapter that the environment names.
pub fn open(backend: &str) -> Result<Device> {
    if backend == "cpu" { Ok(Device::cpu()) } else { Device::wgpu(&WgpuOptions::from_env()) }
}
