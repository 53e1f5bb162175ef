// out[e] = the sum of the rows of all entries that stand for the same row of the table as e, where e is the first of them, and
// rows[e] = that row; for all other entries 0 and -1
//   index: [n], the row of each entry; order: [n], the entries by their rows; source, out: [n, width]; rows: [n]
// `coalesce_parts` adds up those of one row within 64 places of the order, and puts the sum to the first of these places: at
// most 64 iterations. `coalesce` adds up these: at most n / 64. An invocation takes a place and one of `width` items.

@group(0) @binding(0) var<storage, read> index: array<i32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> source: array<ITEM>;
@group(0) @binding(3) var<storage, read_write> rows: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<ITEM>;
@group(0) @binding(5) var<uniform> p: Params;

struct Params {
    n: u32,
    width: u32,
    size: u32,
}

// A negative index is far above every row.
fn row_at(place: u32) -> u32 {
    return min(u32(index[order[place]]), p.size);
}

@compute @workgroup_size(256)
fn coalesce_parts(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let place = divide(i, p.width);
    if place >= p.n { return; }
    let row = row_at(place);
    let start = place & ~63u;
    if row == p.size || (place > start && row_at(max(place, 1u) - 1u) == row) { return; }
    let c = i - place * p.width;
    let end = min(start + 64u, p.n);
    var sum = source[order[place] * p.width + c];
    for (var next = place + 1u; next < end; next++) {
        if row_at(next) != row { break; }
        sum += source[order[next] * p.width + c];
    }
    out[i] = sum;
}

@compute @workgroup_size(256)
fn coalesce(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let place = divide(i, p.width);
    if place >= p.n { return; }
    let row = row_at(place);
    let c = i - place * p.width;
    let is_first = row < p.size && (place == 0u || row_at(max(place, 1u) - 1u) != row);
    var sum = ITEM();
    if is_first {
        sum = source[i];
        for (var next = (place & ~63u) + 64u; next < p.n; next += 64u) {
            if row_at(next) != row { break; }
            sum += source[next * p.width + c];
        }
    }
    let entry = order[place];
    out[entry * p.width + c] = sum;
    if c == 0u { rows[entry] = select(-1, i32(row), is_first); }
}
