// Stands before the files that go by lines of indices, which they bind as index beside p.

struct Lines {
    outer: u32,
    size: u32,
    inner: u32,
    length: u32,
    // 1: every element has an index of its own
    each: u32,
    // The part that a pass works on.
    first: u32,
    end: u32,
    // for the host
    join: u32,
    // Entries that a pass sorts at a time, a power of two.
    chunk: u32,
    // The bits of what is picked by an index outside.
    missing: u32,
}

// Where the first index of a line lies, and how far the others are apart.
struct Line { first: u32, step: u32 }

fn lines() -> u32 { return select(1u, p.outer * p.inner, p.each == 1u); }

fn line_of(number: u32) -> Line {
    if p.each == 0u { return Line(0u, 1u); }
    let o = divide(number, p.inner);
    return Line(o * p.length * p.inner + number - o * p.inner, p.inner);
}

// The place that entry l of a line names: size for none. A negative index is far above every place.
fn named(line: Line, l: u32) -> u32 { return min(u32(index[line.first + l * line.step]), p.size); }
