//! `docs/conformance.md`: what of PyTorch holds here, from a run of the cases on both backends.

use crate::reasons::{Kind, Reason, Reasons};
use crate::report::{Counts, Report, count};
use crate::ways::Way;
use crate::wrong;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "\
# What of PyTorch holds here

Cases that PyTorch 2.15 computed, of its own operators, layers and optimizers: most are the samples that it tests itself
with, the others special values (zeros of both signs, infinities, NaN, subnormal numbers, exact ties, empty shapes,
arguments at their edge). A case is an operator with its inputs, its result, and the gradients under a given cotangent.
Each runs on both backends, in three ways:

* *eager*: the inputs are packed, and each kernel runs at once;
* *strided*: each input is a view behind a gap, with its dimensions the other way round in memory and NaN between its
  rows;
* *replayed*: captured on other numbers and replayed on the case's, once as it is and once with a kernel before each input
  and behind each result, for rewrites to join to.

A case *passes* if each element of each result and gradient is near PyTorch's, by a tolerance in its file that PyTorch's
own float32 meets. One that does not pass has a reason in `tests/golden/reasons.json`: it is *refused* with a sentence,
as the documentation says, or it *differs*, and why. A reason whose case passes is an error, and so is a refusal in other
words.

With DIR for a folder of all cases, this page is the output of

```sh
WGRAD_PAGE=docs/conformance.md WGRAD_GOLDEN=DIR cargo test --test golden
```

and CI holds it against its own run. `tests/golden/cases` has a part of the cases, in the same form.
";

/// The page.
pub fn page(reports: &[&Report], reasons: &Reasons) -> String {
    let mut text = HEAD.to_string();
    text += "\n## All cases\n\n| | eager | strided | replayed |\n|---|---|---|---|\n";
    for report in reports {
        let _ = write!(text, "| {}: passed of all |", report.backend);
        for way in Way::ALL {
            let counts = report.counts(way);
            let _ = write!(text, " {} of {} |", counts.passed, counts.all());
        }
        text += "\n";
    }
    text += &kinds(reports);
    text += &told(reports, reasons, Kind::Refused, "Refused, as documented");
    text += &told(reports, reasons, Kind::Differs, "Differs, and why");
    text += &told(reports, reasons, Kind::Fault, "Faults that are known");
    text += &wrong_calls();
    text + &missing()
}

const SAMPLES: &str = "\
# PyTorch's own samples

What PyTorch 2.15 tests its operators, its modules and its optimizers with, drawn from its wheel by `tests/golden/samples.py`,
`tests/golden/modules.py` and `tests/golden/optimizers.py` (at most 40 of each), and run in the three ways of
[conformance.md](conformance.md). A sample of a module
is its constructor's arguments, a call in training or evaluation, the gradients of inputs and parameters, and the buffers after it;
its parameters are named here as in its `state_dict`. One of an optimizer is twelve steps of a parameter, and of L-BFGS one step.
What needs complex numbers, sparse tensors or linear algebra, what chance decides, and what PyTorch's inside alone has, is left
out. This page is the output of

```sh
python3 tests/golden/samples.py DIR
python3 tests/golden/modules.py DIR
python3 tests/golden/optimizers.py DIR
WGRAD_SAMPLES=docs/samples.md WGRAD_GOLDEN=DIR cargo test --test golden
```
";

/// The page of what passed of samples that are not kept here.
pub fn samples(reports: &[&Report]) -> String {
    let outside = |kind: &str| {
        let families = ["Linear algebra", "Other element types", "Sparse tensors and what belongs to PyTorch's inside"];
        families
            .iter()
            .any(|family| lists()["operators"][*family].as_array().is_some_and(|all| all.iter().any(|n| n == kind)))
    };
    let mut text = SAMPLES.to_string();
    text += "\n| | eager | strided | replayed |\n|---|---|---|---|\n";
    for report in reports {
        let _ = write!(text, "| {}: passed of all |", report.backend);
        for way in Way::ALL {
            let inside = report.lines.iter().filter(|(kind, _)| !outside(kind)).flat_map(|(_, lines)| lines);
            let counts = count(inside, way);
            let _ = write!(text, " {} of {} |", counts.passed, counts.all());
        }
        text += "\n";
    }
    let family = |kind: &str| ["nn.", "optim_"].iter().position(|start| kind.starts_with(start));
    for (of, own) in [("", None), ("Modules: ", Some(0)), ("Optimizers: ", Some(1))] {
        text += &passed(reports, of, &|kind| family(kind) == own, &outside);
    }
    text
}

