// y[o, d, i] joined with each src[o, l, i] whose index is d, in the order of l
//   index: [outer, length, inner] or [length]; ordered: [lines, length], as order.wgsl leaves it; src: [outer, length, inner], of type
//   SRC; y: [outer, size, inner], with a start in it
// One invocation takes one ITEM at one place of the order between p.first and p.end, and where a run of one d begins, all of the
// run: at most 32,768 iterations a pass. A run goes on from what the pass before has left.

@group(0) @binding(0) var<storage, read> index: array<i32>;
@group(0) @binding(1) var<storage, read> ordered: array<u32>;
@group(0) @binding(2) var<storage, read> src: array<SRC>;
@group(0) @binding(3) var<storage, read_write> y: array<ITEM>;
@group(0) @binding(4) var<uniform> p: Lines;

// Set by the lowering: JOIN, what is done: 0 takes the new one, 1 adds, 2 multiplies, 3 takes the larger, 4 the smaller.

fn joined(a: ITEM, b: ITEM) -> ITEM {
    if JOIN == 0u { return b; }
    if JOIN == 1u { return a + b; }
    if JOIN == 2u { return a * b; }
    if JOIN == 3u { return larger(a, b); }
    return smaller(a, b);
}

@compute @workgroup_size(256)
fn runs(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = index_of(grid, thread);
    let row = divide(at, p.inner);
    let i = at - row * p.inner;
    let places = p.end - p.first;
    let o = divide(row, places);
    if o >= p.outer { return; }
    let place = p.first + row - o * places;
    let number = select(0u, o * p.inner + i, p.each == 1u);
    let line = line_of(number);
    let base = number * p.length;
    let found = ordered[base + place];
    let d = named(line, found);
    if d >= p.size { return; }
    if place > p.first && named(line, ordered[base + max(place, 1u) - 1u]) == d { return; }
    let to = (o * p.size + d) * p.inner + i;
    var all = joined(y[to], wide_SRC(src[(o * p.length + found) * p.inner + i]));
    for (var next = place + 1u; next < p.end; next++) {
        let l = ordered[base + next];
        if named(line, l) != d { break; }
        all = joined(all, wide_SRC(src[(o * p.length + l) * p.inner + i]));
    }
    y[to] = all;
}
