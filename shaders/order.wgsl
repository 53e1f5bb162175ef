// order = for each line of indices the numbers 0 .. length of its entries by the places that they name, those of one place as they
// are, those of none last
//   index: [outer, length, inner] or [length]; sorted: [lines, length], entries in sorted chunks; order: [lines, length]
// `order` sorts chunks: an invocation takes an entry and counts those before it, in at most 128 iterations.
// `order_merge` makes one of two sorted halves of a chunk: an invocation takes an entry and looks for its place in the
// other half, in at most 31 iterations.

@group(0) @binding(0) var<storage, read> index: array<i32>;
@group(0) @binding(1) var<storage, read> sorted: array<u32>;
@group(0) @binding(2) var<storage, read_write> ordered: array<u32>;
@group(0) @binding(3) var<uniform> p: Lines;

@compute @workgroup_size(64)
fn order(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    let number = divide(at, p.length);
    if number >= lines() { return; }
    let line = line_of(number);
    let own = at - number * p.length;
    let start = own & ~(p.chunk - 1u);
    let end = min(start + p.chunk, p.length);
    let place = named(line, own);
    var before = 0u;
    for (var other = start; other < end; other++) {
        let found = named(line, other);
        if found < place || (found == place && other < own) { before++; }
    }
    ordered[number * p.length + start + before] = own;
}

@compute @workgroup_size(64)
fn order_merge(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let number = divide(i, p.length);
    if number >= lines() { return; }
    let line = line_of(number);
    let base = number * p.length;
    let at = i - base;
    let start = at & ~(p.chunk - 1u);
    let middle = min(start + p.chunk / 2u, p.length);
    let is_left = at < middle;
    let other = select(start, middle, is_left);
    let own = sorted[i];
    let place = named(line, own);
    var low = other;
    var high = select(middle, min(start + p.chunk, p.length), is_left);
    while low < high {
        let half = (low + high) / 2u;
        // Of one place, those of the left half come first.
        let found = named(line, sorted[base + half]);
        let before = found < place || (found == place && !is_left);
        low = select(low, half + 1u, before);
        high = select(half, high, before);
    }
    ordered[base + select(start + at - middle, at, is_left) + low - other] = own;
}
