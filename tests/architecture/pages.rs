//! Pages of names: that for people who come from PyTorch names what is there and what is not, that of `Tensor` has each
//! method in a family.

use super::refuse;
use super::source::{Source, files};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The cells of a table's rows, without the head.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| PyTorch "));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// What stands between back quotes.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Words of some code, each with what follows.
fn words(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = code.char_indices().filter(move |(at, c)| is_word(*c) && !code[..*at].ends_with(is_word));
    starts.map(move |(at, _)| {
        let end = code[at..].find(|c| !is_word(c)).map_or(code.len(), |end| at + end);
        (&code[at..end], &code[end..])
    })
}

/// What a search of the docs finds: names and `doc(alias)`, without underscores and capitals.
fn findable(sources: &[Source]) -> BTreeSet<String> {
    let plain = |name: &str| name.to_lowercase().replace('_', "");
    let mut found = BTreeSet::new();
    for file in sources {
        for keyword in ["fn ", "struct ", "enum ", "trait ", "type ", "mod "] {
            let after =
                file.code.match_indices(keyword).filter_map(|(at, _)| words(&file.code[at + keyword.len()..]).next());
            found.extend(after.map(|(name, _)| plain(name)));
        }
        for line in file.text.lines().map(str::trim) {
            // A type that a macro's table makes, or an alias.
            let is_row = line.starts_with(char::is_uppercase) && line.ends_with(';');
            found.extend(words(line).next().filter(|_| is_row).map(|(name, _)| plain(name)));
            let is_alias = line.starts_with("#[doc(alias");
            found.extend(line.split('"').skip(1).step_by(2).filter(|_| is_alias).map(|name| plain(last(name))));
        }
    }
    found
}

/// The last name of a path: `clamp` of `torch.clamp`.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// PyTorch's name in a cell, where there is one: operators, arguments and the names of variables are none.
fn name_of(span: &str) -> Option<String> {
    let end = span.find(|c: char| !(c.is_alphanumeric() || "._".contains(c))).unwrap_or(span.len());
    let (path, rest) = span.split_at(end);
    let is_name =
        path.starts_with(char::is_alphabetic) && path != "model" && (rest.is_empty() || rest.starts_with('('));
    is_name.then(|| last(path).to_lowercase().replace('_', ""))
}

/// Whether some source has this, as code, and no longer word.
fn stands(sources: &[Source], code: &str) -> bool {
    let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let in_source =
        |file: &Source| file.code.match_indices(code).any(|(at, _)| is_whole(&file.code[at + code.len()..]));
    sources.iter().any(in_source)
}

pub fn the_page_from_pytorch_names_what_is_there() {
    let page = files("docs/guide", "from_pytorch.md").remove(0);
    let (there, absent) = page.text.split_once("## Not there").expect("the two parts of the page");
    let sources = files("src", ".rs");
    let (mut found, mut count) = (Vec::new(), 0);
    for span in rows(there).iter().filter_map(|row| row.get(1)).flat_map(|cell| spans(cell)) {
        for (word, rest) in words(span) {
            if word == "derive" {
                continue;
            }
            let is_type = word.starts_with(char::is_uppercase) && word.len() > 1;
            let is_function = rest.starts_with('(') || rest.starts_with("::<");
            let is_field = rest.starts_with(": ");
            let is_there = match (is_type, is_function, is_field) {
                (true, ..) => {
                    stands(&sources, &format!("pub struct {word}"))
                    || stands(&sources, &format!("pub enum {word}"))
                    || stands(&sources, &format!("pub trait {word}"))
                    || stands(&sources, &format!("pub type {word}"))
                    // A row of a macro's table, or a variant.
                    || stands(&sources, &format!("    {word}"))
                    || ["Some", "None", "Vec"].contains(&word)
                }
                (_, true, _) => {
                    stands(&sources, &format!("pub fn {word}")) || stands(&sources, &format!("    fn {word}"))
                }
                (.., true) => stands(&sources, &format!("pub {word}")),
                _ => continue,
            };
            count += 1;
            if !is_there {
                found.push(format!("{}: `{span}`: the crate has no `{word}`", page.path));
            }
        }
    }
    assert!(count > 300, "hardly any names are seen: {count}");
    let findable = findable(&sources);
    for name in rows(there).iter().filter_map(|row| row.first()).flat_map(|cell| spans(cell)).filter_map(name_of) {
        if !findable.contains(&name) {
            found.push(format!("{}: a search for `{name}` finds nothing: give it a doc(alias)", page.path));
        }
    }
    let pages: Vec<Source> =
        sources.into_iter().filter(|file| ["ops", "loss", "tensor"].contains(&file.module())).collect();
    let names: Vec<&str> = rows(absent).iter().filter_map(|row| row.first().copied()).flat_map(spans).collect();
    assert!(names.len() > 10, "hardly any names are seen: {names:?}");
    let is_there = |name: &&&str| stands(&pages, &format!("\n    pub fn {name}"));
    found.extend(names.iter().filter(is_there).map(|name| format!("{}: `{name}` is there by now", page.path)));
    refuse(found);
}

