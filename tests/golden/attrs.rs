//! An operation's arguments that are no tensors, under PyTorch's names and with PyTorch's defaults.

use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What a file tells, and which of it a runner has asked for: an argument that nobody reads would be a silent pass.
pub struct Attrs {
    map: Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

impl Attrs {
    pub fn parse(text: &str) -> Result<Attrs, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Attrs { map, read: RefCell::default() }),
            _ => Err(format!("`attrs` is no JSON object: {text}")),
        }
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(name.to_string());
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// The arguments that no runner asked for.
    pub fn unread(&self) -> Vec<&str> {
        let read = self.read.borrow();
        self.map.keys().filter(|key| !read.contains(*key)).map(String::as_str).collect()
    }

    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.find(name).map_or(default, |v| v.as_f64().unwrap_or_else(|| wrong(name, v, "a number")) as f32)
    }

    /// To more digits than the crate's tensors have.
    pub fn double(&self, name: &str, default: f64) -> f64 {
        self.find(name).map_or(default, |v| v.as_f64().unwrap_or_else(|| wrong(name, v, "a number")))
    }

    /// A list of numbers; `None` where there is none, or one that is no list.
    pub fn numbers(&self, name: &str) -> Option<Vec<f32>> {
        let each = |v: &Value| v.as_f64().unwrap_or_else(|| wrong(name, v, "a number")) as f32;
        self.find(name)?.as_array().map(|all| all.iter().map(each).collect())
    }

    pub fn int(&self, name: &str, default: isize) -> isize {
        self.find(name).map_or(default, |v| int(name, v))
    }

    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.find(name).map_or(default, |v| v.as_bool().unwrap_or_else(|| wrong(name, v, "true or false")))
    }

    pub fn text(&self, name: &str, default: &str) -> String {
        self.find(name).map_or(default, |v| v.as_str().unwrap_or_else(|| wrong(name, v, "text"))).to_string()
    }

    /// Whether it is the truth value.
    pub fn is_truth(&self, name: &str) -> bool {
        self.find(name) == Some(&Value::Bool(true))
    }

    /// Whether the file tells it.
    pub fn is_told(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether a word stands where others have numbers.
    pub fn is_word(&self, name: &str, word: &str) -> bool {
        self.find(name).is_some_and(|v| v.as_str() == Some(word))
    }

    /// A list of integers, which PyTorch also takes as one integer; `None` where absent or null.
    pub fn list(&self, name: &str) -> Option<Vec<isize>> {
        self.find(name).map(|v| match v {
            Value::Array(items) => items.iter().map(|v| int(name, v)).collect(),
            one => vec![int(name, one)],
        })
    }

    /// Lists in a list; `None` where there is none, or a number.
    pub fn lists(&self, name: &str) -> Option<Vec<Vec<isize>>> {
        let list = |v: &Value| v.as_array().map(|all| all.iter().map(|v| int(name, v)).collect());
        self.find(name)?.as_array()?.iter().map(list).collect()
    }

    /// Sizes, of which some may not be told: one, or a list.
    pub fn sizes(&self, name: &str) -> Option<Vec<Option<usize>>> {
        let each = |v: &Value| (!v.is_null()).then(|| int(name, v).unsigned_abs());
        self.find(name).map(|v| v.as_array().map_or_else(|| vec![each(v)], |all| all.iter().map(each).collect()))
    }

    /// A size, which PyTorch also takes as a list of one.
    pub fn size(&self, name: &str) -> Option<usize> {
        self.list(name).map(|list| match list[..] {
            [only] => usize::try_from(only).unwrap_or_else(|_| panic!("attribute `{name}` is negative")),
            _ => panic!("attribute `{name}` has {} numbers, not one", list.len()),
        })
    }

    /// A number for rows and one for columns, or one for both.
    pub fn pair(&self, name: &str) -> Option<[usize; 2]> {
        let size = |v: isize| usize::try_from(v).unwrap_or_else(|_| panic!("attribute `{name}` is negative"));
        // An empty list is none.
        let list = self.list(name).filter(|list| !list.is_empty())?;
        Some(match list[..] {
            [both] => [size(both); 2],
            [rows, columns] => [size(rows), size(columns)],
            _ => panic!("attribute `{name}` has {} numbers, not one or two", list.len()),
        })
    }

    /// One number for all, or as many as are due.
    pub fn factors(&self, name: &str, count: usize) -> Option<Vec<f32>> {
        self.numbers(name).or_else(|| self.find(name).map(|_| vec![self.float(name, 1.0); count]))
    }

    /// Some numbers, such as Adam's two betas.
    pub fn floats<const N: usize>(&self, name: &str, default: [f32; N]) -> [f32; N] {
        self.find(name).map_or(default, |v| match v.as_array().and_then(|all| <&[_; N]>::try_from(&all[..]).ok()) {
            Some(all) => all.each_ref().map(|v| v.as_f64().unwrap_or_else(|| wrong(name, v, "a number")) as f32),
            _ => wrong(name, v, "as many numbers as the default has"),
        })
    }

    /// An argument for which the crate knows only PyTorch's default.
    pub fn only(&self, name: &str, default: impl Into<Value>) {
        let default = default.into();
        if let Some(value) = self.find(name) {
            let same = value == &default || value.as_f64().is_some_and(|v| Some(v) == default.as_f64());
            assert!(same, "the crate has no `{name}` other than {default}, and the case asks for {value}");
        }
    }
}

fn int(name: &str, value: &Value) -> isize {
    value.as_i64().unwrap_or_else(|| wrong(name, value, "an integer")) as isize
}

fn wrong(name: &str, value: &Value, due: &str) -> ! {
    panic!("attribute `{name}` is {value}, not {due}")
}
