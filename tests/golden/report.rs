//! What came of all cases on one backend.

use crate::judge::Finding;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// How one case ended.
pub enum Outcome {
    Passed,
    Failed(Vec<Finding>),
    Unsupported,
}

/// The outcomes on one backend, by kind and case.
pub struct Report {
    pub backend: &'static str,
    pub outcomes: BTreeMap<String, Vec<(String, Outcome)>>,
}

/// Cases passed, failed and unsupported.
#[derive(Clone, Copy, PartialEq, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    unsupported: usize,
}

fn count<'a>(outcomes: impl IntoIterator<Item = &'a (String, Outcome)>) -> Counts {
    outcomes.into_iter().fold(Counts::default(), |mut counts, (_, outcome)| {
        match outcome {
            Outcome::Passed => counts.passed += 1,
            Outcome::Failed(_) => counts.failed += 1,
            Outcome::Unsupported => counts.unsupported += 1,
        }
        counts
    })
}

impl Report {
    fn counts(&self) -> Counts {
        count(self.outcomes.values().flatten())
    }

    /// Cases that ran, whatever came of them.
    pub fn ran(&self) -> usize {
        self.counts().passed + self.counts().failed
    }

    pub fn failed(&self) -> usize {
        self.counts().failed
    }

    /// Each failure with its case.
    pub fn failures(&self) -> String {
        let mut text = String::new();
        for (case, outcome) in self.outcomes.values().flatten() {
            let Outcome::Failed(findings) = outcome else { continue };
            for finding in findings {
                let _ = writeln!(text, "golden {}: {case}: {finding}", self.backend);
            }
        }
        text
    }

    pub fn summary(&self) -> String {
        let Counts { passed, failed, unsupported } = self.counts();
        format!("golden {}: {passed} passed, {failed} failed, {unsupported} unsupported", self.backend)
    }
}

/// One row for each kind, with three columns for each backend.
pub fn table(reports: &[Report]) -> String {
    let (mut text, mut columns) = (format!("{:34}", ""), format!("\n{:34}", "kind"));
    for report in reports {
        let _ = write!(text, "{:>27}", report.backend);
        let _ = write!(columns, "  passed failed unsupported");
    }
    text += &columns;
    for kind in reports.iter().flat_map(|report| report.outcomes.keys()).collect::<BTreeSet<_>>() {
        let _ = write!(text, "\n{kind:34}");
        for report in reports {
            let Counts { passed, failed, unsupported } = count(&report.outcomes[kind]);
            let _ = write!(text, "{passed:>8} {failed:>6} {unsupported:>11}");
        }
    }
    text
}
