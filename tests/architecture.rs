//! What the house is held to: floors, names, sizes, and that every kernel and entry point has its place and its case.
//! Nothing is needed to run it.

#[path = "architecture/pages.rs"]
mod pages;
#[path = "architecture/source.rs"]
mod source;

use crate::cases;
use source::{Source, files};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use wgrad::kernel::Kernel;

/// Each test with its name.
pub const TESTS: &[(&str, fn())] = &[
    ("floors_use_only_what_is_below", floors_use_only_what_is_below),
    ("no_import_runs_in_a_circle", no_import_runs_in_a_circle),
    ("only_one_floor_names_wgpu", only_one_floor_names_wgpu),
    ("what_blocks_stands_at_the_edge", what_blocks_stands_at_the_edge),
    ("there_is_one_unsafe_call", there_is_one_unsafe_call),
    ("the_environment_is_read_at_the_edge", the_environment_is_read_at_the_edge),
    ("no_closure_panics", no_closure_panics),
    ("what_panics_tells_its_caller", what_panics_tells_its_caller),
    ("tests_here_are_in_a_table", tests_here_are_in_a_table),
    ("files_are_small_and_named_well", files_are_small_and_named_well),
    ("no_path_of_a_machine_is_written_down", no_path_of_a_machine_is_written_down),
    ("shaders_are_plain_wgsl_under_a_comment", shaders_are_plain_wgsl_under_a_comment),
    ("every_entry_point_is_named_in_rust", every_entry_point_is_named_in_rust),
    ("every_kernel_is_in_a_list", every_kernel_is_in_a_list),
    ("every_kernel_has_a_case", every_kernel_has_a_case),
    ("the_machinery_knows_no_operation", the_machinery_knows_no_operation),
    ("the_page_from_pytorch_names_what_is_there", pages::the_page_from_pytorch_names_what_is_there),
    ("every_method_of_tensor_is_in_a_family", pages::every_method_of_tensor_is_in_a_family),
    ("every_name_of_nn_is_in_a_family", pages::every_name_of_nn_is_in_a_family),
    ("files_that_pages_name_are_there", pages::files_that_pages_name_are_there),
    ("scratch_memory_is_given_out_by_name", scratch_memory_is_given_out_by_name),
];

/// A module may use those on its own floor and below.
const FLOORS: &[(&str, &[&str])] = &[
    ("0: pure data", &["kernel", "shape", "dtype", "rng", "error"]),
    ("1: where kernels run", &["backend"]),
    ("2: devices", &["device"]),
    ("3: tensors", &["tensor", "autograd", "plan", "profile"]),
    ("4: operations", &["ops"]),
    ("5: models", &["nn", "optim", "loss"]),
    ("6: data and files", &["data", "deploy", "metrics", "checkpoint", "tuning"]),
    ("7: several devices", &["parallel"]),
    ("8: training", &["train"]),
    ("9: how to use it", &["guide"]),
];

