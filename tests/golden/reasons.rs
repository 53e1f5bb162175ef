//! Why some cases do not give what PyTorch gives, told in `reasons.json` and held there: a case that has a reason must
//! not pass, a refusal must say what its reason says that it does, and a sentence that documents it must stand in the
//! crate's documentation.

use crate::judge::Finding;
use crate::report::Outcome;
use crate::ways::Way;
use serde_json::Value;
use std::path::Path;

/// What a reason says of its cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// They are refused by a panic or an error, as the documentation says.
    Refused,
    /// They give something else than PyTorch, and that is right as it is.
    Differs,
    /// They show a fault that is still there.
    Fault,
}

/// Why some cases do not pass.
#[derive(Debug)]
pub struct Reason {
    pub kind: Kind,
    pub because: String,
    /// What the refusal says.
    pub says: Option<String>,
    /// The documentation's sentence about it.
    pub documented: Option<String>,
    /// The only backend and way that it holds for; of all where it names none.
    backend: Option<String>,
    way: Option<String>,
    /// Whether a device may give what PyTorch gives, where the adapter has the choice.
    pub by_adapter: bool,
    pub cases: Vec<String>,
}

/// All reasons.
pub struct Reasons(pub Vec<Reason>);

impl Reasons {
    /// Those of the project.
    pub fn load() -> Reasons {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("tests/golden/reasons.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let list: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let reasons = Reasons(list.iter().map(Reason::parse).collect());
        reasons.check(&documentation(&root.join("src")));
        reasons
    }

    /// Fails where a reason is not one.
    fn check(&self, documentation: &str) {
        for reason in &self.0 {
            let Reason { kind, because, says, documented, cases, .. } = reason;
            assert!(because.len() > 10 && !cases.is_empty(), "reasons.json: `{because}` is no reason, or has no cases");
            let is_whole = *kind != Kind::Refused || says.is_some() && documented.is_some();
            assert!(is_whole, "reasons.json: `{because}`: a refusal says something, and is documented");
            if let Some(sentence) = documented {
                let stands = documentation.contains(&squeezed(sentence));
                assert!(stands, "reasons.json: `{sentence}` does not stand in the crate's documentation");
            }
        }
    }

    /// What holds for a case.
    pub fn of(&self, backend: &str, way: Way, case: &str) -> Option<&Reason> {
        let fits = |own: &Option<String>, name: &str| own.as_deref().is_none_or(|own| own == name);
        let mut found = self.0.iter().filter(|reason| {
            fits(&reason.backend, backend) && fits(&reason.way, way.name()) && reason.cases.iter().any(|c| c == case)
        });
        let reason = found.next();
        assert!(found.next().is_none(), "reasons.json: `{case}` has two reasons on {backend}, {}", way.name());
        reason
    }

    /// The outcome in the light of the reasons.
    pub fn weigh(&self, backend: &str, way: Way, case: &str, outcome: Outcome) -> Outcome {
        let Some(reason) = self.of(backend, way, case) else { return outcome };
        let found = match outcome {
            Outcome::Passed if reason.by_adapter => return Outcome::Passed,
            Outcome::Passed => {
                let fact = format!("it passes, so that `{}` is no reason any more", reason.because);
                return Outcome::Failed(vec![Finding::new("reasons.json", fact)]);
            }
            Outcome::Failed(found) => found,
            Outcome::Excused(_) | Outcome::Unsupported => return outcome,
        };
        match &reason.says {
            Some(says) if !found.iter().all(|finding| finding.fact.contains(says.as_str())) => {
                let fact = format!("it does not say `{says}`");
                Outcome::Failed(found.into_iter().chain([Finding::new("reasons.json", fact)]).collect())
            }
            _ => Outcome::Excused(reason.kind),
        }
    }
}

impl Reason {
    /// Where it holds, in words, if that is not everywhere.
    pub fn place(&self) -> String {
        let backend = self.backend.as_ref().map(|name| format!("on {name}"));
        let words: Vec<String> = backend.into_iter().chain(self.way.clone()).collect();
        if words.is_empty() { String::new() } else { format!(" (Only {}.)", words.join(", ")) }
    }