/// The names of the public methods of `Tensor`.
fn methods(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in sources {
        for (at, head) in file.code.match_indices("\nimpl Tensor {") {
            let block = &file.code[at + head.len()..];
            let block = block.split_once("\n}").map_or(block, |(block, _)| block);
            let public = block.split("\n    pub fn ").skip(1).filter_map(|rest| words(rest).next());
            found.extend(public.map(|(name, _)| name.to_string()));
        }
    }
    found
}

pub fn every_method_of_tensor_is_in_a_family() {
    let page = files("src/tensor", "methods.md").remove(0);
    let listed: Vec<&str> = page.text.split("](Self::").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    let methods = methods(&files("src", ".rs"));
    assert!(methods.len() > 150, "hardly any methods are seen: {}", methods.len());
    let mut found = Vec::new();
    for name in &methods {
        match listed.iter().filter(|other| **other == name).count() {
            0 => found.push(format!("{}: `{name}` is in no family", page.path)),
            1 => (),
            _ => found.push(format!("{}: `{name}` is there twice", page.path)),
        }
    }
    refuse(found);
}

pub fn every_name_of_nn_is_in_a_family() {
    let page = files("src", "nn.rs").into_iter().find(|file| file.path == "src/nn.rs").expect("the floor of layers");
    let listed: BTreeSet<&str> = page.text.lines().filter(|line| line.starts_with("//! | ")).flat_map(spans).collect();
    let given = page.code.match_indices("\npub use ").flat_map(|(at, head)| {
        let list = page.code[at + head.len()..].split_once(';').map_or("", |(list, _)| list);
        list.split_once("::").map_or("", |(_, names)| names).split(['{', '}', ',']).map(str::trim).collect::<Vec<_>>()
    });
    let given: Vec<&str> = given.filter(|name| !name.is_empty()).collect();
    assert!(given.len() > 80, "hardly any names are seen: {given:?}");
    let missing = given.iter().filter(|name| !listed.contains(*name));
    refuse(missing.map(|name| format!("{}: `{name}` is in no family", page.path)).collect());
}

/// Those that stand for several are left out.
pub fn files_that_pages_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let guides = files("docs", ".md").into_iter().map(|page| page.path);
    for page in guides.chain(["ARCHITECTURE.md", "README.md"].map(String::from)) {
        let text = fs::read_to_string(root.join(&page)).expect("a page");
        let is_path = |span: &&str| {
            let is_one = !span.contains(['{', '*', '<', ':', ' ', '\n']);
            is_one && ["src/", "tests/", "docs/", "examples/", "shaders/"].iter().any(|folder| span.starts_with(folder))
        };
        let is_there = |path: &str| root.join(path).exists() || root.join(format!("{path}.rs")).exists();
        let absent = spans(&text).filter(is_path).filter(|path| !is_there(path));
        found.extend(absent.map(|path| format!("{page}: there is no {path}")));
    }
    refuse(found);
}
