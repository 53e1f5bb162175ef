// table[rows[i]] = values[i], where rows[i] is not -1
//   values: [n, width]; rows: [n], each row of the table at most once; table: [size, width], of types VALUES and TABLE
// One invocation takes one of `width` items. No loops.

@group(0) @binding(0) var<storage, read> values: array<VALUES>;
@group(0) @binding(1) var<storage, read> rows: array<i32>;
@group(0) @binding(2) var<storage, read_write> table: array<TABLE>;
@group(0) @binding(3) var<uniform> p: Params;

struct Params {
    n: u32,
    width: u32,
}

@compute @workgroup_size(256)
fn rows_put(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    let entry = divide(i, p.width);
    if entry >= p.n { return; }
    let row = rows[entry];
    if row < 0 { return; }
    table[u32(row) * p.width + i - entry * p.width] = narrow_TABLE(wide_VALUES(values[i]));
}
