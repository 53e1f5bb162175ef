// Stands before the files of attention by tiles in shared memory, for GPUs, which name their own rows `own_at`, the
// others `other_at` (with `second`, those of their second operand), and the mask, of words of MASK.
//
// A workgroup of X Y threads takes 4 Y own rows of a head, and OTHER other rows at a time. Thread (x, y) has four own
// rows, `rows_of`, beside each of KEYS other rows, and vec4 x of these own rows' results. No row is kept in registers:
// 4 vec4 at a time of all rows lie in shared memory, then the weights and 256 / X other rows at a time. A tile takes at
// most 2 iterations for each of its other rows.

// One row more than there are, so that neighbours in memory are no neighbours in banks: own rows vec4 by vec4, then
// others. Later other rows, row by row, or what the threads of a row tell each other.
var<workgroup> chunk: array<vec4<f32>, 4u * (OWN + OTHER + 2u)>;
// For each other row and y, those of four own rows; a column more for the same reason.
var<workgroup> weights: array<vec4<f32>, OTHER * (Y + 1u)>;

// sum + m w
fn plus(sum: vec4<f32>, m: mat4x4<f32>, w: vec4<f32>) -> vec4<f32> {
    let half = fma(m[1], vec4<f32>(w.y), fma(m[0], vec4<f32>(w.x), sum));
    return fma(m[3], vec4<f32>(w.w), fma(m[2], vec4<f32>(w.z), half));
}

// One vec4 of the rows in the chunk, multiplied and added to s.
fn one_quad(s: mat4x4<f32>, quad: u32, t: u32) -> mat4x4<f32> {
    let own = quad * (OWN + 1u) + t / X;
    let rows = transpose(mat4x4<f32>(chunk[own], chunk[own + Y], chunk[own + 2u * Y], chunk[own + 3u * Y]));
    let other = 4u * (OWN + 1u) + quad * (OTHER + 1u) + t % X;
    var sum = s;
    sum[0] = plus(s[0], rows, chunk[other]);
    sum[1] = plus(s[1], rows, chunk[other + X]);
    if KEYS == 4u {
        sum[2] = plus(s[2], rows, chunk[other + 2u * X]);
        sum[3] = plus(s[3], rows, chunk[other + 3u * X]);
    }
    return sum;
}

// Puts a vec4 of a row where `one_quad` finds it, or zeros past the row's end.
fn place_own(value: vec4<f32>, row: u32, t: u32, is_there: bool) {
    chunk[t % 4u * (OWN + 1u) + row] = select(vec4<f32>(), value, is_there);
}

fn place_other(value: vec4<f32>, row: u32, t: u32, is_there: bool) {
    chunk[4u * (OWN + 1u) + t % 4u * (OTHER + 1u) + row] = select(vec4<f32>(), value, is_there);
}

// The products of a thread's own rows with other rows from j on, a column for each of these.
fn products(second: bool, own: Rows, start: u32, other: Rows, j: u32, t: u32) -> mat4x4<f32> {
    var s = mat4x4<f32>();
    // Threads take a vec4 of one row and, where there are more rows than a fourth of them, of another.
    let row = t / 4u;
    let of_own = start_of(own, start + row);
    let of_own_too = start_of(own, start + row + THREADS / 4u);
    let of_other = start_of(other, j + row);
    let of_other_too = start_of(other, j + row + THREADS / 4u);
    for (var d = 0u; d < p.quads; d += 4u) {
        let is_there = d + t % 4u < p.quads;
        let quad = min(d + t % 4u, p.quads - 1u);
        // All must be done with the chunk before it is overwritten.
        workgroupBarrier();
        if OWN >= THREADS / 4u || row < OWN { place_own(own_at(second, of_own + quad), row, t, is_there); }
        if OWN > THREADS / 4u { place_own(own_at(second, of_own_too + quad), row + THREADS / 4u, t, is_there); }
        place_other(other_at(second, of_other + quad), row, t, is_there);
        if OTHER > THREADS / 4u { place_other(other_at(second, of_other_too + quad), row + THREADS / 4u, t, is_there); }
        // The chunk must be whole before any of it is read.
        workgroupBarrier();
        s = one_quad(one_quad(one_quad(one_quad(s, 0u, t), 1u, t), 2u, t), 3u, t);
    }
    return s;
}

// Leaves weights for `mix`, a column for each other row of the thread.
fn keep(s: mat4x4<f32>, t: u32) {
    let at = column(0u, t) * (Y + 1u) + t / X;
    weights[at] = s[0];
    weights[at + X * (Y + 1u)] = s[1];
    if KEYS == 4u {
        weights[at + 2u * X * (Y + 1u)] = s[2];
        weights[at + 3u * X * (Y + 1u)] = s[3];
    }
}

// A quad of a row; past the last one nothing is added, whatever the last one holds.
fn mixed_at(second: bool, other: Rows, row: u32, x: u32) -> vec4<f32> {
    return select(vec4<f32>(), other_at(second, start_of(other, row) + x), row < other.count);
}

// Other rows from j on, by the weights, added to the thread's vec4 of four results.
fn mix(results: mat4x4<f32>, second: bool, other: Rows, j: u32, t: u32) -> mat4x4<f32> {
    var sum = results;
    let x = min(t % X, p.quads - 1u);
    for (var l = 0u; l < OTHER; l += 256u / X) {
        // All must be done with the chunk before it is overwritten; the weights must be whole.
        workgroupBarrier();
        chunk[t] = mixed_at(second, other, j + l + t / X, x);
        if THREADS == 128u { chunk[t + 128u] = mixed_at(second, other, j + l + 128u / X + t / X, x); }
        // The chunk must be whole before any of it is read.
        workgroupBarrier();
        // 2 to 8 turns.
        for (var i = 0u; i < 256u / X; i += 4u) {
            let at = (l + i) * (Y + 1u) + t / X;
            let w = transpose(mat4x4<f32>(
                weights[at], weights[at + Y + 1u], weights[at + 2u * (Y + 1u)], weights[at + 3u * (Y + 1u)],
            ));
            let place = i * X + t % X;
            let rows = mat4x4<f32>(chunk[place], chunk[place + X], chunk[place + 2u * X], chunk[place + 3u * X]);
            sum = mat4x4<f32>(
                plus(sum[0], rows, w[0]), plus(sum[1], rows, w[1]), plus(sum[2], rows, w[2]), plus(sum[3], rows, w[3]),
            );
        }
    }
    return sum;
}
