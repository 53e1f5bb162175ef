//! Times of work: by kernel, by layer, and as a trace on a time line, with exchanges between ranks beside it.

use crate::backend::{HostSpan, Span};
use crate::device::Device;
use crate::error::Result;
use std::collections::HashMap;
use std::fmt::{self, Write};

/// The passes that some work ran, each with its time on the device's clock.
#[derive(Debug, Clone)]
pub struct Profile {
    /// In the order they ran. Of a kernel with several passes, the first has its operations and bytes.
    pub spans: Vec<Span>,
    /// What the host did beside them: the exchanges of a [group](crate::parallel), in the order they ended.
    pub beside: Vec<HostSpan>,
}

/// One line of a profile's tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The kernel with its variant, or the layer.
    pub name: String,
    /// Passes.
    pub passes: usize,
    /// Milliseconds of all of them.
    pub ms: f64,
    /// Billions of operations a second.
    pub gflops: f64,
    /// Billions of bytes a second, each binding counted once.
    pub gbps: f64,
}

impl Device {
    /// Runs `work` and times each pass that it takes: with the adapter's timestamps where it has them, else by waiting
    /// for each. Either way passes do not overlap, and the work takes longer than without.
    ///
    /// ```
    /// let device = wgrad::Device::cpu();
    /// let x = wgrad::Tensor::ones([64, 64], &device);
    /// let (y, profile) = device.profile(|| x.matmul(&x).exp())?;
    /// assert_eq!(profile.by_kernel().len(), 2);
    /// println!("{profile}");
    /// # drop(y);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device's first failure.
    #[doc(alias = "torch.profiler")]
    pub fn profile<R>(&self, work: impl FnOnce() -> R) -> Result<(R, Profile)> {
        self.start_profile();
        let result = work();
        let (spans, beside) = self.end_profile()?;
        Ok((result, Profile { spans, beside }))
    }
}

impl Profile {
    /// Time by kernel, the longest first.
    pub fn by_kernel(&self) -> Vec<Row> {
        self.rows(|span| match span.title.variant {
            "" => span.title.kernel.to_string(),
            variant => format!("{} ({variant})", span.title.kernel),
        })
    }

    /// Time by layer, the longest first: the path of the parameter that a kernel worked for, without its last part.
    pub fn by_layer(&self) -> Vec<Row> {
        self.rows(|span| match span.title.label.as_deref() {
            None => "(no layer)".into(),
            Some(path) => path.rsplit_once('.').map_or(path, |(layer, _)| layer).to_string(),
        })
    }

    /// Milliseconds of all passes together.
    pub fn ms(&self) -> f64 {
        self.spans.iter().map(|span| span.ns as f64 / 1e6).sum()
    }

    /// Milliseconds of the exchanges between ranks, and how many of these lie under kernels of this rank: the rest is what a step
    /// waits for. While kernels are timed they take longer, so that more lies under them than without.
    pub fn exchanged_ms(&self) -> (f64, f64) {
        let all: u64 = self.beside.iter().map(|own| own.ns).sum();
        let under = |own: &HostSpan, span: &Span| {
            let end = (own.start_ns + own.ns).min(span.start_ns + span.ns);
            end.saturating_sub(own.start_ns.max(span.start_ns))
        };
        let hidden: u64 =
            self.beside.iter().map(|own| self.spans.iter().map(|span| under(own, span)).sum::<u64>()).sum();
        (all as f64 / 1e6, hidden as f64 / 1e6)
    }

    fn rows(&self, name: impl Fn(&Span) -> String) -> Vec<Row> {
        let mut found: HashMap<String, (usize, u64, u64, u64)> = HashMap::new();
        for span in &self.spans {
            let (passes, ns, flops, bytes) = found.entry(name(span)).or_default();
            *passes += 1;
            *ns += span.ns;
            *flops += span.title.cost.flops;
            *bytes += span.title.cost.bytes;
        }
        let row = |(name, (passes, ns, flops, bytes)): (String, (usize, u64, u64, u64))| {
            let rate = |work: u64| if ns == 0 { 0.0 } else { work as f64 / ns as f64 };
            Row { name, passes, ms: ns as f64 / 1e6, gflops: rate(flops), gbps: rate(bytes) }
        };
        let mut rows: Vec<Row> = found.into_iter().map(row).collect();
        rows.sort_by(|a, b| b.ms.total_cmp(&a.ms).then_with(|| a.name.cmp(&b.name)));
        rows
    }

