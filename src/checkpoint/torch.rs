//! The files of PyTorch's `torch.save`: a ZIP file of stored members, one of them a pickle that says which bytes of the others
//! are which tensor; or, as it wrote before, pickles and bytes one after the other. Pickles are programs; this reads the few instructions that dictionaries of tensors need, on data alone.

mod legacy;
mod zip;

use super::{Read, values};
use crate::nn::{StateDict, StateTensor};
pub(super) use legacy::is_legacy;
use safetensors::tensor::Dtype;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use zip::{Members, members};

/// Whether these are the bytes of a ZIP archive.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// The tensors of an archive by name: those within dictionaries and lists under `outer.inner`.
pub(super) fn parsed(bytes: &[u8]) -> Result<Read, String> {
    let members = members(bytes)?;
    let pickle = members.keys().find(|name| name.ends_with("data.pkl")).ok_or("it has no `data.pkl`")?;
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default();
    if members.get(&format!("{folder}byteorder")).is_some_and(|order| *order == b"big") {
        return Err("its numbers are big-endian".into());
    }
    let mut machine = Machine::default();
    let whole = machine.run(&mut Bytes(members[pickle]))?;
    found(&whole, &members, folder)
}

/// The same of a file in the form before archives.
pub(super) fn parsed_legacy(bytes: &[u8]) -> Result<Read, String> {
    let mut machine = Machine::default();
    let (whole, members) = legacy::read(bytes, &mut machine)?;
    found(&whole, &members, "")
}

/// The tensors of what a pickle holds, whose bytes are among the members in a folder.
fn found(whole: &Object, members: &Members, folder: &str) -> Result<Read, String> {
    let (mut found, mut unread) = (StateDict::new(), Vec::new());
    let mut foreign = None;
    let mut each = |name: &str, item: &Object| -> Result<(), String> {
        let name = if name.is_empty() { "tensor" } else { name }.to_string();
        match item {
            Object::Tensor(tensor) => {
                match tensor.read(members, folder).map_err(|error| format!("`{name}` {error}"))? {
                    Ok(value) => drop(found.insert(name, value)),
                    Err(dtype) => unread.push((name, dtype)),
                }
            }
            Object::Other(class) => drop(foreign.get_or_insert(class.clone())),
            _ => (),
        }
        Ok(())
    };
    walk("", whole, 0, &mut 0, &mut each)?;
    match foreign {
        Some(class) if found.is_empty() && unread.is_empty() => {
            Err(format!("it holds no tensors under names but a `{class}`, which only its program can read"))
        }
        _ if found.is_empty() && unread.is_empty() => Err("it holds no tensors".into()),
        _ => {
            unread.sort();
            Ok((found, unread))
        }
    }
}

/// The most dictionaries and lists that a file may hold.
const MOST: usize = 1_000_000;

/// How deep dictionaries, lists and tuples may lie within each other.
const DEEPEST: usize = 64;

/// Calls `each` with all that is within dictionaries and lists.
fn walk(
    path: &str,
    item: &Object,
    depth: usize,
    seen: &mut usize,
    each: &mut dyn FnMut(&str, &Object) -> Result<(), String>,
) -> Result<(), String> {
    let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    if depth > DEEPEST {
        return Err("its dictionaries and lists lie too deep within each other".into());
    }
    // One that holds another twice, which holds a third twice, is small and has no end.
    *seen += usize::from(matches!(item, Object::Dict(_) | Object::List(_)));
    if *seen > MOST {
        return Err(format!("it holds more than {MOST} dictionaries and lists"));
    }
    match item {
        Object::Dict(pairs) => {
            for (key, value) in pairs.borrow().iter() {
                let name = match key {
                    Object::Text(name) => name.to_string(),
                    Object::Int(number) => number.to_string(),
                    _ => continue,
                };
                walk(&below(&name), value, depth + 1, seen, each)?;
            }
        }
        Object::List(items) => {
            for (at, value) in items.borrow().iter().enumerate() {
                walk(&below(&at.to_string()), value, depth + 1, seen, each)?;
            }
        }
        other => each(path, other)?,
    }
    Ok(())
}

/// What a pickle builds.
#[derive(Clone)]
enum Object {
    Nothing,
    Int(i64),
    Text(Rc<str>),
    /// The number is how deep tuples lie within it.
    Tuple(Rc<[Object]>, usize),
    List(Rc<RefCell<Vec<Object>>>),
    Dict(Rc<RefCell<Vec<(Object, Object)>>>),
    /// A name of Python's, which is never called.
    Global(Rc<str>),
    /// The bytes of a member, and their type.
    Storage {
        class: Rc<str>,
        member: Rc<str>,
    },
    Tensor(Rc<Place>),
    /// What a class made.
    Other(Rc<str>),
}

