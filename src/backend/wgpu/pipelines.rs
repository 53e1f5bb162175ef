//! Shader modules, layouts and pipelines, each built once.

use super::context::ShaderChecks;
use crate::error::{Error, Result};
use crate::kernel::{Access, Constant, Pass, Shader, module_source};
use std::collections::HashMap;
use std::sync::Arc;

/// A pipeline with its explicit layout.
pub struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: Arc<Layout>,
}

/// A bind group layout and its number, which keys the cache of bind groups.
pub struct Layout {
    pub id: u32,
    pub bindings: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

type ModuleKey = (&'static str, Vec<(&'static str, Constant)>);

/// All pipelines of a device.
pub struct Pipelines {
    checks: ShaderChecks,
    modules: HashMap<ModuleKey, wgpu::ShaderModule>,
    layouts: HashMap<&'static [Access], Arc<Layout>>,
    built: HashMap<(ModuleKey, &'static str), Arc<Pipeline>>,
}

impl Pipelines {
    pub fn new(checks: ShaderChecks) -> Pipelines {
        Pipelines { checks, modules: HashMap::new(), layouts: HashMap::new(), built: HashMap::new() }
    }

    pub fn len(&self) -> usize {
        self.built.len()
    }

    /// The pipeline of a pass, built where it is new. `title` names the kernel in errors.
    pub fn of(&mut self, device: &wgpu::Device, pass: &Pass, title: &str) -> Result<Arc<Pipeline>> {
        let key = ((pass.shader.name, pass.constants.clone()), pass.entry);
        if let Some(pipeline) = self.built.get(&key) {
            return Ok(pipeline.clone());
        }
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let layout = self.layout(device, pass.shader.access);
        let checks = self.checks;
        let module = self.modules.entry(key.0.clone()).or_insert_with(|| module(device, pass.shader, &key.0.1, checks));
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(pass.entry),
            layout: Some(&layout.pipeline),
            module,
            entry_point: Some(pass.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes what it shares before it reads it; one thread zeroing a tile costs a GPU much.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let failed = pollster::block_on(internal.pop()).or(pollster::block_on(scope.pop()));
        if let Some(error) = failed {
            return Err(Error::Device(format!(
                "{title}: its shader {}.wgsl does not build: {error}",
                pass.shader.name
            )));
        }
        let pipeline = Arc::new(Pipeline { pipeline, layout });
        self.built.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn layout(&mut self, device: &wgpu::Device, access: &'static [Access]) -> Arc<Layout> {
        let id = self.layouts.len() as u32;
        let make = || {
            let entry = |(binding, ty): (usize, wgpu::BufferBindingType)| wgpu::BindGroupLayoutEntry {
                binding: binding as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty,
                    has_dynamic_offset: ty == wgpu::BufferBindingType::Uniform,
                    min_binding_size: None,
                },
                count: None,
            };
            let storage = access.iter().map(|a| wgpu::BufferBindingType::Storage { read_only: *a == Access::Read });
            let entries: Vec<_> = storage.chain([wgpu::BufferBindingType::Uniform]).enumerate().map(entry).collect();
            let bindings =
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&bindings)],
                immediate_size: 0,
            });
            Arc::new(Layout { id, bindings, pipeline })
        };
        self.layouts.entry(access).or_insert_with(make).clone()
    }
}

fn module(
    device: &wgpu::Device,
    shader: &Shader,
    constants: &[(&'static str, Constant)],
    checks: ShaderChecks,
) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(shader.name),
        source: wgpu::ShaderSource::Wgsl(module_source(shader, constants).into()),
    };
    match checks {
        ShaderChecks::Checked => device.create_shader_module(descriptor),
        #[expect(
            unsafe_code,
            reason = "the crate's own shaders stay in range, as every test of a kernel shows; \
            loop counters and clamps cost up to a third of their speed"
        )]
        // SAFETY: the text is the crate's, or a user's own kernel whose contract says the same.
        ShaderChecks::Trusted => unsafe {
            device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        },
    }
}
