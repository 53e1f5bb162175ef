// c[b, i, j] = sum over k of a[b, i, k] * b[b, k, j], without barriers: for adapters whose subgroups are a workgroup
//   a, b: strided matrices, batches by strides too; c: rows of stride c_row; with several splits of k, c is
//   [splits, batches, m, n], to be added up by a second pass; bias: [n]; other: as c; sums: [splits, m], of a's rows
// One subgroup computes 16 or 32 (TALL) rows x 4 or 8 (WIDE) columns a lane. Each lane holds columns of b; eight lanes
// hold the rows of a and send them round. Groups run down the rows first, so that the strip of b stays in the cache.
// At most 2,050 loop iterations: one for 4 of at most 8,192 k, 3 k left over, and 8 rows to store.

@group(0) @binding(0) var<storage, read> a: array<A>;
@group(0) @binding(1) var<storage, read> b: array<B>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
@group(0) @binding(6) var<uniform> p: MatMul;

// Set by the variant: A and B, four elements as they lie, with four_a, which makes f32 of them, and a_at, one of them; LANES, the invocations of a subgroup (8 or more); TALL and WIDE; TAIL, whether some k are left over
// from fours; A_T and B_T, whether the rows of a
// and the k of b are neighbours in memory, not the other way round; A_VEC and B_VEC, whether whole vec4 can be read; SUMS,
// whether the rows of a are summed too (with A_T only); BIAS, whether there is one; EPILOGUE, what follows; FULL, whether the
// columns come by fours.

// Four neighbours of a from `at` on.
fn load_a(at: u32) -> vec4<f32> {
    let s = select(p.a_col, p.a_row, A_T);
    var four: vec4<f32>;
    if A_VEC { four = four_a(a[at / 4u]); } else { four = vec4<f32>(a_at(at), a_at(at + s), a_at(at + 2u * s), a_at(at + 3u * s)); }
    return four;
}

fn load_b(at: u32) -> vec4<f32> {
    let s = select(p.b_col, p.b_row, B_T);
    var four: vec4<f32>;
    if B_VEC { four = four_b(b[at / 4u]); } else { four = vec4<f32>(b_at(at), b_at(at + s), b_at(at + 2u * s), b_at(at + 3u * s)); }
    return four;
}