    /// The passes as a trace in the JSON form that Perfetto (ui.perfetto.dev) and Chrome's tracing page open. Exchanges between ranks
    /// have a row of their own below: where all is well they lie under backward.
    pub fn trace(&self) -> String {
        let mut text = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
        let starts = self.spans.iter().map(|span| span.start_ns).chain(self.beside.iter().map(|own| own.start_ns));
        let origin = starts.min().unwrap_or(0);
        let us = |ns: u64| ns as f64 / 1e3;
        for (i, span) in self.spans.iter().enumerate() {
            let title = &span.title;
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "{}\n{{\"name\":{},\"cat\":\"kernel\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":{:.3},\"dur\":{:.3},\"args\":{{\"variant\":{},\"entry\":{},\"parameter\":{},\"operations\":{},\"bytes\":{}}}}}",
                if i == 0 { "" } else { "," },
                quoted(title.kernel),
                us(span.start_ns - origin),
                us(span.ns),
                quoted(title.variant),
                quoted(title.entry),
                quoted(title.label.as_deref().unwrap_or("")),
                title.cost.flops,
                title.cost.bytes
            );
        }
        for own in &self.beside {
            let _ = write!(
                text,
                "{}\n{{\"name\":{},\"cat\":\"host\",\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":{:.3},\"dur\":{:.3},\"args\":{{\"of\":{},\"bytes\":{}}}}}",
                if text.ends_with('[') { "" } else { "," },
                quoted(own.name),
                us(own.start_ns - origin),
                us(own.ns),
                quoted(&own.what),
                own.bytes
            );
        }
        for (tid, name) in [(1, "device"), (2, "exchanges")].into_iter().filter(|_| !self.beside.is_empty()) {
            let _ = write!(
                text,
                ",\n{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{tid},\"args\":{{\"name\":\"{name}\"}}}}"
            );
        }
        text + "\n]}\n"
    }
}

/// A string as JSON has it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.ms();
        for (title, rows) in [("kernel", self.by_kernel()), ("layer", self.by_layer())] {
            let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(title.len());
            writeln!(f, "{title:width$}  passes        ms      %  GFLOP/s    GB/s")?;
            for Row { name, passes, ms, gflops, gbps } in rows {
                let share = if all > 0.0 { 100.0 * ms / all } else { 0.0 };
                writeln!(f, "{name:width$}  {passes:6}  {ms:8.3}  {share:5.1}  {gflops:7.1}  {gbps:6.1}")?;
            }
            writeln!(f)?;
        }
        write!(f, "{} passes in {all:.3} ms", self.spans.len())?;
        if self.beside.is_empty() {
            return Ok(());
        }
        let (exchanged, hidden) = self.exchanged_ms();
        write!(f, "; exchanges: {} in {exchanged:.3} ms, {hidden:.3} of them under passes", self.beside.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::backend::Title;
    use std::sync::Arc;

    #[test]
    fn a_profile_tells_kernels_and_layers() {
        let device = Device::cpu();
        let weight = Tensor::ones([8, 8], &device).named("blocks.0.fc.weight");
        let work = || weight.matmul(&weight).exp().exp();
        let (_, profile) = device.profile(work).expect("the CPU works");
        let kernels = profile.by_kernel();
        let passes = |name: &str| kernels.iter().find(|row| row.name == name).map(|row| row.passes);
        assert_eq!((passes("matmul"), passes("exp")), (Some(1), Some(2)), "{kernels:?}");
        let layers = profile.by_layer();
        assert!(layers.iter().any(|row| row.name == "blocks.0.fc" && row.passes == 1), "{layers:?}");
        assert!(profile.ms() > 0.0);
        assert_eq!(profile.trace().matches("\"ph\":\"X\"").count(), 3);
        assert!(device.profile(|| ()).expect("the CPU works").1.spans.is_empty());
    }

    #[test]
    fn a_trace_is_json_whatever_names_hold() {
        let title = Title { kernel: "k", label: Some(Arc::from("a\"b\\c\n")), ..Title::default() };
        let what = Arc::from("gradients of a\"b [2]\n");
        let beside = vec![HostSpan { name: "exchange", what, bytes: 8, start_ns: 1005, ns: 2000 }];
        let profile = Profile { spans: vec![Span { title: Arc::new(title), start_ns: 5, ns: 1500 }], beside };
        let trace: serde_json::Value = serde_json::from_str(&profile.trace()).expect("it is JSON");
        let event = &trace["traceEvents"][0];
        assert_eq!(event["args"]["parameter"], "a\"b\\c\n");
        assert_eq!((event["ts"].as_f64(), event["dur"].as_f64()), (Some(0.0), Some(1.5)));
        let event = &trace["traceEvents"][1];
        assert_eq!(event["args"]["of"], "gradients of a\"b [2]\n");
        assert_eq!(
            (event["tid"].as_u64(), event["ts"].as_f64(), event["dur"].as_f64()),
            (Some(2), Some(1.0), Some(2.0))
        );
        assert_eq!(profile.exchanged_ms(), (0.002, 0.0005));
        assert!(profile.to_string().ends_with("; exchanges: 1 in 0.002 ms, 0.001 of them under passes"), "{profile}");
    }
}
