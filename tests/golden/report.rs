//! What came of all cases on one backend.

use crate::judge::Finding;
use crate::reasons::Kind;
use crate::ways::Way;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// How one case ended in one way.
pub enum Outcome {
    Passed,
    Failed(Vec<Finding>),
    /// It has a reason not to pass.
    Excused(Kind),
    Unsupported,
}

/// One case in each way that it runs.
pub struct Line {
    pub case: String,
    pub outcomes: Vec<(Way, Outcome)>,
}

/// The outcomes on one backend, by kind and case.
pub struct Report {
    pub backend: &'static str,
    pub lines: BTreeMap<String, Vec<Line>>,
}

/// Cases by how they ended in one way.
#[derive(Clone, Copy, PartialEq, Default)]
pub struct Counts {
    pub passed: usize,
    pub refused: usize,
    pub differ: usize,
    pub faults: usize,
    pub failed: usize,
    pub unsupported: usize,
}

impl Counts {
    pub fn all(self) -> usize {
        self.excused() + self.passed + self.failed + self.unsupported
    }

    fn excused(self) -> usize {
        self.refused + self.differ + self.faults
    }
}

pub fn count<'a>(lines: impl IntoIterator<Item = &'a Line>, way: Way) -> Counts {
    let all = lines.into_iter().flat_map(|line| &line.outcomes).filter(|(w, _)| *w == way);
    all.fold(Counts::default(), |mut counts, (_, outcome)| {
        *match outcome {
            Outcome::Passed => &mut counts.passed,
            Outcome::Failed(_) => &mut counts.failed,
            Outcome::Excused(Kind::Refused) => &mut counts.refused,
            Outcome::Excused(Kind::Differs) => &mut counts.differ,
            Outcome::Excused(Kind::Fault) => &mut counts.faults,
            Outcome::Unsupported => &mut counts.unsupported,
        } += 1;
        counts
    })
}

/// Each failure with its case.
pub fn failures(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        for (way, outcome) in &line.outcomes {
            let Outcome::Failed(findings) = outcome else { continue };
            for finding in findings {
                let _ = writeln!(text, "{} ({}): {finding}", line.case, way.name());
            }
        }
    }
    text
}

impl Report {
    pub fn counts(&self, way: Way) -> Counts {
        count(self.lines.values().flatten(), way)
    }

    pub fn summary(&self) -> String {
        let mut text = format!("golden {}:", self.backend);
        for way in Way::ALL {
            let Counts { passed, refused, differ, faults, failed, unsupported } = self.counts(way);
            let excused = refused + differ + faults;
            let _ = write!(text, " {} {passed} passed, {excused} with a reason, {failed} failed", way.name());
            let _ = write!(text, ", {unsupported} unsupported;");
        }
        text.trim_end_matches(';').to_string()
    }
}

/// One row for each kind, with passes of each way, reasons and failures on each backend.
pub fn table(reports: &[&Report]) -> String {
    let (mut text, mut columns) = (format!("{:34}", ""), format!("\n{:34}", "kind"));
    for report in reports {
        let _ = write!(text, "{:>48}", report.backend);
        let _ = write!(columns, "   eager strided replayed  reasons failed missing");
    }
    text += &columns;
    for kind in reports.iter().flat_map(|report| report.lines.keys()).collect::<BTreeSet<_>>() {
        let _ = write!(text, "\n{kind:34}");
        for report in reports {
            let ways = Way::ALL.map(|way| count(report.lines.get(kind).into_iter().flatten(), way));
            let [eager, strided, replayed] = ways.map(|counts| counts.passed);
            let sum = |of: fn(Counts) -> usize| ways.iter().map(|&counts| of(counts)).sum::<usize>();
            let (reasons, failed, missing) = (sum(Counts::excused), sum(|c| c.failed), sum(|c| c.unsupported));
            let _ = write!(text, "{eager:>8} {strided:>7} {replayed:>8} {reasons:>8} {failed:>6} {missing:>7}");
        }
    }
    text
}
