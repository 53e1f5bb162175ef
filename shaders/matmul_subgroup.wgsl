// c[b, i, j] = sum over k of a[b, i, k] * b[b, k, j], without barriers: for adapters whose subgroups are a workgroup
//   a, b: strided matrices, batches by strides too; c: rows of stride c_row; with several splits of k, c is
//   [splits, batches, m, n], to be added up by a second pass; bias: [n]; other: as c; sums: [splits, m], of a's rows
// One subgroup computes 16 rows x 8 columns a lane. Each lane holds columns of b and two rows of a, whose values it
// sends to the others. Groups run down the rows first, so that the strip of b stays in the cache.
// At most 2,050 loop iterations: one for 4 of at most 8,192 k, and the tail.

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
@group(0) @binding(6) var<uniform> p: MatMul;

// Set by the variant: LANES, the invocations of a subgroup (8 or more); A_T and B_T, whether the rows of a and the
// k of b are neighbours in memory, not the other way round; A_VEC and B_VEC, whether whole vec4 can be read; SUMS, whether the rows of a are summed too
// (with A_T only); BIAS, whether there is one; AFTER, what follows.

fn a_at(at: u32) -> f32 { return a[at / 4u][at % 4u]; }
fn b_at(at: u32) -> f32 { return b[at / 4u][at % 4u]; }

// Four neighbours of a from `at` on.
fn load_a(at: u32) -> vec4<f32> {
    if A_VEC { return a[at / 4u]; }
    let s = select(p.a_col, p.a_row, A_T);
    return vec4<f32>(a_at(at), a_at(at + s), a_at(at + 2u * s), a_at(at + 3u * s));
}

fn load_b(at: u32) -> vec4<f32> {
    if B_VEC { return b[at / 4u]; }
    let s = select(p.b_col, p.b_row, B_T);
    return vec4<f32>(b_at(at), b_at(at + s), b_at(at + 2u * s), b_at(at + 3u * s));
}

// Four rows of b, k to k + 3, at four columns from j on; columns past n repeat the last.
fn rows_of_b(base: u32, k: u32, j: u32) -> mat4x4<f32> {
    if B_T {
        let at = base + k * p.b_row;
        let last = p.n - 1u;
        return transpose(mat4x4<f32>(
            load_b(at + min(j, last) * p.b_col),
            load_b(at + min(j + 1u, last) * p.b_col),
            load_b(at + min(j + 2u, last) * p.b_col),
            load_b(at + min(j + 3u, last) * p.b_col),
        ));
    }
    let at = base + k * p.b_row + j * p.b_col;
    if B_VEC || j + 4u <= p.n {
        return mat4x4<f32>(load_b(at), load_b(at + p.b_row), load_b(at + 2u * p.b_row), load_b(at + 3u * p.b_row));
    }
    return mat4x4<f32>(edge_of_b(base, k, j), edge_of_b(base, k + 1u, j), edge_of_b(base, k + 2u, j), edge_of_b(base, k + 3u, j));
}

fn edge_of_b(base: u32, k: u32, j: u32) -> vec4<f32> {
    let at = base + k * p.b_row;
    let last = p.n - 1u;
    return vec4<f32>(
        b_at(at + min(j, last) * p.b_col),
        b_at(at + min(j + 1u, last) * p.b_col),
        b_at(at + min(j + 2u, last) * p.b_col),
        b_at(at + min(j + 3u, last) * p.b_col),
    );
}

// Four rows of a from i on at one k; rows past m repeat the last.
fn edge_of_a(base: u32, i: u32, k: u32) -> vec4<f32> {
    let at = base + k * p.a_col;
    let last = p.m - 1u;
    return vec4<f32>(
        a_at(at + min(i, last) * p.a_row),
        a_at(at + min(i + 1u, last) * p.a_row),
        a_at(at + min(i + 2u, last) * p.a_row),
        a_at(at + min(i + 3u, last) * p.a_row),
    );
}

