// numbers = the row of the table that `skipped` says, the last one at most; where the flag is 0, numbers[3] = 1 and
// skipped = skipped + 1
//   table: n, three more, and [rows, n]; flag: [1]; skipped: [1]; numbers: as many as `most`, from n up
// One workgroup. Each invocation takes at most most / 256 + 1 iterations.

@group(0) @binding(0) var<storage, read> table: array<f32>;
@group(0) @binding(1) var<storage, read> flag: array<f32>;
@group(0) @binding(2) var<storage, read_write> skipped: array<f32>;
@group(0) @binding(3) var<storage, read_write> numbers: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

struct Params {
    rows: u32,
    most: u32,
}

@compute @workgroup_size(256)
fn step_numbers(@builtin(local_invocation_index) thread: u32) {
    let before = skipped[0];
    let row = min(u32(before), p.rows - 1u);
    let given_up = flag[0] == 0.0;
    let n = min(u32(table[0]), p.most);
    for (var i = thread; i < n; i += 256u) {
        let value = table[4u + row * n + i];
        numbers[i] = select(value, 1.0, given_up && i == 3u);
    }
    storageBarrier();
    if thread == 0u && given_up { skipped[0] = before + 1.0; }
}
