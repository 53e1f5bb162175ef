//! How long a step takes on so many ranks: kernels in order, and exchanges that wait for one another beside them.

use super::step::{Event, Step};
use std::collections::VecDeque;

/// What lies between ranks, as each of them sees it.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub name: &'static str,
    /// Bytes a second in each direction.
    pub bytes: f64,
    /// Seconds until the first byte of a message is there.
    pub latency: f64,
    /// Seconds that each message keeps its sender.
    pub message: f64,
}

pub const LINKS: [Link; 4] = [
    Link { name: "10 GbE", bytes: 1.1e9, latency: 30e-6, message: 5e-6 },
    Link { name: "100 GbE", bytes: 11e9, latency: 15e-6, message: 3e-6 },
    Link { name: "NDR", bytes: 45e9, latency: 2e-6, message: 0.5e-6 },
    Link { name: "NVLink", bytes: 360e9, latency: 2e-6, message: 0.5e-6 },
];

/// A GPU with its host.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Operations and bytes a second that kernels reach.
    pub flops: f64,
    pub bytes: f64,
    /// Seconds from one kernel to the next, and of a seam between two lists of kernels.
    pub kernel: f64,
    pub seam: f64,
    /// Bytes a second between GPU and host, and through a core of the host.
    pub bus: f64,
    pub host: f64,
}

/// Half of what is published of an H100 SXM in f32 without its matrix units (67 TFLOP/s), and 70% of its memory's 3.35 TB/s.
pub const GPU: Machine = Machine { flops: 33e12, bytes: 2.3e12, kernel: 4e-6, seam: 30e-6, bus: 25e9, host: 10e9 };

/// How means are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    /// As the crate does: through the hosts, each rank adding up a part; so many bytes a value on their way.
    Hosts(f64),
    /// By a ring of the devices themselves, which no host sees.
    Ring,
}

/// Seconds of an exchange, by what takes them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts {
    /// Between GPU and host, and on the host.
    pub host: f64,
    /// The link's bytes.
    pub wire: f64,
    /// Its messages.
    pub messages: f64,
}

impl Parts {
    pub fn all(self) -> f64 {
        self.host + self.wire + self.messages
    }

    pub fn plus(self, other: Parts) -> Parts {
        let Parts { host, wire, messages } = other;
        Parts { host: self.host + host, wire: self.wire + wire, messages: self.messages + messages }
    }

    /// The largest.
    pub fn binds(self) -> &'static str {
        let all = [(self.host, "hosts"), (self.wire, "bandwidth"), (self.messages, "messages")];
        all.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or("", |(_, name)| name)
    }
}

impl Machine {
    /// The kernels' seconds by what they compute and move.
    pub fn timed(&self, mut step: Step) -> Step {
        for work in step.kernels_mut() {
            let [flops, bytes] = [work.cost.flops as f64 / self.flops, work.cost.bytes as f64 / self.bytes];
            work.seconds = self.kernel + flops.max(bytes);
        }
        step
    }

    /// An exchange of so many bytes of f32.
    pub fn exchange(&self, link: &Link, ranks: usize, way: Way, bytes: f64) -> Parts {
        let others = ranks as f64 - 1.0;
        let share = others / ranks as f64;
        match way {
            // All ranks first say what they call, then each sends every other its part, and then the sums; halves say their lengths.
            Way::Hosts(width) => {
                let calls = if width < 4.0 { 5.0 } else { 3.0 };
                Parts {
                    // Down and up; copied, weighed, added, divided.
                    host: 2.0 * bytes / self.bus + 10.0 * bytes / self.host,
                    wire: 2.0 * share * bytes * width / 4.0 / link.bytes,
                    messages: calls * (link.latency + others * link.message),
                }
            }
            Way::Ring => Parts {
                host: 0.0,
                wire: 2.0 * share * bytes / link.bytes,
                messages: 2.0 * others * (link.latency + link.message),
            },
        }
    }

    /// New values that their owners give to all others: the second half of a sharded step.
    pub fn shared(&self, link: &Link, ranks: usize, bytes: f64) -> Parts {
        let others = ranks as f64 - 1.0;
        Parts {
            host: (1.0 + 1.0 / ranks as f64) * bytes / self.bus + 4.0 * bytes / self.host,
            wire: others / ranks as f64 * bytes / link.bytes,
            messages: 2.0 * (link.latency + others * link.message),
        }
    }
}

/// Seconds of a step whose exchanges take so long each, one after the other. With `cores` a rank, the device is a part of the host:
/// what runs at once shares them. Without, device and host have nothing in common, and a seam costs the device so much.
pub fn step(step: &Step, exchanges: &[f64], cores: Option<f64>, seam: f64) -> f64 {
    let rate = |works: f64| cores.map_or(1.0, |cores| (cores / works).min(1.0));
    let (mut now, mut line, mut gone) = (0.0, VecDeque::<(usize, f64)>::new(), vec![false; exchanges.len()]);
    for event in &step.events {
        match event {
            Event::Kernel(work) => {
                let mut rest = work.seconds;
                while rest > 0.0 {
                    let Some((bucket, left)) = line.front_mut() else {
                        now += rest / rate(1.0);
                        break;
                    };
                    let done = rest.min(*left);
                    now += done / rate(2.0);
                    rest -= done;
                    *left -= done;
                    if *left <= 0.0 {
                        gone[*bucket] = true;
                        line.pop_front();
                    }
                }
            }
            Event::Give(bucket) => {
                now += seam;
                line.push_back((*bucket, exchanges[*bucket]));
            }
            Event::Take(bucket) => {
                now += seam;
                while !gone[*bucket] {
                    let Some((first, left)) = line.pop_front() else { break };
                    now += left / rate(1.0);
                    gone[first] = true;
                }
            }
        }
    }
    now
}

/// The time of an exchange of so many bytes, by times that were taken of several sizes, each with its bytes, in order: in between
/// by a straight line, beyond the last by its rate.
pub fn between(times: &[(f64, f64)], bytes: f64) -> f64 {
    let next = times.iter().position(|(size, _)| *size >= bytes);
    match (next, times.last()) {
        (Some(0), _) => times[0].1,
        (Some(at), _) => {
            let [(from, low), (to, high)] = [times[at - 1], times[at]];
            low + (high - low) * (bytes - from) / (to - from)
        }
        (None, Some((size, time))) => time * bytes / size,
        (None, None) => f64::NAN,
    }
}
