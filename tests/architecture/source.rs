//! Source files as text: with what is code, what is commented and what is quoted told apart.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// A file of the repository.
pub struct Source {
    /// From the repository's root, with slashes.
    pub path: String,
    pub text: String,
    /// The text with comments gone and literals emptied, line by line as it was.
    pub code: String,
    /// What its string literals hold.
    pub literals: Vec<String>,
}

/// The files under a folder whose names end so, in the order of their paths.
pub fn files(folder: &str, ending: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut waiting = vec![root.join(folder)];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_str().is_some_and(|name| name.ends_with(ending)) {
                let name = path.strip_prefix(root).expect("a file of this folder");
                // Pictures and data are searched too, as far as they hold text.
                let text = String::from_utf8_lossy(&fs::read(&path).expect("a readable file")).into_owned();
                found.push(Source::new(name.to_str().expect("a path in ASCII").replace('\\', "/"), text));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl Source {
    pub fn new(path: String, text: String) -> Source {
        let (mut code, mut literals) = (String::with_capacity(text.len()), Vec::new());
        let is_code = path.ends_with(".rs") || path.ends_with(".wgsl");
        let mut rest = if is_code { text.as_str() } else { "" };
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let raw = raw_string(rest).filter(|_| !is_word(before));
            let used = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some((length, content)) = raw {
                literals.push(content.to_string());
                code.push_str("\"\"");
                length
            } else if c == '"' {
                let length = 1 + end_of_string(&rest[1..]);
                literals.push(rest[1..length - 1].to_string());
                code.push_str("\"\"");
                length
            } else if let Some(length) = character(rest) {
                code.push_str("' '");
                length
            } else {
                code.push(c);
                c.len_utf8()
            };
            // Lines keep their numbers.
            if used > 1 {
                code.extend(rest[..used].chars().filter(|c| *c == '\n'));
            }
            before = c;
            rest = &rest[used..];
        }
        Source { path, text, code, literals }
    }

    /// Whether a place in the code is within a closure: going outwards, one is met before a function.
    pub fn is_in_closure(&self, at: usize) -> bool {
        let is_closure = |text: &str| {
            let text = text.trim_start();
            let text = text.strip_prefix("move").unwrap_or(text).trim_start();
            text.starts_with('|')
        };
        // Outwards, and in each block to the start of the statement.
        let (mut depth, mut end, mut same) = (0, at, true);
        for (place, sign) in self.code[..at].char_indices().rev() {
            match sign {
                ')' | ']' | '}' => {
                    same &= depth > 0 || sign != '}';
                    depth += 1;
                }
                '(' | '[' | '{' if depth > 0 => depth -= 1,
                ';' if depth == 0 => same = false,
                '(' | '[' | ',' | '=' if depth == 0 => {
                    if same && is_closure(&self.code[place + 1..end]) {
                        return true;
                    }
                    same |= matches!(sign, '(' | '[');
                }
                '{' => {
                    let head = &self.code[..place];
                    let start = head.rfind([';', '{', '}']).map_or(0, |start| start + 1);
                    if head[start..].split_whitespace().any(|word| word == "fn") {
                        return false;
                    }
                    if head.trim_end().ends_with('|') {
                        return true;
                    }
                    (end, same) = (place, true);
                }
                _ => {}
            }
        }
        false
    }

    /// The first directory or file under `src`.
    pub fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split(['/', '.']).next().unwrap_or(inside)
    }

    /// How many modules a place is in: those of the path, and those that are written inside the file.
    pub fn depth(&self, at: usize) -> usize {
        let inner = self.code.match_indices("mod ").filter(|(head, _)| {
            let rest = &self.code[*head..];
            let open = rest.find(['{', ';']).filter(|open| rest[*open..].starts_with('{'));
            let body = open.and_then(|open| Some(head + open..head + open + matching(&rest[open..])?));
            body.is_some_and(|body| body.contains(&at))
        });
        self.path.matches('/').count() + inner.count()
    }

    /// The line of a place in the code.
    pub fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Where a whole word stands in the code.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let (before, after) = (&self.code[..at], &self.code[at + word.len()..]);
            !before.chars().next_back().is_some_and(is_word) && !after.chars().next().is_some_and(is_word)
        })
    }

    /// Every name in the code.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.code.split(|c| !is_word(c)).filter(|name| !name.is_empty())
    }

    /// The bodies of all functions of a name.
    pub fn bodies(&self, name: &str) -> Vec<Range<usize>> {
        let head = format!("fn {name}");
        let body = |at: usize| {
            let open = at + self.code[at..].find('{')?;
            Some(open..open + matching(&self.code[open..])?)
        };
        self.words(&head).filter_map(body).collect()
    }

    /// The first names of every path that starts at the crate's root, with where they stand.
    pub fn uses(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in self.words("crate").filter(|&at| self.code[at..].starts_with("crate::")) {
            let rest = &self.code[at + "crate::".len()..];
            if !rest.starts_with('{') {
                found.push((at, first_name(rest)));
                continue;
            }
            let group = &rest[1..matching(rest).unwrap_or(rest.len()) - 1];
            let mut depth = 0;
            for part in group.split_inclusive([',', '{', '}']) {
                if depth == 0 && !first_name(part.trim_start()).is_empty() {
                    found.push((at, first_name(part.trim_start())));
                }
                match part.chars().next_back() {
                    Some('{') => depth += 1,
                    Some('}') => depth -= 1,
                    _ => {}
                }
            }
        }
        found
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

/// The length of a braced text, both braces included.
fn matching(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The length of a string's rest, the closing quote included.
fn end_of_string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The length of a raw string that starts here, and what it holds.
fn raw_string(text: &str) -> Option<(usize, &str)> {
    let rest = text.strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let inner = rest[hashes..].strip_prefix('"')?;
    let end = inner.find(&format!("\"{}", "#".repeat(hashes)))?;
    Some((1 + hashes + 1 + end + 1 + hashes, &inner[..end]))
}

/// The length of a character literal that starts here; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    if let Some(escape) = rest.strip_prefix('\\') {
        return Some(2 + escape.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0 + 1);
    }
    let first = rest.chars().next()?.len_utf8();
    rest[first..].starts_with('\'').then_some(first + 2)
}
