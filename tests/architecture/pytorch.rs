//! The guide's page for people who come from PyTorch names what is there, and what is not.

use super::refuse;
use super::source::{Source, files};

/// The cells of a table's rows, without the head.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| PyTorch "));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// What stands between back quotes.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Words of some Rust code with the character before and what follows.
fn words(code: &str) -> Vec<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = code.char_indices().filter(|(at, c)| is_word(*c) && !code[..*at].ends_with(is_word));
    starts
        .map(|(at, _)| {
            let end = code[at..].find(|c| !is_word(c)).map_or(code.len(), |end| at + end);
            (&code[at..end], &code[end..])
        })
        .collect()
}

/// Whether some source has this, as code, and no longer word.
fn stands(sources: &[Source], code: &str) -> bool {
    let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let in_source = |file: &Source| file.code.match_indices(code).any(|(at, _)| is_whole(&file.code[at + code.len()..]));
    sources.iter().any(in_source)
}

pub fn the_page_from_pytorch_names_what_is_there() {
    let page = files("docs/guide", "from_pytorch.md").remove(0);
    let (there, absent) = page.text.split_once("## Not there").expect("the two parts of the page");
    let sources = files("src", ".rs");
    let (mut found, mut count) = (Vec::new(), 0);
    for span in rows(there).iter().filter_map(|row| row.get(1)).flat_map(|cell| spans(cell)) {
        for (word, rest) in words(span) {
            let is_type = word.starts_with(char::is_uppercase) && word.len() > 1;
            let is_function = rest.starts_with('(') || rest.starts_with("::<");
            let is_field = rest.starts_with(": ");
            let is_there = match (is_type, is_function, is_field) {
                (true, ..) => stands(&sources, &format!("pub struct {word}"))
                    || stands(&sources, &format!("pub enum {word}"))
                    || stands(&sources, &format!("pub trait {word}"))
                    || stands(&sources, &format!("pub type {word}"))
                    // A row of a macro's table, or a variant.
                    || stands(&sources, &format!("    {word}"))
                    || ["Some", "None", "Vec"].contains(&word),
                (_, true, _) => stands(&sources, &format!("pub fn {word}")) || stands(&sources, &format!("    fn {word}")),
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
    let pages: Vec<Source> =
        sources.into_iter().filter(|file| ["ops", "loss", "tensor"].contains(&file.module())).collect();
    let names: Vec<&str> = rows(absent).iter().filter_map(|row| row.first().copied()).flat_map(spans).collect();
    assert!(names.len() > 10, "hardly any names are seen: {names:?}");
    let is_there = |name: &&&str| stands(&pages, &format!("\n    pub fn {name}"));
    found.extend(names.iter().filter(is_there).map(|name| format!("{}: `{name}` is there by now", page.path)));
    refuse(found);
}