// Four rows of b, k to k + 3, at four columns from j on; columns past n repeat the last.
fn rows_of_b(base: u32, k: u32, j: u32) -> mat4x4<f32> {
    let last = p.n - 1u;
    var m: mat4x4<f32>;
    if B_T {
        let at = base + k * p.b_row;
        m = transpose(mat4x4<f32>(
            load_b(at + min(j, last) * p.b_col),
            load_b(at + min(j + 1u, last) * p.b_col),
            load_b(at + min(j + 2u, last) * p.b_col),
            load_b(at + min(j + 3u, last) * p.b_col),
        ));
    } else if B_VEC {
        let at = base + k * p.b_row + j * p.b_col;
        m = mat4x4<f32>(load_b(at), load_b(at + p.b_row), load_b(at + 2u * p.b_row), load_b(at + 3u * p.b_row));
    } else {
        m = mat4x4<f32>(edge_of_b(base, k, j), edge_of_b(base, k + 1u, j), edge_of_b(base, k + 2u, j),
            edge_of_b(base, k + 3u, j));
    }
    return m;
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

// The bias of four columns, those past n repeat the last: read once, since a load costs software adapters as much as a
// row of products.
fn biases(j: u32) -> vec4<f32> {
    let last = p.n - 1u;
    var b: vec4<f32>;
    if BIAS {
        b = vec4<f32>(bias[min(j, last)], bias[min(j + 1u, last)], bias[min(j + 2u, last)], bias[min(j + 3u, last)]);
    }
    return b;
}

fn store(base: u32, i: u32, j: u32, b: vec4<f32>, value: vec4<f32>) {
    if i < p.m && j < p.n {
        let at = base + i * p.c_row + j;
        var y = value;
        if BIAS { y += b; }
        if EPILOGUE > 0u {
            var more = vec4<f32>();
            if EPILOGUE > 1u {
                more.x = other[at];
                if FULL || j + 1u < p.n { more.y = other[at + 1u]; }
                if FULL || j + 2u < p.n { more.z = other[at + 2u]; }
                if FULL || j + 3u < p.n { more.w = other[at + 3u]; }
            }
            y = epilogue4(EPILOGUE, y, more);
        }
        c[at] = y.x;
        if FULL || j + 1u < p.n { c[at + 1u] = y.y; }
        if FULL || j + 2u < p.n { c[at + 2u] = y.z; }
        if FULL || j + 3u < p.n { c[at + 3u] = y.w; }
    }
}

// Sends the rows that eight lanes hold round, and adds their products to eight rows of results.
fn spread(c: ptr<function, Rows>, b0: mat4x4<f32>, b1: mat4x4<f32>, s: vec4<f32>) {
    eight(c, WIDE, b0, b1, subgroupBroadcast(s, 0u), subgroupBroadcast(s, 1u), subgroupBroadcast(s, 2u),
        subgroupBroadcast(s, 3u), subgroupBroadcast(s, 4u), subgroupBroadcast(s, 5u), subgroupBroadcast(s, 6u),
        subgroupBroadcast(s, 7u));
}

// Four neighbouring rows of a from `row` on, at four k: one column for each row.
fn quads_of_a(base: u32, row: u32, k: u32) -> mat4x4<f32> {
    var m: mat4x4<f32>;
    if A_VEC {
        let at = base + min(row, p.m - 4u) + k * p.a_col;
        m = mat4x4<f32>(load_a(at), load_a(at + p.a_col), load_a(at + 2u * p.a_col), load_a(at + 3u * p.a_col));
    } else {
        m = mat4x4<f32>(edge_of_a(base, row, k), edge_of_a(base, row, k + 1u), edge_of_a(base, row, k + 2u),
            edge_of_a(base, row, k + 3u));
    }
    return transpose(m);
}

// Stores the first of eight rows, and moves the others up.
fn store_first(base: u32, i: u32, j: u32, b0: vec4<f32>, b1: vec4<f32>, c: ptr<function, Rows>) {
    store(base, i, j, b0, (*c)[0]);
    if WIDE { store(base, i, j + 4u, b1, (*c)[8]); }
    up_one(c, WIDE);
}

@compute @workgroup_size(LANES)
fn matmul_subgroup(grid: Grid, @builtin(subgroup_invocation_id) lane: u32) {
    let width = select(4u, 8u, WIDE);
    let tile = tile_of(group_of(grid), select(16u, 32u, TALL), LANES * width, p);
    if tile.batch >= p.batches { return; }
    let i = tile.row;
    // Lanes past the last column work on it again and write nothing. With vec4 loads they must start on one.
    let j = tile.column + lane * width;
    let bound = select(p.n - 1u, p.n - 4u, B_VEC && !B_T);
    let j0 = min(j, bound);
    let j1 = min(j + 4u, bound);
    let pick = lane & 7u;
    // Rows past the last repeat it; a row's values never reach another's result.
    let last = p.m - 1u;
    let a0 = tile.a + min(i + pick, last) * p.a_row;
    let a1 = tile.a + min(i + pick + 8u, last) * p.a_row;
    let a2 = tile.a + min(i + pick + 16u, last) * p.a_row;
    let a3 = tile.a + min(i + pick + 24u, last) * p.a_row;
    // Four rows for each of eight lanes; of 16 rows the last four lanes repeat those of the first.
    let quad = i + 4u * select(pick & 3u, pick, TALL);
    var c0: Rows; var c1: Rows; var c2: Rows; var c3: Rows;
    var of_rows = vec4<f32>();
    var whole = tile.k_end;
    if TAIL { whole -= (tile.k_end - tile.k) % 4u; }
    for (var k = tile.k; k < whole; k += 4u) {
        let b0 = rows_of_b(tile.b, k, j0);
        var b1: mat4x4<f32>;
        if WIDE { b1 = rows_of_b(tile.b, k, j1); }
        if A_T {
            let m = quads_of_a(tile.a, quad, k);
            if SUMS { of_rows += vec4<f32>(1.0) * m; }
            eight(&c0, WIDE, b0, b1, subgroupBroadcast(m[0], 0u), subgroupBroadcast(m[1], 0u), subgroupBroadcast(m[2], 0u),
                subgroupBroadcast(m[3], 0u), subgroupBroadcast(m[0], 1u), subgroupBroadcast(m[1], 1u),
                subgroupBroadcast(m[2], 1u), subgroupBroadcast(m[3], 1u));
            eight(&c1, WIDE, b0, b1, subgroupBroadcast(m[0], 2u), subgroupBroadcast(m[1], 2u), subgroupBroadcast(m[2], 2u),
                subgroupBroadcast(m[3], 2u), subgroupBroadcast(m[0], 3u), subgroupBroadcast(m[1], 3u),
                subgroupBroadcast(m[2], 3u), subgroupBroadcast(m[3], 3u));
            if TALL {
                eight(&c2, WIDE, b0, b1, subgroupBroadcast(m[0], 4u), subgroupBroadcast(m[1], 4u), subgroupBroadcast(m[2], 4u),
                    subgroupBroadcast(m[3], 4u), subgroupBroadcast(m[0], 5u), subgroupBroadcast(m[1], 5u),
                    subgroupBroadcast(m[2], 5u), subgroupBroadcast(m[3], 5u));
                eight(&c3, WIDE, b0, b1, subgroupBroadcast(m[0], 6u), subgroupBroadcast(m[1], 6u), subgroupBroadcast(m[2], 6u),
                    subgroupBroadcast(m[3], 6u), subgroupBroadcast(m[0], 7u), subgroupBroadcast(m[1], 7u),
                    subgroupBroadcast(m[2], 7u), subgroupBroadcast(m[3], 7u));
            }
        } else {
            let c = k * p.a_col;
            spread(&c0, b0, b1, load_a(a0 + c));
            spread(&c1, b0, b1, load_a(a1 + c));
            if TALL {
                spread(&c2, b0, b1, load_a(a2 + c));
                spread(&c3, b0, b1, load_a(a3 + c));
            }
        }
    }
    if TAIL {
        for (var k = whole; k < tile.k_end; k++) {
            let b0 = edge_of_b(tile.b, k, j0);
            var b1: vec4<f32>;
            if WIDE { b1 = edge_of_b(tile.b, k, j1); }
            if SUMS { of_rows += edge_of_a(tile.a, quad, k); }
            let c = k * p.a_col;
            spread_one(&c0, WIDE, b0, b1, a_at(a0 + c));
            spread_one(&c1, WIDE, b0, b1, a_at(a1 + c));
            if TALL { spread_one(&c2, WIDE, b0, b1, a_at(a2 + c)); spread_one(&c3, WIDE, b0, b1, a_at(a3 + c)); }
        }
    }
    if SUMS && tile.column == 0u && lane < select(4u, 8u, TALL) {
        let at = tile.k / p.k_split * p.m + quad;
        if quad < p.m { sums[at] = of_rows.x; }
        if quad + 1u < p.m { sums[at + 1u] = of_rows.y; }
        if quad + 2u < p.m { sums[at + 2u] = of_rows.z; }
        if quad + 3u < p.m { sums[at + 3u] = of_rows.w; }
    }
    let e0 = biases(j);
    var e1: vec4<f32>;
    if WIDE { e1 = biases(j + 4u); }
    let count = min(8u, p.m - i);
    for (var r = 0u; r < count; r++) {
        store_first(tile.c, i + r, j, e0, e1, &c0);
        store_first(tile.c, i + r + 8u, j, e0, e1, &c1);
        if TALL {
            store_first(tile.c, i + r + 16u, j, e0, e1, &c2);
            store_first(tile.c, i + r + 24u, j, e0, e1, &c3);
        }
    }
}