/// What passed whole, in part, and not at all of some kinds.
fn passed(reports: &[&Report], of: &str, counts_here: &dyn Fn(&str) -> bool, outside: &dyn Fn(&str) -> bool) -> String {
    let (mut text, mut whole, mut parts, mut none) = (String::new(), Vec::new(), Vec::new(), Vec::new());
    let kinds = reports.iter().flat_map(|report| report.lines.keys()).filter(|kind| counts_here(kind));
    for kind in kinds.collect::<BTreeSet<_>>() {
        let counts = |report: &&Report| count(report.lines.get(kind).into_iter().flatten(), Way::Eager);
        let passed = reports.iter().map(|report| counts(report).passed).min().unwrap_or(0);
        let all = reports.iter().map(|report| counts(report).all()).max().unwrap_or(0);
        match passed {
            _ if passed == all => whole.push(format!("`{kind}` {all}")),
            0 if outside(kind) => {}
            0 => none.push(format!("`{kind}` {all}")),
            _ => parts.push(format!("`{kind}` {passed} of {all}")),
        }
    }
    for (title, list) in [("Pass, on each backend", whole), ("Pass in part", parts), ("Not there", none)] {
        let title = if of.is_empty() { title.to_string() } else { format!("{of}{}", title.to_lowercase()) };
        if !list.is_empty() {
            let _ = write!(text, "\n## {title}\n\n{}\n", list.join(", "));
        }
    }
    text
}

/// How many calls are refused, and which are not.
fn wrong_calls() -> String {
    let calls = wrong::calls();
    let taken: BTreeMap<&str, &str> =
        calls.iter().filter_map(|call| Some((call.kind.as_str(), call.taken.as_deref()?))).collect();
    let count = calls.iter().filter(|call| call.taken.is_none()).count();
    let mut text = format!(
        "\n## Wrong calls\n\nOf the calls that PyTorch tests for being refused, {} are not ruled out by Rust's types \
         (`tests/golden/wrong.json`). {count} are refused by a sentence that names the operator and what it was given. The \
         others are taken:\n\n",
        calls.len()
    );
    for (kind, why) in taken {
        let _ = writeln!(text, "* `{kind}`: {why}");
    }
    text
}

/// A row for each kind.
fn kinds(reports: &[&Report]) -> String {
    let mut text = "\n## By operator\n\nPassed eager / strided / replayed; one number where all three are the same.\n\n| | cases |".to_string();
    for report in reports {
        let _ = write!(text, " {} |", report.backend);
    }
    text += " refused | differs |\n|---|---|";
    text += &"---|".repeat(reports.len() + 2);
    for kind in reports.iter().flat_map(|report| report.lines.keys()).collect::<BTreeSet<_>>() {
        let counts = |report: &Report| Way::ALL.map(|way| count(report.lines.get(kind).into_iter().flatten(), way));
        let cases = reports.iter().map(|report| counts(report)[0].all()).max().unwrap_or(0);
        let _ = write!(text, "\n| `{kind}` | {cases} |");
        for report in reports {
            let [eager, strided, replayed] = counts(report).map(|counts| counts.passed);
            let same = eager == strided && eager == replayed;
            let _ = if same { write!(text, " {eager} |") } else { write!(text, " {eager} / {strided} / {replayed} |") };
        }
        let most = |of: fn(&Counts) -> usize| reports.iter().flat_map(|r| counts(r)).map(|c| of(&c)).max().unwrap_or(0);
        for number in [most(|c| c.refused), most(|c| c.differ + c.faults)] {
            let _ = if number == 0 { write!(text, " |") } else { write!(text, " {number} |") };
        }
    }
    text + "\n"
}

/// The reasons of one kind, with those of their cases that ran.
fn told(reports: &[&Report], reasons: &Reasons, kind: Kind, title: &str) -> String {
    let ran: BTreeSet<&str> =
        reports.iter().flat_map(|r| r.lines.values().flatten()).map(|line| line.case.as_str()).collect();
    let mut text = String::new();
    for reason in reasons.0.iter().filter(|reason| reason.kind == kind) {
        let cases: Vec<String> =
            reason.cases.iter().filter(|case| ran.contains(case.as_str())).map(|case| format!("`{case}`")).collect();
        if cases.is_empty() {
            continue;
        }
        let Reason { because, documented, says, .. } = reason;
        let _ = write!(text, "\n* {because}{}", reason.place());
        if let Some(says) = says {
            let _ = write!(text, " It says `{}`.", says.trim());
        }
        if let Some(sentence) = documented {
            let _ = write!(text, " Documented: \"{sentence}\"");
        }
        let _ = write!(text, "\n  {}", cases.join(", "));
    }
    if text.is_empty() { text } else { format!("\n## {title}\n{text}\n") }
}

/// What PyTorch has and this crate does not, which no case can show.
fn missing() -> String {
    let lists = lists();
    let mut text =
        "\n## Missing\n\nArguments of operators that are here, from the samples that the crate cannot express:\n\n"
            .to_string();
    for (of, what) in &lists["arguments"] {
        let _ = writeln!(text, "* {of}: {}", what.as_str().expect("a sentence"));
    }
    text += "\nOperators of PyTorch's list that are neither here nor a line of others that are:\n\n";
    for (of, what) in &lists["operators"] {
        let names = what.as_array().expect("a list of names").iter();
        let names: Vec<String> = names.map(|name| format!("`{}`", name.as_str().expect("a name"))).collect();
        let _ = writeln!(text, "* {of}: {}", names.join(", "));
    }
    text
}

fn lists() -> BTreeMap<String, BTreeMap<String, Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/missing.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
