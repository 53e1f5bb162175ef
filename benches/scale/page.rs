//! The page and the picture of what training on many ranks takes.

use super::model::{self, GPU, LINKS, Link, Parts, Way};
use super::rehearse::{self, Row};
use super::step::{Paper, Recorded, Step};
use super::trained::Network;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use wgrad::kernel::Info;
use wgrad::nn;
use wgrad::parallel::Alone;
use wgrad::train::Chart;
use wgrad::{Device, Result};

/// Ranks of the tables.
const RANKS: [usize; 5] = [2, 8, 64, 256, 1024];
/// Parts of a batch that are added up before ranks exchange anything.
const PARTS: f64 = 8.0;
/// Steps between two meetings of local training.
const EVERY: f64 = 500.0;

/// A network's step on the paper GPU.
struct Sheet {
    network: Network,
    /// Of one rank, and of one among several.
    alone: Step,
    several: Step,
    /// Parameters and operations by the parts of the model.
    parts: BTreeMap<String, (usize, u64)>,
}

impl Sheet {
    fn of(network: Network) -> Result<Sheet> {
        // As large a binding as GPUs of that size have.
        let device = Device::null_as(Info { max_binding_bytes: 4 << 30, ..Device::null().info().clone() });
        let (training, batch) = network.start(&device)?;
        let mut parts: BTreeMap<String, (usize, u64)> = BTreeMap::new();
        let part = |path: &str| path.split('.').next().unwrap_or(path).to_string();
        let all = nn::parameters(&training.model);
        for (at, (path, parameter)) in all.iter().enumerate() {
            // Tied weights are one parameter.
            let is_new = !all[..at].iter().any(|(_, earlier)| earlier.is(parameter));
            parts.entry(part(path)).or_default().0 += if is_new { parameter.shape().numel() } else { 0 };
        }
        let alone = Recorded::of(training, batch, Alone, &device)?.step;
        for work in alone.kernels() {
            let path = work.label.as_deref().map_or("no parameter".into(), part);
            parts.entry(path).or_default().1 += work.cost.flops;
        }
        let (training, batch) = network.start(&device)?;
        let several = Recorded::of(training, batch, Paper(2), &device)?.step;
        Ok(Sheet { network, alone: GPU.timed(alone), several: GPU.timed(several), parts })
    }

    fn parameters(&self) -> usize {
        self.parts.values().map(|(parameters, _)| parameters).sum()
    }

    /// The exchanges of a step, each by what takes its time.
    fn exchanges(&self, link: &Link, ranks: usize, way: Way) -> Vec<Parts> {
        self.several.buckets.iter().map(|bytes| GPU.exchange(link, ranks, way, *bytes)).collect()
    }

    fn seconds(&self, link: &Link, ranks: usize, way: Way) -> f64 {
        let seconds: Vec<f64> = self.exchanges(link, ranks, way).into_iter().map(Parts::all).collect();
        match way {
            Way::Hosts(_) => model::step(&self.several, &seconds, None, GPU.seam),
            Way::Ring => model::step(&self.several, &seconds, None, 0.0),
        }
    }

    /// The part of a GPU's time that is training, beside one that is alone.
    fn efficiency(&self, link: &Link, ranks: usize, way: Way) -> f64 {
        self.alone.seconds() / self.seconds(link, ranks, way)
    }