/// Where the crate wgpu may be named.
fn is_wgpu(path: &str) -> bool {
    path == "src/backend/wgpu.rs" || path.starts_with("src/backend/wgpu/")
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

/// Fails with all that was found, each with its place.
fn refuse(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Says something that is seen even when the test passes.
fn say(text: &str) {
    // A closed stream only loses the message.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What the crate's root gives on from a module: (name, module).
fn given_on() -> Vec<(String, String)> {
    let root = files("src", "src/lib.rs").remove(0);
    let mut found = Vec::new();
    for line in root.code.lines().filter_map(|line| line.strip_prefix("pub use ")) {
        let (module, _) = line.split_once("::").expect("a path");
        let (_, last) = line.rsplit_once("::").expect("a path");
        let names = last.trim_matches(['{', '}', ';', ' ']).split(',').map(str::trim).filter(|name| !name.is_empty());
        found.extend(names.map(|name| (name.trim_end_matches(['}', ';']).to_string(), module.to_string())));
    }
    assert!(found.contains(&("Tensor".into(), "tensor".into())), "{found:?}");
    found
}

fn floors_use_only_what_is_below() {
    let given_on = given_on();
    let mut found = Vec::new();
    for file in files("src", ".rs").iter().filter(|file| file.path != "src/lib.rs") {
        let module = file.module();
        let Some(own) = floor(module) else {
            found.push(format!("{}: `{module}` stands on no floor: enter it in FLOORS", file.path));
            continue;
        };
        for (at, name) in file.uses() {
            let given = given_on.iter().find(|(n, _)| *n == name);
            let used = given.map_or(name.as_str(), |(_, module)| module);
            // A macro of the crate is written where its module is.
            let used = if file.code[at..].starts_with(&format!("crate::{name}!")) { module } else { used };
            match floor(used) {
                Some(floor) if floor <= own => {}
                Some(floor) => {
                    let floor = FLOORS[floor].0;
                    found.push(format!("{}:{}: uses `{used}` of floor {floor}", file.path, file.line(at)));
                }
                None => found.push(format!("{}:{}: `crate::{name}` is on no floor", file.path, file.line(at))),
            }
        }
        for at in file.words("super").filter(|&at| !file.code[..at].ends_with("super::")) {
            let steps = file.code[at..].split("::").take_while(|step| *step == "super").count();
            if steps >= file.depth(at) {
                found.push(format!("{}:{}: `super` reaches the root: say `crate`", file.path, file.line(at)));
            }
        }
    }
    refuse(found);
}

/// The page of a file: an operation's, or the module.
fn page(file: &Source) -> String {
    match file.path.strip_prefix("src/ops/").and_then(|rest| rest.split(['/', '.']).next()) {
        Some(operation) => format!("ops::{operation}"),
        None => file.module().to_string(),
    }
}

fn no_import_runs_in_a_circle() {
    let sources = files("src", ".rs");
    let given_on = given_on();
    let mut reached: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in sources.iter().filter(|file| !["src/lib.rs", "src/ops.rs"].contains(&file.path.as_str())) {
        let uses = reached.entry(page(file)).or_default();
        for (_, name) in file.uses().into_iter().filter(|(_, name)| name != "ops") {
            let given = given_on.iter().find(|(n, _)| *n == name);
            uses.insert(given.map_or(name, |(_, module)| module.to_string()));
        }
        let beside = if file.path.matches('/').count() == 2 { "super::" } else { "crate::ops::" };
        for start in ["crate::ops::", beside].into_iter().filter(|_| file.module() == "ops") {
            let rests = file.code.match_indices(start).map(|(at, _)| &file.code[at + start.len()..]);
            uses.extend(rests.map(|rest| {
                format!("ops::{}", rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
            }));
        }
    }
    // What is reached by any number of steps.
    for _ in 0..reached.len() {
        for page in reached.keys().cloned().collect::<Vec<_>>() {
            let further: Vec<String> =
                reached[&page].iter().filter_map(|next| reached.get(next)).flatten().cloned().collect();
            reached.get_mut(&page).expect("a page").extend(further);
        }
    }
    assert!(reached["nn"].contains("kernel"), "imports are not seen");
    let both = |a: &str, b: &str| reached[a].contains(b) && reached.get(b).is_some_and(|back| back.contains(a));
    let mut found = Vec::new();
    for (page, all) in &reached {
        // A tensor has its history, and that is made of tensors.
        let knot = ["tensor", "autograd"];
        let circles = all.iter().filter(|other| *other > page && both(page, other));
        let bad = circles.filter(|other| !(knot.contains(&page.as_str()) && knot.contains(&other.as_str())));
        found.extend(bad.map(|other| format!("`{page}` and `{other}` import each other, by one step or several")));
    }
    refuse(found);
}

fn only_one_floor_names_wgpu() {
    let mut found = Vec::new();
    for file in files("src", ".rs").iter().filter(|file| !is_wgpu(&file.path)) {
        for at in file.words("wgpu") {
            let (before, after) = (&file.code[..at], &file.code[at + 4..]);
            let is_ours = before.ends_with("::") || before.ends_with("mod ") || before.ends_with("fn ");
            let imports = before.ends_with("use ") || before.ends_with("extern crate ");
            if imports || after.starts_with("::") && !is_ours {
                found.push(format!("{}:{}: names the crate wgpu", file.path, file.line(at)));
            }
        }
    }
    refuse(found);
}

/// What a browser does not have, and where it stands, behind a gate or as an error.
const BLOCKING: &[(&str, &[&str])] = &[
    ("pollster", &["src/backend/edge.rs"]),
    ("std::time::Instant", &["src/backend/edge.rs"]),
    ("SystemTime", &["src/backend/edge.rs"]),
    ("thread::spawn", &["src/backend/edge.rs"]),
    // The crate's pool, which a browser never has.
    ("thread::scope", &["src/backend/edge.rs", "src/kernel/parallel.rs"]),
    ("thread::Builder", &[]),
    ("thread::sleep", &["src/backend/edge.rs"]),
    ("Condvar", &[]),
    ("process::id", &["src/backend/edge.rs"]),
    ("PollType", &["src/backend/wgpu/queue.rs"]),
    // Files answer with an error there.
    (
        "std::fs",
        &[
            "src/backend/whole.rs",
            "src/data/files.rs",
            "src/data/table/parquet.rs",
            "src/data/download.rs",
            "src/data/folder.rs",
            "src/data/lines.rs",
            "src/data/tokens.rs",
            "src/train/checkpoints.rs",
            "src/train/events.rs",
            "src/train/logs.rs",
            "src/train/report.rs",
            "src/tuning.rs",
        ],
    ),
];

fn what_blocks_stands_at_the_edge() {
    let mut found = Vec::new();
    for file in files("src", ".rs") {
        // Names in braces, as `use` has them, written out.
        let inner = |(at, _): (usize, &str)| {
            let (head, rest) = (file.code[..at].rsplit(' ').next().unwrap_or_default(), &file.code[at + 3..]);
            let names = rest.split_once('}').map_or(rest, |(names, _)| names);
            names.split(',').map(|name| (at, format!("{head}::{}", name.trim()))).collect::<Vec<_>>()
        };
        let listed: Vec<(usize, String)> = file.code.match_indices("::{").flat_map(inner).collect();
        for (what, _) in BLOCKING.iter().filter(|(_, places)| !places.contains(&file.path.as_str())) {
            let direct = file.code.match_indices(what).map(|(at, _)| at);
            let in_braces = listed.iter().filter(|(_, name)| name.contains(what)).map(|(at, _)| *at);
            found.extend(direct.chain(in_braces).map(|at| format!("{}:{}: {what}", file.path, file.line(at))));
        }
    }
    refuse(found);
}

fn there_is_one_unsafe_call() {
    let mut all = Vec::new();
    for folder in ["src", "tests", "examples", "benches"] {
        for file in files(folder, ".rs") {
            let lines = file.words("unsafe").map(|at| format!("{}:{}", file.path, file.line(at)));
            all.extend(lines);
        }
    }
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].starts_with("src/backend/wgpu/pipelines.rs"), "{all:?}");
}

fn the_environment_is_read_at_the_edge() {
    let mut found = Vec::new();
    for file in files("src", ".rs") {
        let edges = file.bodies("from_env");
        for at in file.words("env").filter(|&at| !file.code[at..].starts_with("env!")) {
            if !edges.iter().any(|edge| edge.contains(&at)) {
                found.push(format!("{}:{}: reads the environment outside of `from_env`", file.path, file.line(at)));
            }
        }
        let is_edge = file.path == "src/backend/edge.rs";
        let own = file.words("thread_local").filter(|_| !is_edge);
        found.extend(own.map(|at| format!("{}:{}: thread_local", file.path, file.line(at))));
    }
    refuse(found);
}

/// Where mistakes of a program are told.
const TOLD: [&str; 8] = ["autograd", "data", "loss", "metrics", "nn", "ops", "optim", "tensor"];

fn no_closure_panics() {
    // A closure knows no caller's line, and a mistake is told with that.
    let mut found = Vec::new();
    for file in files("src", ".rs").iter().filter(|file| TOLD.contains(&file.module())) {
        for word in ["panic", "assert", "assert_eq"] {
            for at in file.words(word).filter(|&at| file.code[at + word.len()..].starts_with('!')) {
                if file.is_in_closure(at) {
                    found.push(format!("{}:{}: {word}! in a closure", file.path, file.line(at)));
                }
            }
        }
    }
    refuse(found);
}

fn what_panics_tells_its_caller() {
    // A function that says in its docs that it panics does so at its caller's line.
    let mut found = Vec::new();
    for file in files("src", ".rs") {
        let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == "/// # Panics") {
            let head = lines[at..].iter().take_while(|line| line.starts_with("///") || line.starts_with("#["));
            let tracked = head.clone().any(|line| *line == "#[track_caller]");
            let is_function = lines[at + head.count()].split([' ', '(']).any(|word| word == "fn");
            if is_function && !tracked {
                found.push(format!("{}:{}: panics without #[track_caller]", file.path, at + 1));
            }
        }
    }
    refuse(found);
}

fn tests_here_are_in_a_table() {
    // This binary has a harness of its own, and `#[test]` would say nothing.
    let own = files("tests", ".rs").into_iter().filter(|file| {
        ["ops", "architecture", "programs", "shaders", "golden"]
            .iter()
            .any(|page| file.path.starts_with(&format!("tests/{page}")))
    });
    let mark = ["#[te", "st]"].concat();
    refuse(own.filter(|file| file.code.contains(&mark)).map(|file| format!("{}: {mark}", file.path)).collect());
}

fn files_are_small_and_named_well() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "examples", "benches"] {
        for file in files(folder, ".rs") {
            let lines = file.text.lines().count();
            if lines > 600 {
                found.push(format!("{}: {lines} lines: split it", file.path));
            } else if lines > 400 {
                say(&format!("architecture: {} has {lines} lines: is it one thing?", file.path));
            }
            if file.path.ends_with("/mod.rs") {
                found.push(format!("{}: name the file after the module", file.path));
            }
            let is_vague = |name: &str| {
                ["utils", "helpers", "common"].contains(&name) || name.contains("Manager") || name.contains("manager")
            };
            let stems = file.path.split(['/', '.']);
            found.extend(
                stems
                    .chain(file.names())
                    .filter(|name| is_vague(name))
                    .map(|name| format!("{}: `{name}` says nothing: name what it does", file.path)),
            );
            let functions = file.code.match_indices("fn ").map(|(at, _)| &file.code[at + 3..]);
            found.extend(functions.filter(|rest| rest.starts_with("get_") || rest.starts_with("try_")).map(|rest| {
                let name: String = rest.chars().take_while(|c| *c != '(' && *c != '<').collect();
                format!("{}: `{name}`: no get_ and no try_", file.path)
            }));
        }
    }
    for file in files("shaders", ".wgsl") {
        let lines = file.text.lines().count();
        let most = if file.path == "shaders/prelude.wgsl" { 400 } else { 250 };
        if lines > most {
            found.push(format!("{}: {lines} lines: split it", file.path));
        } else if lines > 150 {
            say(&format!("architecture: {} has {lines} lines", file.path));
        }
    }
    refuse(found);
}