/// Where a tensor's elements are.
struct Place {
    class: Rc<str>,
    member: Rc<str>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Place {
    /// Its elements, or the name of a type that has no place here.
    fn read(&self, members: &Members, folder: &str) -> Result<Result<StateTensor, String>, String> {
        let kind = self.class.rsplit('.').next().unwrap_or_default();
        let dtype = match kind {
            "FloatStorage" => Dtype::F32,
            "DoubleStorage" => Dtype::F64,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::BF16,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ShortStorage" => Dtype::I16,
            "CharStorage" => Dtype::I8,
            "ByteStorage" => Dtype::U8,
            "BoolStorage" => Dtype::BOOL,
            other => return Ok(Err(other.to_string())),
        };
        let width = dtype.bitsize() / 8;
        let data = members.get(&format!("{folder}data/{}", self.member)).ok_or("has no data in it")?;
        let count = self.shape.iter().try_fold(1usize, |all, size| all.checked_mul(*size)).ok_or("is too large")?;
        let outside = "reaches past its data";
        let steps = self.shape.iter().zip(&self.strides);
        let last = steps.map(|(size, step)| size.saturating_sub(1).saturating_mul(*step));
        let last = last.fold(self.offset, usize::saturating_add);
        if self.strides.len() != self.shape.len() || count > 0 && last >= data.len() / width {
            return Err(outside.into());
        }
        let mut row_major = vec![1; self.shape.len()];
        for d in (1..self.shape.len()).rev() {
            row_major[d - 1] = row_major[d] * self.shape[d].max(1);
        }
        let is_plain = (0..self.shape.len()).all(|d| self.shape[d] == 1 || self.strides[d] == row_major[d]);
        let bytes = if count == 0 {
            Vec::new()
        } else if is_plain {
            data[self.offset * width..][..count * width].to_vec()
        } else {
            let mut bytes = Vec::new();
            // A stride of 0 makes much of little.
            let room = count.checked_mul(width).and_then(|bytes_of_all| bytes.try_reserve_exact(bytes_of_all).ok());
            room.ok_or("is too large for this machine")?;
            for element in 0..count {
                let place = |d: usize| element / row_major[d] % self.shape[d] * self.strides[d];
                let at = self.offset + (0..self.shape.len()).map(place).sum::<usize>();
                bytes.extend_from_slice(&data[at * width..][..width]);
            }
            bytes
        };
        let values = values(dtype, &bytes).ok_or(outside)?;
        Ok(Ok(StateTensor { shape: self.shape.clone(), values }))
    }
}

/// The stack machine that a pickle is for.
#[derive(Default)]
struct Machine {
    stack: Vec<Object>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Object>,
    /// The type of each member that was named.
    storages: HashMap<Rc<str>, Rc<str>>,
    /// All lists and dictionaries, which are emptied one by one in the end: what lies deep within each other, or in itself, would
    /// otherwise end deep within calls, or never.
    made: Vec<Object>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        for object in &self.made {
            match object {
                Object::List(items) => drop(items.take()),
                Object::Dict(pairs) => drop(pairs.take()),
                _ => (),
            }
        }
    }
}

/// The bytes of a pickle that are not read yet.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("its pickle ends in the middle")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "its pickle ends in the middle".to_string())
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    fn word(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self, count: usize) -> Result<Object, String> {
        Ok(Object::Text(String::from_utf8_lossy(self.take(count)?).into()))
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.0.iter().position(|byte| *byte == b'\n').ok_or("its pickle ends in the middle")?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }
}

const EMPTY: &str = "its pickle takes what is not there";

impl Machine {
    fn pop(&mut self) -> Result<Object, String> {
        self.stack.pop().ok_or_else(|| EMPTY.into())
    }

    fn popped<const N: usize>(&mut self) -> Result<Vec<Object>, String> {
        let at = self.stack.len().checked_sub(N).ok_or(EMPTY)?;
        Ok(self.stack.split_off(at))
    }

    fn since_mark(&mut self) -> Result<Vec<Object>, String> {
        let at = self.marks.pop().filter(|at| *at <= self.stack.len()).ok_or(EMPTY)?;
        Ok(self.stack.split_off(at))
    }

    fn top(&self) -> Result<Object, String> {
        self.stack.last().cloned().ok_or_else(|| EMPTY.into())
    }