    /// What keeps it from more.
    fn binds(&self, link: &Link, ranks: usize) -> &'static str {
        if self.efficiency(link, ranks, HOSTS) > 0.95 {
            return "compute";
        }
        self.exchanges(link, ranks, HOSTS).into_iter().fold(Parts::default(), Parts::plus).binds()
    }

    /// Gradients of several parts of a batch are added up, and go while the last part's backward runs.
    fn accumulated(&self, link: &Link, ranks: usize) -> f64 {
        let update = self.several.update();
        let pass = self.alone.seconds() - update;
        let before = (PARTS - 1.0) * (pass + 12.0 * self.parameters() as f64 / GPU.bytes);
        (before + pass + update) / (before + self.seconds(link, ranks, HOSTS))
    }

    /// Each rank moves a part of the parameters, and gives it to the others.
    fn sharded(&self, link: &Link, ranks: usize) -> f64 {
        let update = self.several.update();
        let given = GPU.shared(link, ranks, 4.0 * self.parameters() as f64).all();
        self.alone.seconds() / (self.seconds(link, ranks, HOSTS) - update * (1.0 - 1.0 / ranks as f64) + given)
    }

    /// Ranks that train by themselves and meet now and then.
    fn local(&self, link: &Link, ranks: usize) -> f64 {
        let met = GPU.exchange(link, ranks, HOSTS, 4.0 * self.parameters() as f64).all();
        self.alone.seconds() / (self.alone.seconds() + met / EVERY)
    }
}

const HOSTS: Way = Way::Hosts(4.0);

const NOT_MEASURED: &str = "Not measured in this run.\n";

/// The page and the picture, with what was measured on so many ranks.
pub fn page(told: &[(usize, Value)]) -> Result<(String, String)> {
    let sheets = Network::ON_PAPER.into_iter().map(Sheet::of).collect::<Result<Vec<_>>>()?;
    let mut text = include_str!("page.md").to_string();
    let parts = [
        ("MEASURED", measured(told)?),
        ("REHEARSED", if told.is_empty() { NOT_MEASURED.into() } else { rehearsed()? }),
        ("STEPS", steps(&sheets)),
        ("LAYERS", layers(&sheets)),
        ("RANKS", ranks(&sheets)),
        ("WAYS", ways(&sheets)),
        ("LINKS", links()),
    ];
    for (name, part) in parts {
        text = text.replace(&format!("{{{name}}}\n"), &part);
    }
    Ok((text, picture(&sheets)))
}

/// A table of rows of cells, the first its head.
fn table(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if at == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    text
}

fn head(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| cell.to_string()).collect()
}

fn percent(share: f64) -> String {
    if share < 0.01 { format!("{:.1}%", 100.0 * share) } else { format!("{:.0}%", 100.0 * share) }
}

fn ms(seconds: f64) -> String {
    format!("{:.*}", if seconds < 0.01 { 2 } else { 1 }, 1e3 * seconds)
}

/// With commas.
fn count(n: usize) -> String {
    let digits = n.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join(",")
}

fn steps(sheets: &[Sheet]) -> String {
    let mut rows = vec![head(&[
        "",
        "a rank's part",
        "parameters",
        "kernels",
        "GFLOP",
        "GB",
        "on the paper GPU, ms",
        "buckets, MB",
        "they leave at",
    ])];
    for sheet in sheets {
        let (cost, ready) = (sheet.alone.cost(), sheet.several.ready());
        let buckets: Vec<String> = sheet.several.buckets.iter().map(|bytes| format!("{:.2}", bytes / 1e6)).collect();
        let leave: Vec<String> = ready.iter().map(|share| percent(*share)).collect();
        rows.push(vec![
            sheet.network.name().into(),
            sheet.network.batch().into(),
            count(sheet.parameters()),
            format!("{} and {}", sheet.alone.kernels().count(), sheet.several.kernels().count()),
            format!("{:.1}", cost.flops as f64 / 1e9),
            format!("{:.1}", cost.bytes as f64 / 1e9),
            ms(sheet.alone.seconds()),
            shown(&buckets),
            shown(&leave),
        ]);
    }
    table(&rows)
}

/// The first and the last of many.
fn shown(all: &[String]) -> String {
    if all.len() <= 6 {
        return all.join(", ");
    }
    format!("{}, .. {} (of {})", all[..3].join(", "), all[all.len() - 2..].join(", "), all.len())
}