fn no_path_of_a_machine_is_written_down() {
    // In two parts, so that this file is clean itself.
    let roots = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/tm", "p/")];
    let mut found = Vec::new();
    let folders = ["src", "shaders", "tests", "examples", "benches", "docs"];
    for file in folders.iter().flat_map(|folder| files(folder, "")) {
        let lines = file.text.lines().enumerate();
        found.extend(
            lines
                .filter(|(_, line)| roots.iter().any(|root| line.contains(root)))
                .map(|(at, line)| format!("{}:{}: {}", file.path, at + 1, line.trim())),
        );
    }
    refuse(found);
}

fn shaders_are_plain_wgsl_under_a_comment() {
    let mut found = Vec::new();
    for file in files("shaders", "") {
        if !file.path.ends_with(".wgsl") {
            found.push(format!("{}: is no shader", file.path));
        }
        if !file.text.starts_with("// ") {
            found.push(format!("{}: the first lines tell the formula, the shapes and the division of work", file.path));
        }
        for (at, line) in file.code.lines().enumerate().filter(|(_, line)| line.contains(['#', '$'])) {
            found.push(format!("{}:{}: no preprocessor and no templates: {line}", file.path, at + 1));
        }
    }
    refuse(found);
}

/// The names of a shader's entry points.
fn entry_points(file: &Source) -> Vec<String> {
    let heads = file.code.match_indices("@compute").map(|(at, _)| &file.code[at..]);
    heads
        .map(|head| {
            let name = head.split("fn ").nth(1).unwrap_or_else(|| panic!("{}: @compute without fn", file.path));
            name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .collect()
}

fn every_entry_point_is_named_in_rust() {
    // A name as it is, or a row's name with a suffix that the table of the same file adds, or that of the page it belongs to.
    let sources = files("src", ".rs");
    let suffixes = |path: &str| -> BTreeSet<String> {
        let page = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}.rs"));
        let texts = sources.iter().filter(|file| file.path == path || file.path == page).map(|file| &file.text);
        let found = texts.flat_map(|text| text.match_indices("concat!($").map(move |(at, _)| &text[at..]));
        let inner = found.filter_map(|text| text.split_once('"')?.1.split_once('"'));
        inner.map(|(suffix, _)| suffix.to_string()).collect()
    };
    let mut named = BTreeSet::new();
    for file in &sources {
        let suffixes = suffixes(&file.path);
        for literal in &file.literals {
            named.extend(suffixes.iter().map(|suffix| format!("{literal}{suffix}")));
            named.insert(literal.clone());
        }
    }
    let mut found = Vec::new();
    let mut count = 0;
    for file in files("shaders", ".wgsl") {
        for name in entry_points(&file) {
            count += 1;
            if !named.contains(&name) {
                found.push(format!("{}: `{name}` is named nowhere in src", file.path));
            }
        }
    }
    assert!(count > 50, "hardly any entry points are seen: {count}");
    refuse(found);
}

fn every_kernel_is_in_a_list() {
    let mut found = Vec::new();
    let sources = files("src", ".rs");
    let registry = files("tests/ops", "cases.rs").remove(0);
    for file in &sources {
        let list = file.code.split_once("static KERNELS").map(|(_, list)| list.split_once(';').map_or(list, |l| l.0));
        for (at, _) in file.code.match_indices(": Kernel =") {
            let name = file.code[..at].rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
            let entry = format!("&{name}");
            let listed = |list: &str| list.split([',', '[', ']', ' ', '\n', '(', ')']).any(|word| word == entry);
            let registered = || registry.code.contains(&format!("wgrad::{}::{name}", file.module()));
            if !name.starts_with('$') && !list.is_some_and(listed) && !registered() {
                found.push(format!("{}: the kernel {name} is in no KERNELS", file.path));
            }
        }
        let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if file.code.contains("static KERNELS: &[&Kernel]") {
            let parent = format!("src/{}.rs", file.module());
            let above = sources.iter().find(|other| other.path == parent).expect("the module's file");
            if !above.code.contains(&format!("{stem}::KERNELS")) {
                found.push(format!("{parent}: the list leaves out {stem}::KERNELS"));
            }
        }
        if file.code.contains("static KERNELS: &[&[&Kernel]]") && !registry.code.contains(&format!("{stem}::KERNELS")) {
            found.push(format!("tests/ops/cases.rs: the list leaves out wgrad::{stem}::KERNELS"));
        }
    }
    refuse(found);
}

fn every_kernel_has_a_case() {
    let all: BTreeSet<&str> = cases::kernels().map(|kernel| kernel.name).collect();
    assert_eq!(all.len(), cases::kernels().count(), "two kernels share a name");
    let listed = |kernel: &'static Kernel| cases::kernels().any(|other| std::ptr::eq(other, kernel));
    let (mut ran, mut named, mut found) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for case in cases::all() {
        named.extend(case.name.split([' ', ':']).map(str::to_string));
        for dispatch in case.dispatches() {
            if !listed(dispatch.kernel) {
                found.push(format!("{}: {} is in no KERNELS", case.name, dispatch.kernel.name));
            }
            ran.insert(dispatch.kernel.name);
        }
    }
    found.extend(all.difference(&ran).map(|name| format!("{name}: no case of tests/ops runs it")));
    for name in &all {
        let stem = name.strip_suffix("_backward").unwrap_or(name);
        if !named.contains(*name) && !named.contains(stem) {
            found.push(format!("{name}: no case of tests/ops bears its name"));
        }
    }
    refuse(found);
}

fn the_machinery_knows_no_operation() {
    let operations: BTreeSet<&str> = cases::kernels().map(|kernel| kernel.name).collect();
    let mut found = Vec::new();
    for file in files("src", ".rs") {
        if !["tensor", "autograd", "plan", "backend", "device"].contains(&file.module()) {
            continue;
        }
        let literals = file.literals.iter().filter(|text| operations.contains(text.as_str()) && *text != "accumulate");
        found.extend(literals.map(|text| format!("{}: \"{text}\" is an operation's name", file.path)));
    }
    refuse(found);
}

fn scratch_memory_is_given_out_by_name() {
    // `Lowering::scratch` gives slots out; a number written down would mean another buffer once one is added.
    let mut found = Vec::new();
    for file in files("src", ".rs").iter().filter(|file| file.module() != "backend" && file.path != "src/kernel.rs") {
        let written = file.code.match_indices("Slot::Scratch(").map(|(at, _)| at);
        found.extend(written.map(|at| format!("{}:{}: a scratch buffer by its number", file.path, file.line(at))));
    }
    refuse(found);
}