    fn tuple(&mut self, items: Vec<Object>) -> Result<(), String> {
        let within = |item: &Object| if let Object::Tuple(_, depth) = item { depth + 1 } else { 0 };
        let depth = items.iter().map(within).max().unwrap_or(0);
        if depth > DEEPEST {
            return Err("its tuples lie too deep within each other".into());
        }
        self.stack.push(Object::Tuple(items.into(), depth));
        Ok(())
    }

    /// Puts an object onto the stack that may come to hold others.
    fn push(&mut self, object: Object) {
        if matches!(object, Object::List(_) | Object::Dict(_)) {
            self.made.push(object.clone());
        }
        self.stack.push(object);
    }

    fn remember(&mut self, at: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(at, top);
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<(), String> {
        let found = self.memo.get(&at).cloned().ok_or(EMPTY)?;
        self.stack.push(found);
        Ok(())
    }

    /// Puts keys and values into the dictionary on top; what is none is left as it is.
    fn set(&mut self, items: Vec<Object>) -> Result<(), String> {
        if let Object::Dict(pairs) = self.top()? {
            let pair = |pair: &[Object]| (pair[0].clone(), pair[1].clone());
            pairs.borrow_mut().extend(items.as_chunks::<2>().0.iter().map(|both| pair(both)));
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Object>) -> Result<(), String> {
        if let Object::List(list) = self.top()? {
            list.borrow_mut().extend(items);
        }
        Ok(())
    }

    /// What the pickle holds that the bytes begin with.
    fn run(&mut self, bytes: &mut Bytes) -> Result<Object, String> {
        loop {
            match bytes.byte()? {
                // The version, and the length of what follows.
                0x80 => drop(bytes.byte()?),
                0x95 => drop(bytes.array::<8>()?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.since_mark()?),
                b'N' => self.stack.push(Object::Nothing),
                // True and false.
                0x88 => self.stack.push(Object::Int(1)),
                0x89 => self.stack.push(Object::Int(0)),
                b'J' => {
                    let number = bytes.array().map(i32::from_le_bytes)?;
                    self.stack.push(Object::Int(number.into()));
                }
                b'K' => {
                    let number = bytes.byte()?;
                    self.stack.push(Object::Int(number.into()));
                }
                b'M' => {
                    let number = bytes.array().map(u16::from_le_bytes)?;
                    self.stack.push(Object::Int(number.into()));
                }
                0x8a => {
                    let length = bytes.byte()?.into();
                    let digits = bytes.take(length)?;
                    let fill = if digits.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
                    let mut all = [fill; 8];
                    let kept = digits.len().min(8);
                    all[..kept].copy_from_slice(&digits[..kept]);
                    self.stack.push(Object::Int(i64::from_le_bytes(all)));
                }
                b'G' => {
                    bytes.take(8)?;
                    self.stack.push(Object::Nothing);
                }
                b'X' => {
                    let length = bytes.word()? as usize;
                    self.stack.push(bytes.text(length)?);
                }
                0x8c => {
                    let length = bytes.byte()?.into();
                    self.stack.push(bytes.text(length)?);
                }
                // Bytes.
                b'B' => {
                    let length = bytes.word()? as usize;
                    bytes.take(length)?;
                    self.stack.push(Object::Nothing);
                }
                b'C' => {
                    let length = bytes.byte()?.into();
                    bytes.take(length)?;
                    self.stack.push(Object::Nothing);
                }
                b'}' => self.push(Object::Dict(Rc::default())),
                b']' => self.push(Object::List(Rc::default())),
                b')' => self.tuple(Vec::new())?,
                b't' => {
                    let items = self.since_mark()?;
                    self.tuple(items)?;
                }
                0x85 => {
                    let items = self.popped::<1>()?;
                    self.tuple(items)?;
                }
                0x86 => {
                    let items = self.popped::<2>()?;
                    self.tuple(items)?;
                }
                0x87 => {
                    let items = self.popped::<3>()?;
                    self.tuple(items)?;
                }
                b's' => {
                    let items = self.popped::<2>()?;
                    self.set(items)?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(items)?;
                }
                b'a' => {
                    let items = self.popped::<1>()?;
                    self.append(items)?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.append(items)?;
                }
                b'q' => {
                    let at = bytes.byte()?;
                    self.remember(at.into())?;
                }
                b'r' => {
                    let at = bytes.word()?;
                    self.remember(at)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let at = bytes.byte()?;
                    self.recall(at.into())?;
                }
                b'j' => {
                    let at = bytes.word()?;
                    self.recall(at)?;
                }
                b'c' => {
                    let (module, name) = (bytes.line()?, bytes.line()?);
                    self.stack.push(Object::Global(format!("{module}.{name}").into()));
                }
                0x93 => {
                    let names = self.popped::<2>()?;
                    let [Object::Text(module), Object::Text(name)] = &names[..] else { return Err(EMPTY.into()) };
                    self.stack.push(Object::Global(format!("{module}.{name}").into()));
                }
                b'Q' => {
                    let storage =
                        storage(&self.pop()?).ok_or("its pickle names data in another way than PyTorch does")?;
                    if let Object::Storage { class, member } = &storage {
                        self.storages.insert(member.clone(), class.clone());
                    }
                    self.stack.push(storage);
                }
                // A call, a new object: only what makes tensors and dictionaries is followed.
                b'R' | 0x81 => {
                    let (args, function) = (self.pop()?, self.pop()?);
                    self.push(made(&function, &args));
                }
                // An object's state.
                b'b' => drop(self.pop()?),
                other => {
                    return Err(format!("its pickle has the instruction {other:#04x}, which state dicts do not need"));
                }
            }
        }
    }
}

/// What a storage's name stands for: `("storage", class, member, device, elements)`, and behind it, in the form before archives, the
/// part of another that it is, which is nothing since version 0.4.
fn storage(name: &Object) -> Option<Object> {
    let Object::Tuple(parts, _) = name else { return None };
    let [_, Object::Global(class), Object::Text(member), _, _, part @ ..] = &parts[..] else { return None };
    if !matches!(part, [] | [Object::Nothing]) {
        return None;
    }
    Some(Object::Storage { class: class.clone(), member: member.clone() })
}

/// What a function of PyTorch's makes of its arguments.
fn made(function: &Object, args: &Object) -> Object {
    let (Object::Global(name), Object::Tuple(args, _)) = (function, args) else { return Object::Nothing };
    let tensor = match &**name {
        "collections.OrderedDict" => return Object::Dict(Rc::default()),
        "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => tensor(args, None),
        // The type stands behind, for storages of bytes.
        "torch._utils._rebuild_tensor_v3" => tensor(args, args.get(6)),
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => args.first().cloned(),
        _ => None,
    };
    tensor.unwrap_or_else(|| Object::Other(name.clone()))
}

fn tensor(args: &[Object], class: Option<&Object>) -> Option<Object> {
    let [
        Object::Storage { class: own, member },
        Object::Int(offset),
        Object::Tuple(shape, _),
        Object::Tuple(strides, _),
        ..,
    ] = args
    else {
        return None;
    };
    let sizes = |all: &[Object]| {
        let size = |item: &Object| match item {
            Object::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        all.iter().map(size).collect::<Option<Vec<_>>>()
    };
    let class = match class {
        Some(Object::Global(class)) => class.clone(),
        _ => own.clone(),
    };
    let offset = usize::try_from(*offset).ok()?;
    Some(Object::Tensor(Rc::new(Place {
        class,
        member: member.clone(),
        offset,
        shape: sizes(shape)?,
        strides: sizes(strides)?,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_hold_each_other_twice_have_an_end() {
        let twice = |item: Object, _| Object::List(Rc::new(RefCell::new(vec![item.clone(), item])));
        let told = walk("", &(0..40).fold(Object::Int(0), twice), 0, &mut 0, &mut |_, _| Ok(()));
        assert_eq!(told, Err(format!("it holds more than {MOST} dictionaries and lists")));
    }

    #[test]
    fn what_lies_deep_within_each_other_is_told_and_ends() {
        const COUNT: usize = 200_000;
        let told = |pickle: &[u8]| {
            let mut machine = Machine::default();
            machine
                .run(&mut Bytes(pickle))
                .and_then(|whole| walk("", &whole, 0, &mut 0, &mut |_, _| Ok(())))
                .expect_err("too deep")
        };
        // Lists that are filled from within and from without, dictionaries, tuples.
        let lists = [b"]".repeat(COUNT), b"a".repeat(COUNT - 1), b".".to_vec()].concat();
        let inwards = [&b"]q\0h\0"[..], &b"]q\x01ah\x01".repeat(COUNT), b"h\0."].concat();
        let pairs = [&b"}K\0"[..], &b"}K\0".repeat(COUNT), b"N", &b"s".repeat(COUNT + 1), b"."].concat();
        for pickle in [lists, inwards, pairs] {
            assert_eq!(told(&pickle), "its dictionaries and lists lie too deep within each other");
        }
        assert_eq!(
            told(&[&b")"[..], &b"\x85".repeat(COUNT), b"."].concat()),
            "its tuples lie too deep within each other"
        );
    }
}
