//! What wgpu alone takes for dispatches whose pipelines, bind groups and parameters are there already.

use super::timing::{Timing, repeated};
use std::time::Duration;
use wgrad::{Error, Result};

/// Dispatches of one compute pass, which is one submit.
pub const DISPATCHES: usize = 64;

const SHADER: &str = "@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<uniform> params: vec4<u32>;
@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) { data[id.x] += f32(params.x); }";

pub fn pass(budget: Duration) -> Result<Timing> {
    let (device, queue) = pollster::block_on(open()).map_err(|what| Error::NoAdapter(what.to_string()))?;
    let buffer = |size: u64, usage: wgpu::BufferUsages| {
        let usage = usage | wgpu::BufferUsages::COPY_DST;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let entry = |binding: u32, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: ty == wgpu::BufferBindingType::Uniform,
            min_binding_size: None,
        },
        count: None,
    };
    let storage = wgpu::BufferBindingType::Storage { read_only: false };
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &[entry(0, storage), entry(1, wgpu::BufferBindingType::Uniform)],
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let source = wgpu::ShaderSource::Wgsl(SHADER.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    // Two, so that each dispatch changes the pipeline.
    let pipelines = [0, 1].map(|_| {
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("add"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    });
    let ring = buffer(256 * DISPATCHES as u64, wgpu::BufferUsages::UNIFORM);
    let groups: Vec<wgpu::BindGroup> = (0..DISPATCHES)
        .map(|_| {
            let data = buffer(4096, wgpu::BufferUsages::STORAGE);
            let params = wgpu::BufferBinding { buffer: &ring, offset: 0, size: std::num::NonZeroU64::new(16) };
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &[
                    wgpu::BindGroupEntry { binding: 0, resource: data.as_entire_binding() },
                    wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Buffer(params) },
                ],
            })
        })
        .collect();
    let uniforms = vec![0; 256 * DISPATCHES];
    repeated(budget, || {
        queue.write_buffer(&ring, 0, &uniforms);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (at, group) in groups.iter().enumerate() {
            pass.set_pipeline(&pipelines[at % 2]);
            pass.set_bind_group(0, group, &[256 * at as u32]);
            pass.dispatch_workgroups(16, 1, 1);
        }
        drop(pass);
        queue.submit([encoder.finish()]);
        Ok(())
    })
}

async fn open() -> std::result::Result<(wgpu::Device, wgpu::Queue), Box<dyn std::error::Error>> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop.enable = true;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let adapter = wgpu::Instance::new(descriptor).request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
    Ok(adapter.request_device(&wgpu::DeviceDescriptor::default()).await?)
}