    fn parse(value: &Value) -> Reason {
        let known = ["kind", "because", "says", "documented", "backend", "way", "by_adapter", "cases"];
        let map = value.as_object().unwrap_or_else(|| panic!("reasons.json: {value} is no object"));
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            panic!("reasons.json: nothing here knows `{key}`");
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_string);
        let kind = match text("kind").as_deref() {
            Some("refused") => Kind::Refused,
            Some("differs") => Kind::Differs,
            Some("fault") => Kind::Fault,
            other => panic!("reasons.json: no kind {other:?} is known"),
        };
        let cases = value.get("cases").and_then(Value::as_array).into_iter().flatten();
        Reason {
            kind,
            because: text("because").unwrap_or_default(),
            says: text("says"),
            documented: text("documented"),
            backend: text("backend"),
            way: text("way"),
            by_adapter: value.get("by_adapter").and_then(Value::as_bool).unwrap_or(false),
            cases: cases.map(|case| case.as_str().expect("a case has a name").to_string()).collect(),
        }
    }
}

/// All that stands behind `///` and `//!` in the sources, on one line.
fn documentation(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            all += &documentation(&path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            for line in text.lines().map(str::trim_start) {
                if let Some(said) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
                    all = all + " " + said.trim();
                }
            }
        }
    }
    squeezed(&all)
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each test of this page with its name.
pub const TESTS: &[(&str, fn())] = &[
    ("a_reason_whose_case_passes_is_refused", a_reason_whose_case_passes_is_refused),
    ("a_refusal_says_what_its_reason_says", a_refusal_says_what_its_reason_says),
    ("a_reason_holds_where_it_says", a_reason_holds_where_it_says),
];

fn one(text: &str) -> Reasons {
    Reasons(vec![Reason::parse(&serde_json::from_str(text).expect("it is JSON"))])
}

fn failed(fact: &str) -> Outcome {
    Outcome::Failed(vec![Finding::new("out", fact)])
}

fn a_reason_whose_case_passes_is_refused() {
    let text = r#"{"kind": "differs", "because": "it is otherwise", "cases": ["a/b"]}"#;
    let weigh = |text: &str, outcome| one(text).weigh("cpu", Way::Eager, "a/b", outcome);
    assert!(matches!(weigh(text, failed("off")), Outcome::Excused(Kind::Differs)));
    assert!(matches!(weigh(text, Outcome::Passed), Outcome::Failed(_)));
    let by_adapter = text.replace("\"cases\"", "\"by_adapter\": true, \"cases\"");
    assert!(matches!(weigh(&by_adapter, Outcome::Passed), Outcome::Passed));
}

fn a_refusal_says_what_its_reason_says() {
    let text = r#"{"kind": "refused", "because": "it is too much", "says": "too much", "documented": "Not that.",
        "cases": ["a/b"]}"#;
    let weigh = |fact: &str| one(text).weigh("cpu", Way::Eager, "a/b", failed(fact));
    assert!(matches!(weigh("panicked: this is too much"), Outcome::Excused(Kind::Refused)));
    assert!(matches!(weigh("panicked: index out of bounds"), Outcome::Failed(_)));
    one(text).check("Some words. Not that. More.");
    assert!(std::panic::catch_unwind(|| one(text).check("Some words.")).is_err());
}

fn a_reason_holds_where_it_says() {
    let text = r#"{"kind": "fault", "because": "it is wrong there", "backend": "wgpu", "way": "replayed",
        "cases": ["a/b"]}"#;
    assert!(one(text).of("wgpu", Way::Replayed, "a/b").is_some());
    assert!(one(text).of("cpu", Way::Replayed, "a/b").is_none());
    assert!(one(text).of("wgpu", Way::Eager, "a/b").is_none());
    assert!(one(text).of("wgpu", Way::Replayed, "a/c").is_none());
}
