// Each number i of n, from the row of the table that `skipped` says for the parameter whose[i], the last row at most; where the flag is
// 0, numbers[3] = 1 and skipped = skipped + moved
//   table: n, three more, moved: [members], whose: [n], and [rows, n]; flag: [1]; skipped: [members]; numbers: as many as `most`,
//   from n up
// One workgroup. Each invocation takes at most (most + members) / 256 + 2 iterations.

@group(0) @binding(0) var<storage, read> table: array<f32>;
@group(0) @binding(1) var<storage, read> flag: array<f32>;
@group(0) @binding(2) var<storage, read_write> skipped: array<f32>;
@group(0) @binding(3) var<storage, read_write> numbers: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

struct Params {
    rows: u32,
    most: u32,
    members: u32,
}

@compute @workgroup_size(256)
fn step_numbers(@builtin(local_invocation_index) thread: u32) {
    let given_up = flag[0] == 0.0;
    let n = min(u32(table[0]), p.most);
    let whose = 4u + p.members;
    for (var i = thread; i < n; i += 256u) {
        let row = min(u32(skipped[u32(table[whose + i])]), p.rows - 1u);
        let value = table[whose + n + row * n + i];
        numbers[i] = select(value, 1.0, given_up && i == 3u);
    }
    storageBarrier();
    for (var at = thread; given_up && at < p.members; at += 256u) { skipped[at] += table[4u + at]; }
}