fn layers(sheets: &[Sheet]) -> String {
    let mut rows = vec![head(&["", "part", "parameters", "GFLOP of a step"])];
    for sheet in sheets.iter().filter(|sheet| [Network::Resnet50, Network::Gpt2].contains(&sheet.network)) {
        for (part, (parameters, flops)) in &sheet.parts {
            rows.push(vec![
                sheet.network.name().into(),
                part.clone(),
                count(*parameters),
                format!("{:.1}", *flops as f64 / 1e9),
            ]);
        }
        let flops = sheet.alone.cost().flops as f64 / 1e9;
        let all = [sheet.network.name(), "all", &count(sheet.parameters()), &format!("{flops:.1}")].map(String::from);
        rows.push(all.map(|cell| format!("**{cell}**")).into());
    }
    table(&rows)
}

fn ranks(sheets: &[Sheet]) -> String {
    let mut first = head(&["", "link"]);
    first.extend(RANKS.map(|ranks| format!("{} ranks", count(ranks))));
    let mut rows = vec![first];
    for sheet in sheets {
        for link in &LINKS {
            let mut row = vec![sheet.network.name().to_string(), link.name.to_string()];
            let cell =
                |ranks| format!("{}, {}", percent(sheet.efficiency(link, ranks, HOSTS)), sheet.binds(link, ranks));
            row.extend(RANKS.map(cell));
            rows.push(row);
        }
    }
    table(&rows)
}

fn ways(sheets: &[Sheet]) -> String {
    let places = [(0, 8), (0, 64), (1, 64), (1, 1024), (2, 64), (2, 1024)];
    let mut first = head(&["", "way"]);
    first.extend(places.map(|(link, ranks)| format!("{}, {}", LINKS[link].name, count(ranks))));
    let mut rows = vec![first];
    type Tell = fn(&Sheet, &Link, usize) -> f64;
    let all: [(&str, Tell); 6] = [
        ("as it is", |sheet, link, ranks| sheet.efficiency(link, ranks, HOSTS)),
        ("bf16", |sheet, link, ranks| sheet.efficiency(link, ranks, Way::Hosts(2.0))),
        ("8 parts added up", Sheet::accumulated),
        ("sharded moments", Sheet::sharded),
        ("DiLoCo, every 500", Sheet::local),
        ("a ring of the devices (not in the crate)", |sheet, link, ranks| sheet.efficiency(link, ranks, Way::Ring)),
    ];
    for sheet in sheets {
        for (name, tell) in all {
            let mut row = vec![sheet.network.name().to_string(), name.to_string()];
            row.extend(places.map(|(link, ranks)| percent(tell(sheet, &LINKS[link], ranks))));
            rows.push(row);
        }
    }
    table(&rows)
}

fn links() -> String {
    let mut rows = vec![head(&["link", "GB/s each way", "latency, us", "of each message, us"])];
    for Link { name, bytes, latency, message } in LINKS {
        let us = |seconds: f64| format!("{:.1}", 1e6 * seconds);
        rows.push(vec![name.into(), format!("{:.1}", bytes / 1e9), us(latency), us(message)]);
    }
    table(&rows)
}

/// What the model says of ranks whose kernels and links sleep, and what they took.
fn rehearsed() -> Result<String> {
    let mut rows = vec![head(&["ranks", "of an exchange, ms", "by the model, ms", "measured, ms", "off by"])];
    for Row { ranks, exchange, said, took } in rehearse::rows()? {
        rows.push(vec![ranks.to_string(), ms(exchange), ms(said), ms(took), off(said, took)]);
    }
    Ok(table(&rows))
}

/// How far one is from the other.
fn off(said: f64, took: f64) -> String {
    format!("{:+.0}%", 100.0 * (said / took - 1.0))
}

