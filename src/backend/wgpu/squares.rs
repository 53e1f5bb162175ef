//! Whether a driver's matrix units are right: naga leaves out what the memory model of Vulkan asks of shaders that use them
//! (gfx-rs/wgpu#8805), and that no driver minds is not certain.

use super::queue::wait;
use crate::kernel::{Access, Shader, module_source, shader, squares};
use futures::channel::oneshot;
use half::f16;
use wgpu::util::DeviceExt;

/// How often the product is added up.
const TIMES: u32 = 2;

/// What judges them.
pub static SQUARES: Shader = shader!("squares", &[Access::Read, Access::Read, Access::Write]);

/// Whether a first product of whole numbers, whose sums are exact, comes out right.
pub async fn are_right(device: &wgpu::Device, queue: &wgpu::Queue, side: u32, lanes: u32) -> bool {
    let n = side as usize;
    let [a, b] = [5, 3].map(|by| (0..n * n).map(|at| (at * by % 7) as f32 - 3.0).collect::<Vec<f32>>());
    let dot = |at: usize| (0..n).map(|k| TIMES as f32 * a[at / n * n + k] * b[at % n * n + k]).sum::<f32>();
    let due: Vec<f32> = (0..n * n).map(dot).collect();
    // A scope is of one thread, and ends before anything is waited for.
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let (read, mapped) = product(device, queue, [&a, &b], side, lanes);
    // Browsers, which cannot wait, have no such units.
    let waited = wait(device, None);
    let wrong = scope.pop();
    if waited.is_err() || wrong.await.is_some() || !matches!(mapped.await, Ok(Ok(()))) {
        return false;
    }
    let found = read.get_mapped_range(..).map(|view| bytemuck::pod_collect_to_vec::<u8, f32>(&view));
    found.is_ok_and(|found| found == due)
}

/// The result, and when it is there.
fn product(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    operands: [&[f32]; 2],
    side: u32,
    lanes: u32,
) -> (wgpu::Buffer, oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>) {
    let source = wgpu::ShaderSource::Wgsl(module_source(&SQUARES, &squares::constants(side, lanes)).into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("squares"), source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("squares"),
        layout: None,
        module: &module,
        entry_point: Some("squares"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let [a, b] = operands.map(|values| {
        let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
        let (contents, usage) = (bytemuck::cast_slice(&halves), wgpu::BufferUsages::STORAGE);
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
    });
    let (contents, usage) = (bytemuck::cast_slice(&[TIMES, 0, 0, 0]), wgpu::BufferUsages::UNIFORM);
    let times = device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage });
    let [c, read] = [
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
    ]
    .map(|usage| {
        let size = 4 * u64::from(side * side);
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[(0, &a), (1, &b), (2, &c), (3, &times)]
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }),
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&c, 0, &read, 0, read.size());
    queue.submit([encoder.finish()]);
    let (sender, mapped) = oneshot::channel();
    read.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
    (read, mapped)
}
