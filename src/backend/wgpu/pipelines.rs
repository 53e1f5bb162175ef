//! Shader modules, layouts and pipelines, each built once.

use super::context::ShaderChecks;
use super::failure::{Failure, Scopes};
use crate::backend::edge::on_all_cores;
use crate::error::{Error, Result};
use crate::kernel::{Access, Constant, Pass, Shader, module_source};
use futures::future::OptionFuture;
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

/// The device that builds pipelines, and the place to note those that only turn out later not to build.
type Site<'a> = (&'a wgpu::Device, &'a Failure);

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
    pub fn of(&mut self, site: Site, pass: &Pass, title: &str) -> Result<Arc<Pipeline>> {
        let key = (module_key(pass), pass.entry);
        if let Some(pipeline) = self.built.get(&key) {
            return Ok(pipeline.clone());
        }
        self.build(site, &[(pass, title)])?;
        Ok(self.built[&key].clone())
    }

    /// Builds the pipelines of passes that are new, on all cores: drivers take tens of milliseconds for one. Of several
    /// that fail, the first is told.
    pub fn build(&mut self, site: Site, passes: &[(&Pass, &str)]) -> Result<()> {
        let mut jobs: Vec<Job> = Vec::new();
        for &(pass, title) in passes {
            let key = (module_key(pass), pass.entry);
            if self.built.contains_key(&key) {
                continue;
            }
            match jobs.iter_mut().find(|job| job.key == key.0) {
                Some(job) if job.entries.iter().any(|(entry, _)| *entry == key.1) => {}
                Some(job) => job.entries.push((key.1, title)),
                None => jobs.push(Job {
                    shader: pass.shader,
                    module: self.modules.get(&key.0).cloned(),
                    layout: self.layout(site.0, pass.shader.access),
                    key: key.0,
                    entries: vec![(key.1, title)],
                }),
            }
        }
        let checks = self.checks;
        for (job, (module, pipelines)) in jobs.iter().zip(on_all_cores(&jobs, |job| job.run(site, checks))) {
            self.modules.insert(job.key.clone(), module);
            for ((entry, _), pipeline) in job.entries.iter().zip(pipelines) {
                self.built.insert((job.key.clone(), entry), pipeline?);
            }
        }
        Ok(())
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

fn module_key(pass: &Pass) -> ModuleKey {
    (pass.shader.name, pass.constants.clone())
}

/// Pipelines that one module is to be built for.
struct Job<'a> {
    key: ModuleKey,
    shader: &'static Shader,
    /// The module, if it is built already.
    module: Option<wgpu::ShaderModule>,
    layout: Arc<Layout>,
    /// Entry points with the kernels that errors name.
    entries: Vec<(&'static str, &'a str)>,
}

impl Job<'_> {
    fn run(&self, (device, failure): Site, checks: ShaderChecks) -> (wgpu::ShaderModule, Vec<Result<Arc<Pipeline>>>) {
        let scopes = Scopes::open(device);
        let built = self.module.clone();
        let module = built.unwrap_or_else(|| module(device, self.shader, &self.key.1, checks));
        // Of what is wrong with the module, its first pipeline tells.
        let mut of_module = Some(scopes.close());
        let build = |&(entry, title): &(&'static str, &str)| {
            let scopes = Scopes::open(device);
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: Some(&self.layout.pipeline),
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // Every kernel writes what it shares before it reads it; one thread zeroing a tile costs a GPU much.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            });
            let (first, own) = (OptionFuture::from(of_module.take()), scopes.close());
            let (title, name) = (title.to_string(), self.shader.name);
            let caught = async move {
                // What is wrong with the module says more than that it cannot be used.
                let error = first.await.flatten().or(own.await)?;
                Some(Error::Device(format!("{title}: its shader {name}.wgsl does not build: {error}")))
            };
            failure.caught(caught)?;
            Ok(Arc::new(Pipeline { pipeline, layout: self.layout.clone() }))
        };
        let pipelines = self.entries.iter().map(build).collect();
        (module, pipelines)
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