fn store(base: u32, i: u32, j: u32, value: vec4<f32>) {
    if i >= p.m || j >= p.n { return; }
    let at = base + i * p.c_row + j;
    var y = value;
    if BIAS {
        y.x += bias[j];
        if j + 1u < p.n { y.y += bias[j + 1u]; }
        if j + 2u < p.n { y.z += bias[j + 2u]; }
        if j + 3u < p.n { y.w += bias[j + 3u]; }
    }
    if AFTER > 0u {
        var more = vec4<f32>();
        if AFTER > 1u {
            more.x = other[at];
            if j + 1u < p.n { more.y = other[at + 1u]; }
            if j + 2u < p.n { more.z = other[at + 2u]; }
            if j + 3u < p.n { more.w = other[at + 3u]; }
        }
        y = after4(AFTER, y, more);
    }
    c[at] = y.x;
    if j + 1u < p.n { c[at + 1u] = y.y; }
    if j + 2u < p.n { c[at + 2u] = y.z; }
    if j + 3u < p.n { c[at + 3u] = y.w; }
}

@compute @workgroup_size(LANES)
fn matmul_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = tile_of(group_of(grid), 16u, LANES * 8u, p);
    if tile.batch >= p.batches { return; }
    let i = tile.row;
    // Lanes past the last column work on it again and write nothing. With vec4 loads they must start on one.
    let j = tile.column + lane * 8u;
    let bound = select(p.n - 1u, p.n - 4u, B_VEC && !B_T);
    let j0 = min(j, bound);
    let j1 = min(j + 4u, bound);
    let a_base = tile.a;
    let b_base = tile.b;
    let pick = lane & 7u;
    // Rows past the last repeat it; a row's values never reach another's result.
    let last = p.m - 1u;
    let i0 = min(i + pick, last);
    let i1 = min(i + pick + 8u, last);
    var c00 = vec4<f32>(); var c01 = vec4<f32>(); var c10 = vec4<f32>(); var c11 = vec4<f32>();
    var c20 = vec4<f32>(); var c21 = vec4<f32>(); var c30 = vec4<f32>(); var c31 = vec4<f32>();
    var c40 = vec4<f32>(); var c41 = vec4<f32>(); var c50 = vec4<f32>(); var c51 = vec4<f32>();
    var c60 = vec4<f32>(); var c61 = vec4<f32>(); var c70 = vec4<f32>(); var c71 = vec4<f32>();
    var c80 = vec4<f32>(); var c81 = vec4<f32>(); var c90 = vec4<f32>(); var c91 = vec4<f32>();
    var ca0 = vec4<f32>(); var ca1 = vec4<f32>(); var cb0 = vec4<f32>(); var cb1 = vec4<f32>();
    var cc0 = vec4<f32>(); var cc1 = vec4<f32>(); var cd0 = vec4<f32>(); var cd1 = vec4<f32>();
    var ce0 = vec4<f32>(); var ce1 = vec4<f32>(); var cf0 = vec4<f32>(); var cf1 = vec4<f32>();
    var of_rows = vec4<f32>();
    for (var k = tile.k; k < tile.k_end; k += 4u) {
        var s0: vec4<f32>;
        var s1: vec4<f32>;
        var b0: mat4x4<f32>;
        var b1: mat4x4<f32>;
        if k + 4u <= tile.k_end {
            if A_T {
                // Lane q holds rows 4 (q % 4) to 4 (q % 4) + 3 at k + q / 4, and at two k further.
                let quad = i + 4u * (pick & 3u);
                let row = select(min(quad, last), min(quad, p.m - 4u), A_VEC);
                let at = a_base + row * p.a_row + (k + pick / 4u) * p.a_col;
                if A_VEC || quad + 4u <= p.m {
                    s0 = load_a(at);
                    s1 = load_a(at + 2u * p.a_col);
                } else {
                    s0 = edge_of_a(a_base, quad, k + pick / 4u);
                    s1 = edge_of_a(a_base, quad, k + pick / 4u + 2u);
                }
            } else {
                s0 = load_a(a_base + i0 * p.a_row + k * p.a_col);
                s1 = load_a(a_base + i1 * p.a_row + k * p.a_col);
            }
            b0 = rows_of_b(b_base, k, j0);
            b1 = rows_of_b(b_base, k, j1);
        } else {
            // The tail of k, one at a time, with zeros beyond.
            let quad = i + 4u * (pick & 3u);
            for (var t = 0u; t < 4u; t++) {
                if k + t >= tile.k_end { break; }
                if A_T {
                    if pick / 4u == t { s0 = edge_of_a(a_base, quad, k + t); }
                    if pick / 4u + 2u == t { s1 = edge_of_a(a_base, quad, k + t); }
                } else {
                    s0[t] = a_at(a_base + i0 * p.a_row + (k + t) * p.a_col);
                    s1[t] = a_at(a_base + i1 * p.a_row + (k + t) * p.a_col);
                }
                b0[t] = edge_of_b(b_base, k + t, j0);
                b1[t] = edge_of_b(b_base, k + t, j1);
            }
        }
        // Lanes past the eighth repeat them.
        if SUMS { of_rows += s0 + s1; }
        var r0: vec4<f32>; var r1: vec4<f32>; var r2: vec4<f32>; var r3: vec4<f32>; var r4: vec4<f32>; var r5: vec4<f32>; var r6: vec4<f32>; var r7: vec4<f32>;
        var r8: vec4<f32>; var r9: vec4<f32>; var ra: vec4<f32>; var rb: vec4<f32>; var rc: vec4<f32>; var rd: vec4<f32>; var re: vec4<f32>; var rf: vec4<f32>;
        if A_T {
            let q0 = transpose(mat4x4<f32>(subgroupBroadcast(s0, 0u), subgroupBroadcast(s0, 4u), subgroupBroadcast(s1, 0u), subgroupBroadcast(s1, 4u)));
            r0 = q0[0]; r1 = q0[1]; r2 = q0[2]; r3 = q0[3];
            let q1 = transpose(mat4x4<f32>(subgroupBroadcast(s0, 1u), subgroupBroadcast(s0, 5u), subgroupBroadcast(s1, 1u), subgroupBroadcast(s1, 5u)));
            r4 = q1[0]; r5 = q1[1]; r6 = q1[2]; r7 = q1[3];
            let q2 = transpose(mat4x4<f32>(subgroupBroadcast(s0, 2u), subgroupBroadcast(s0, 6u), subgroupBroadcast(s1, 2u), subgroupBroadcast(s1, 6u)));
            r8 = q2[0]; r9 = q2[1]; ra = q2[2]; rb = q2[3];
            let q3 = transpose(mat4x4<f32>(subgroupBroadcast(s0, 3u), subgroupBroadcast(s0, 7u), subgroupBroadcast(s1, 3u), subgroupBroadcast(s1, 7u)));
            rc = q3[0]; rd = q3[1]; re = q3[2]; rf = q3[3];
        } else {
            r0 = subgroupBroadcast(s0, 0u); r1 = subgroupBroadcast(s0, 1u);
            r2 = subgroupBroadcast(s0, 2u); r3 = subgroupBroadcast(s0, 3u);
            r4 = subgroupBroadcast(s0, 4u); r5 = subgroupBroadcast(s0, 5u);
            r6 = subgroupBroadcast(s0, 6u); r7 = subgroupBroadcast(s0, 7u);
            r8 = subgroupBroadcast(s1, 0u); r9 = subgroupBroadcast(s1, 1u);
            ra = subgroupBroadcast(s1, 2u); rb = subgroupBroadcast(s1, 3u);
            rc = subgroupBroadcast(s1, 4u); rd = subgroupBroadcast(s1, 5u);
            re = subgroupBroadcast(s1, 6u); rf = subgroupBroadcast(s1, 7u);
        }
        c00 = multiply(c00, r0, b0); c01 = multiply(c01, r0, b1);
        c10 = multiply(c10, r1, b0); c11 = multiply(c11, r1, b1);
        c20 = multiply(c20, r2, b0); c21 = multiply(c21, r2, b1);
        c30 = multiply(c30, r3, b0); c31 = multiply(c31, r3, b1);
        c40 = multiply(c40, r4, b0); c41 = multiply(c41, r4, b1);
        c50 = multiply(c50, r5, b0); c51 = multiply(c51, r5, b1);
        c60 = multiply(c60, r6, b0); c61 = multiply(c61, r6, b1);
        c70 = multiply(c70, r7, b0); c71 = multiply(c71, r7, b1);
        c80 = multiply(c80, r8, b0); c81 = multiply(c81, r8, b1);
        c90 = multiply(c90, r9, b0); c91 = multiply(c91, r9, b1);
        ca0 = multiply(ca0, ra, b0); ca1 = multiply(ca1, ra, b1);
        cb0 = multiply(cb0, rb, b0); cb1 = multiply(cb1, rb, b1);
        cc0 = multiply(cc0, rc, b0); cc1 = multiply(cc1, rc, b1);
        cd0 = multiply(cd0, rd, b0); cd1 = multiply(cd1, rd, b1);
        ce0 = multiply(ce0, re, b0); ce1 = multiply(ce1, re, b1);
        cf0 = multiply(cf0, rf, b0); cf1 = multiply(cf1, rf, b1);
    }
    if SUMS {
        // Lanes q and q + 4 hold the same four rows, at different k.
        let whole = of_rows + subgroupShuffleXor(of_rows, 4u);
        if tile.column == 0u && lane < 4u {
            let row = i + 4u * lane;
            let at = tile.k / p.k_split * p.m + row;
            if row < p.m { sums[at] = whole.x; }
            if row + 1u < p.m { sums[at + 1u] = whole.y; }
            if row + 2u < p.m { sums[at + 2u] = whole.z; }
            if row + 3u < p.m { sums[at + 3u] = whole.w; }
        }
    }
    store(tile.c, i + 0u, j, c00); store(tile.c, i + 0u, j + 4u, c01);
    store(tile.c, i + 1u, j, c10); store(tile.c, i + 1u, j + 4u, c11);
    store(tile.c, i + 2u, j, c20); store(tile.c, i + 2u, j + 4u, c21);
    store(tile.c, i + 3u, j, c30); store(tile.c, i + 3u, j + 4u, c31);
    store(tile.c, i + 4u, j, c40); store(tile.c, i + 4u, j + 4u, c41);
    store(tile.c, i + 5u, j, c50); store(tile.c, i + 5u, j + 4u, c51);
    store(tile.c, i + 6u, j, c60); store(tile.c, i + 6u, j + 4u, c61);
    store(tile.c, i + 7u, j, c70); store(tile.c, i + 7u, j + 4u, c71);
    store(tile.c, i + 8u, j, c80); store(tile.c, i + 8u, j + 4u, c81);
    store(tile.c, i + 9u, j, c90); store(tile.c, i + 9u, j + 4u, c91);
    store(tile.c, i + 10u, j, ca0); store(tile.c, i + 10u, j + 4u, ca1);
    store(tile.c, i + 11u, j, cb0); store(tile.c, i + 11u, j + 4u, cb1);
    store(tile.c, i + 12u, j, cc0); store(tile.c, i + 12u, j + 4u, cc1);
    store(tile.c, i + 13u, j, cd0); store(tile.c, i + 13u, j + 4u, cd1);
    store(tile.c, i + 14u, j, ce0); store(tile.c, i + 14u, j + 4u, ce1);
    store(tile.c, i + 15u, j, cf0); store(tile.c, i + 15u, j + 4u, cf1);
}
