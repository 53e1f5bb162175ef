//! ZIP archives of stored members.

use std::collections::HashMap;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(|b| u16::from_le_bytes(b).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(|b| u32::from_le_bytes(b).into())
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}

/// The bytes of members by name.
pub type Members<'a> = HashMap<String, &'a [u8]>;

/// The members of a ZIP archive by name.
pub fn members(bytes: &[u8]) -> Result<Members<'_>, String> {
    let broken = "it is damaged or not whole";
    let first = bytes.len().saturating_sub(22 + 0xffff);
    let end = (first..bytes.len()).rev().find(|at| bytes[*at..].starts_with(b"PK\x05\x06")).ok_or(broken)?;
    let mut count = u16_at(bytes, end + 10).ok_or(broken)?;
    let mut at = u32_at(bytes, end + 16).ok_or(broken)?;
    // Large archives have the numbers elsewhere.
    let locator = end.checked_sub(20).filter(|at| bytes[*at..].starts_with(b"PK\x06\x07"));
    if let Some(place) = locator.and_then(|at| u64_at(bytes, at + 8)) {
        let place = place as usize;
        count = place.checked_add(32).and_then(|at| u64_at(bytes, at)).ok_or(broken)?;
        at = place.checked_add(48).and_then(|at| u64_at(bytes, at)).ok_or(broken)?;
    }
    let mut found = Members::new();
    let mut at = at as usize;
    for _ in 0..count {
        let (name, data, next) = member(bytes, at).ok_or(broken)?;
        found.insert(name, data.map_err(|name| format!("its member `{name}` is compressed"))?);
        at = next;
    }
    Ok(found)
}

/// A member's bytes, or its name where they are compressed.
type Data<'a> = Result<&'a [u8], String>;

/// The name and the bytes of a member whose entry in the directory stands at `at`, and the end of the entry.
fn member(bytes: &[u8], at: usize) -> Option<(String, Data<'_>, usize)> {
    bytes.get(at..)?.starts_with(b"PK\x01\x02").then_some(())?;
    let length = |place: usize| u16_at(bytes, at + place).map(|length| length as usize);
    let (name_length, extra_length, comment) = (length(28)?, length(30)?, length(32)?);
    let name_end = at + 46 + name_length;
    let name = String::from_utf8_lossy(bytes.get(at + 46..name_end)?).into_owned();
    let extra = bytes.get(name_end..name_end + extra_length)?;
    let mut wide = Vec::new();
    let mut place = 0;
    while let (Some(kind), Some(size)) = (u16_at(extra, place), u16_at(extra, place + 2)) {
        if kind == 1 {
            wide = (0..size as usize / 8).filter_map(|at| u64_at(extra, place + 4 + 8 * at)).collect();
        }
        place += 4 + size as usize;
    }
    // Numbers that are all ones stand behind, in this order.
    let mut wide = wide.into_iter();
    let mut large = |place: usize| match u32_at(bytes, at + place)? {
        0xffff_ffff => wide.next(),
        number => Some(number),
    };
    let (size, packed, start) = (large(24)?, large(20)?, large(42)? as usize);
    let next = name_end + extra_length + comment;
    if u16_at(bytes, at + 10)? != 0 || size != packed {
        return Some((name.clone(), Err(name), next));
    }
    let own = |place: usize| u16_at(bytes, start.checked_add(place)?).map(|length| length as usize);
    let data = start.checked_add(30 + own(26)? + own(28)?)?;
    Some((name, Ok(bytes.get(data..data.checked_add(size as usize)?)?), next))
}
