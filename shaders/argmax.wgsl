// y[c, o] = the index of the largest of chunk c of the reduced elements of x, the first of equals, for output o
//   x: strided; candidates: indices [chunks before, n], read in the second stage; y: [chunks, n]
// One invocation takes one chunk of one output: at most 1,024 elements x 13 loop iterations. rows and columns read whole
// vec4, of the reduced elements of one output or of four outputs: at most 1,024 vec4 x 13 iterations.

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(0) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> candidates: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<i32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<i32>>;
@group(0) @binding(3) var<uniform> p: Reduce;

fn place_of(o: u32, r: u32) -> u32 { return start_of(o) + offset_of(r); }

// Values are compared by their place in the order of floats, in which NaN is the largest.
fn key_at(o: u32, r: u32) -> u32 { return order4(vec4<f32>(x[place_of(o, r)])).x; }

fn keys_at(o: u32, r: u32) -> vec4<u32> { return order4(x4[place_of(o, r) / 4u]); }

@compute @workgroup_size(256)
fn argmax_rows(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n * p.chunks { return; }
    let chunk = divide(i, p.n);
    let o = i - chunk * p.n;
    let first = chunk * p.chunk;
    // Each of the four keeps the first of its own; then the best of them, and of equals the first.
    var best = keys_at(o, first);
    var at = vec4<u32>(0u, 1u, 2u, 3u) + first;
    for (var r = first + 4u; r < min(first + p.chunk, p.count); r += 4u) {
        let value = keys_at(o, r);
        let wins = value > best;
        best = select(best, value, wins);
        at = select(at, vec4<u32>(r, r + 1u, r + 2u, r + 3u), wins);
    }
    let low = pair(best.xy, at.xy);
    let high = pair(best.zw, at.zw);
    let values = vec2<u32>(select(best.x, best.y, low == at.y), select(best.z, best.w, high == at.w));
    y[i] = i32(pair(values, vec2<u32>(low, high)));
}

// The index of the better of two, and of equals the lower one.
fn pair(value: vec2<u32>, at: vec2<u32>) -> u32 {
    if value.y > value.x { return at.y; }
    if value.x > value.y { return at.x; }
    return min(at.x, at.y);
}

@compute @workgroup_size(64)
fn argmax_columns(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let quads = p.n / 4u;
    if i >= quads * p.chunks { return; }
    let chunk = divide(i, quads);
    let o = (i - chunk * quads) * 4u;
    let first = chunk * p.chunk;
    var best = keys_at(o, first);
    var at = vec4<u32>(first);
    for (var r = first + 1u; r < min(first + p.chunk, p.count); r++) {
        let value = keys_at(o, r);
        let wins = value > best;
        best = select(best, value, wins);
        at = select(at, vec4<u32>(r), wins);
    }
    y4[i] = vec4<i32>(at);
}

@compute @workgroup_size(256)
fn argmax_first(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n * p.chunks { return; }
    let chunk = divide(i, p.n);
    let o = i - chunk * p.n;
    let first = chunk * p.chunk;
    var at = first;
    var best = key_at(o, first);
    for (var r = first + 1u; r < min(first + p.chunk, p.count); r++) {
        let value = key_at(o, r);
        if value > best {
            best = value;
            at = r;
        }
    }
    y[i] = i32(at);
}

@compute @workgroup_size(256)
fn argmax_again(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n * p.chunks { return; }
    let chunk = divide(i, p.n);
    let o = i - chunk * p.n;
    let first = chunk * p.chunk;
    var at = candidates[first * p.n + o];
    var best = key_at(o, u32(at));
    for (var c = first + 1u; c < min(first + p.chunk, p.count); c++) {
        let r = candidates[c * p.n + o];
        let value = key_at(o, u32(r));
        if value > best {
            best = value;
            at = r;
        }
    }
    y[i] = at;
}
