//! What `torch.save` wrote before its version 1.6, and still writes where it is asked to: pickles one after the other, a number that
//! marks the form, its version, the machine's kind, the value, and the names of its data; then the data, each behind its length.

use super::zip::Members;
use super::{Bytes, Machine, Object};

/// What the first pickle holds: the bytes of a long number, the lowest first.
const MARK: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether these are the bytes of such a file: a pickle of the mark alone.
pub fn is_legacy(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, 0x8a, 10, rest @ ..] if rest.starts_with(&MARK))
}

/// The value, and its data by the names that [`members`](super::zip::members) has for those of an archive.
pub fn read<'a>(bytes: &'a [u8], machine: &mut Machine) -> Result<(Object, Members<'a>), String> {
    let mut bytes = Bytes(bytes);
    for _ in 0..2 {
        Machine::default().run(&mut bytes)?;
    }
    let mut of_system = Machine::default();
    let system = of_system.run(&mut bytes)?;
    if let Object::Dict(pairs) = &system {
        let is_big = |(key, value): &(Object, Object)| matches!((key, value), (Object::Text(key), Object::Int(0)) if &**key == "little_endian");
        if pairs.borrow().iter().any(is_big) {
            return Err("its numbers are big-endian".into());
        }
    }
    let whole = machine.run(&mut bytes)?;
    let mut of_names = Machine::default();
    let names = of_names.run(&mut bytes)?;
    let Object::List(names) = &names else { return Err("it does not name its data".into()) };
    let mut members = Members::new();
    for name in names.borrow().iter() {
        let Object::Text(name) = name else { return Err("it does not name its data".into()) };
        let class = machine.storages.get(name).ok_or_else(|| format!("its data `{name}` belongs to nothing"))?;
        let width =
            width(class).ok_or_else(|| format!("its data is of the type {class}, whose size is not known here"))?;
        let end = "it is not whole";
        let count = bytes.array().map(u64::from_le_bytes).map_err(|_| end)?;
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(width)).ok_or(end)?;
        members.insert(format!("data/{name}"), bytes.take(length).map_err(|_| end)?);
    }
    Ok((whole, members))
}

/// The bytes of an element, of types that are not read here too.
fn width(class: &str) -> Option<usize> {
    Some(match class.rsplit('.').next()? {
        "ComplexDoubleStorage" => 16,
        "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
        "FloatStorage" | "IntStorage" | "QInt32Storage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "CharStorage" | "ByteStorage" | "BoolStorage" | "QInt8Storage" | "QUInt8Storage" | "UntypedStorage" => 1,
        _ => return None,
    })
}
