//! Times each pass: by the adapter's timestamps, or where it has none by waiting for each.

use super::queue::{Command, wait};
use super::read::take_mapped;
use crate::backend::edge::Instant;
use crate::backend::{Span, Title};
use crate::error::Result;
use std::sync::Arc;

/// Passes whose two timestamps one query set holds.
const MAX_PASSES: usize = 2048;

/// Times of passes so far.
pub struct Clock {
    stamps: Option<wgpu::QuerySet>,
    /// Nanoseconds of one tick.
    period: f64,
    origin: Instant,
    result: Result<Vec<Span>>,
}

impl Clock {
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Clock {
        let has_stamps = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let stamps = has_stamps.then(|| {
            device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * MAX_PASSES as u32,
            })
        });
        let period = if has_stamps { f64::from(queue.get_timestamp_period()) } else { 1.0 };
        Clock { stamps, period, origin: Instant::now(), result: Ok(Vec::new()) }
    }

    /// The spans of all passes.
    pub fn finish(self) -> Result<Vec<Span>> {
        self.result
    }

    /// Runs passes one by one and waits for them.
    pub fn run<'a>(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, commands: impl Iterator<Item = &'a Command>) {
        let commands: Vec<&Command> = commands.collect();
        for part in commands.chunks(MAX_PASSES) {
            let times = match &self.stamps {
                Some(stamps) => {
                    let times = stamped(device, queue, stamps, part, self.period);
                    times.map(|times| since(times, self.origin.elapsed().as_nanos() as u64))
                }
                None => waited(device, queue, part, self.origin),
            };
            let title = |command: &Command| command.title.clone().unwrap_or_else(|| Arc::new(Title::default()));
            match (&mut self.result, times) {
                (Ok(spans), Ok(times)) => {
                    let timed = part.iter().zip(times);
                    spans.extend(timed.map(|(c, [start_ns, end])| Span {
                        title: title(c),
                        start_ns,
                        ns: end.saturating_sub(start_ns),
                    }));
                }
                (result, Err(error)) => *result = Err(error),
                (Err(_), Ok(_)) => {}
            }
        }
    }
}

/// Times of passes of which the last ended now, as the host has it: what it does beside them is on its clock.
fn since(mut times: Vec<[u64; 2]>, now: u64) -> Vec<[u64; 2]> {
    let last = times.iter().map(|[_, end]| *end).max().unwrap_or(0);
    times.iter_mut().flatten().for_each(|time| *time = now.saturating_sub(last.saturating_sub(*time)));
    times
}

fn encode(encoder: &mut wgpu::CommandEncoder, command: &Command, stamps: Option<wgpu::ComputePassTimestampWrites>) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: stamps });
    pass.set_pipeline(&command.pipeline.pipeline);
    command.dispatch(&mut pass);
}

/// Start and end of each, from two timestamps around a pass of its own.
fn stamped(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    stamps: &wgpu::QuerySet,
    commands: &[&Command],
    period: f64,
) -> Result<Vec<[u64; 2]>> {
    let bytes = 16 * commands.len() as u64;
    let buffer = |usage| {
        let label = Some("timestamps");
        device.create_buffer(&wgpu::BufferDescriptor { label, size: bytes.max(16), usage, mapped_at_creation: false })
    };
    let ticks = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
    for (at, command) in commands.iter().enumerate() {
        let first = 2 * at as u32;
        let writes = wgpu::ComputePassTimestampWrites {
            query_set: stamps,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        };
        encode(&mut encoder, command, Some(writes));
    }
    encoder.resolve_query_set(stamps, 0..2 * commands.len() as u32, &ticks, 0);
    encoder.copy_buffer_to_buffer(&ticks, 0, &staging, 0, bytes);
    let index = queue.submit([encoder.finish()]);
    staging.slice(..bytes).map_async(wgpu::MapMode::Read, |_| ());
    wait(device, Some(index))?;
    let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&take_mapped(&staging, bytes)?);
    let ns = |tick: u64| (tick as f64 * period) as u64;
    Ok(ticks.chunks_exact(2).map(|pair| [ns(pair[0]), ns(pair[1])]).collect())
}

/// Start and end of each, with the cost of a submit and a wait.
fn waited(device: &wgpu::Device, queue: &wgpu::Queue, commands: &[&Command], origin: Instant) -> Result<Vec<[u64; 2]>> {
    let now = || origin.elapsed().as_nanos() as u64;
    let one = |command: &&Command| {
        let start = now();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        encode(&mut encoder, command, None);
        wait(device, Some(queue.submit([encoder.finish()])))?;
        Ok([start, now()])
    };
    commands.iter().map(one).collect()
}