/// What the model says of this machine's ranks, and what they took.
fn measured(told: &[(usize, Value)]) -> Result<String> {
    let Some((_, one)) = told.first() else { return Ok(NOT_MEASURED.into()) };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get()) as f64;
    let mut lines = Vec::new();
    let mut rows = vec![head(&["", "ranks", "by the model, ms", "measured, ms", "off by"])];
    let mut taken: Vec<Vec<(f64, f64)>> = Vec::new();
    for (ranks, told) in &told[1..] {
        let pairs = told["exchanges"].as_array().into_iter().flatten();
        let pairs: Vec<(f64, f64)> = pairs.map(|pair| (number(&pair[0]), number(&pair[1]))).collect();
        if lines.is_empty() {
            let sizes = pairs.iter().map(|(size, _)| format!("{:.0} KB", size / 1024.0));
            lines.push(["ranks".to_string()].into_iter().chain(sizes).collect());
        }
        let times = pairs.iter().map(|(_, time)| format!("{:.3}", 1e3 * time));
        lines.push([ranks.to_string()].into_iter().chain(times).collect());
        taken.push(pairs);
    }
    for network in Network::MEASURED {
        let (device, own) = (Device::new_cpu(), &one[network.name()]);
        let list = |name: &str| -> Vec<f64> {
            own[name].as_array().into_iter().flatten().map(|ns| number(ns) / 1e9).collect()
        };
        let step = |group: usize, times: &[f64]| -> Result<Step> {
            let (training, batch) = network.small(&device)?;
            let recorded = match group {
                1 => Recorded::of(training, batch, Alone, &device),
                _ => Recorded::of(training, batch, Paper(group), &device),
            };
            Ok(recorded?.step.timed(times))
        };
        let (alone, paper) = (step(1, &list("alone"))?, step(2, &list("paper"))?);
        let row = |ranks: usize, said: f64, took: f64| {
            vec![network.name().into(), ranks.to_string(), ms(said), ms(took), off(said, took)]
        };
        rows.push(vec![
            network.name().into(),
            "1".into(),
            "the measure".into(),
            ms(number(&own["step"])),
            String::new(),
        ]);
        for ((ranks, here), times) in told[1..].iter().zip(&taken) {
            let share = cores / *ranks as f64;
            // A step without exchanges on as many ranks as there are cores for, beside the kernels of one.
            let at_once = |(many, _): &&(usize, Value)| many <= ranks && *many as f64 <= cores;
            let apart = told.iter().rfind(at_once).map_or(own, |(_, told)| &told[network.name()]);
            let slower = number(&apart["apart"]) / alone.seconds();
            let mut several = paper.clone();
            several.kernels_mut().for_each(|work| work.seconds *= slower);
            let exchange = |bytes: &f64| model::between(times, *bytes) * share.min(1.0);
            let exchanges: Vec<f64> = several.buckets.iter().map(exchange).collect();
            let said = model::step(&several, &exchanges, Some(share), 0.0);
            rows.push(row(*ranks, said, number(&here[network.name()]["step"])));
        }
    }
    let mut whole = vec![head(&["ranks", "measured, ms", "times one rank's"])];
    for (ranks, told) in told {
        let [own, first] = [told, one].map(|told| number(&told["whole"]));
        whole.push(vec![ranks.to_string(), ms(own), format!("{:.2}", own / first)]);
    }
    let title = format!("W8 with whole batches, {} on each rank:", Network::W8.batch());
    Ok(format!("{}\n{}\n{title}\n\n{}", table(&lines), table(&rows), table(&whole)))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Efficiency over ranks, a chart for each network.
fn picture(sheets: &[Sheet]) -> String {
    let (wide, high) = (640, 320);
    let mut svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\">\n", 2 * wide, 2 * high);
    for (at, sheet) in sheets.iter().enumerate() {
        let mut chart =
            Chart::new(&format!("{}: % of one GPU's speed, each", sheet.network.name())).over("GPUs").log_over();
        for link in &LINKS {
            let points = (0..=10).map(|power| 1usize << power);
            let point = |ranks: usize| {
                (ranks as f64, 100.0 * if ranks == 1 { 1.0 } else { sheet.efficiency(link, ranks, HOSTS) })
            };
            chart = chart.curve(link.name, points.map(point));
        }
        let place = format!("<svg x=\"{}\" y=\"{}\" width=\"{wide}\" height=\"{high}\" ", at % 2 * wide, at / 2 * high);
        svg.push_str(&chart.to_svg().replacen("<svg ", &place, 1));
    }
    svg + "</svg>\n"
}
