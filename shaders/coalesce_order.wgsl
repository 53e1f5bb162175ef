// order = the entries 0 .. n by the rows of the table that they stand for, those of one row as they are, those of none last
//   index: [n], the row of each entry; sorted: [n], entries in sorted chunks; order: [n]
// `coalesce_order` sorts chunks: an invocation takes an entry and counts those before it, in at most 128 iterations.
// `coalesce_order_merge` makes one of two sorted halves of a chunk: an invocation takes an entry and looks for its place in the
// other half, in at most 31 iterations.

@group(0) @binding(0) var<storage, read> index: array<i32>;
@group(0) @binding(1) var<storage, read> sorted: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    width: u32,
    size: u32,
    // A power of two.
    chunk: u32,
}

// A negative index is far above every row.
fn row_of(entry: u32) -> u32 {
    return min(u32(index[entry]), p.size);
}

@compute @workgroup_size(64)
fn coalesce_order(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let own = group_of(grid) * 64u + thread;
    if own >= p.n { return; }
    let start = own & ~(p.chunk - 1u);
    let end = min(start + p.chunk, p.n);
    let row = row_of(own);
    var before = 0u;
    for (var other = start; other < end; other++) {
        let found = row_of(other);
        if found < row || (found == row && other < own) { before++; }
    }
    order[start + before] = own;
}

@compute @workgroup_size(64)
fn coalesce_order_merge(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let at = group_of(grid) * 64u + thread;
    if at >= p.n { return; }
    let start = at & ~(p.chunk - 1u);
    let middle = min(start + p.chunk / 2u, p.n);
    let is_left = at < middle;
    let other = select(start, middle, is_left);
    let own = sorted[at];
    let row = row_of(own);
    var low = other;
    var high = select(middle, min(start + p.chunk, p.n), is_left);
    while low < high {
        let half = (low + high) / 2u;
        // Of one row, those of the left half come first.
        let found = row_of(sorted[half]);
        let before = found < row || (found == row && !is_left);
        low = select(low, half + 1u, before);
        high = select(half, high, before);
    }
    order[select(start + at - middle, at, is_left) + low - other] = own;
}
