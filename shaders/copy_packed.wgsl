// y[to] = x[from] for elements of 1, 2, 4 or 8 bytes, packed in words, the first in the lowest bits
//   x: strided; y: dense (copy) or strided (copy_into)
// copy: one invocation moves four neighbours, which are whole words of y. copy_into: one moves one element, and changes its bits
// alone, by atomics, since others may change the rest of the word. BYTES is set by the variant. No loops.

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<storage, read_write> shared_y: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Strided;

fn element(i: u32) -> vec2<u32> {
    if BYTES == 8u { return vec2<u32>(x[2u * i], x[2u * i + 1u]); }
    if BYTES == 4u { return vec2<u32>(x[i], 0u); }
    if BYTES == 2u { return vec2<u32>((x[i / 2u] >> (i % 2u * 16u)) & 0xffffu, 0u); }
    return vec2<u32>((x[i / 4u] >> (i % 4u * 8u)) & 0xffu, 0u);
}

fn picked(i: u32) -> vec2<u32> { return element(offsets(min(i, p.n - 1u), p).x); }

fn put_whole(i: u32, v: vec2<u32>) {
    if i >= p.n { return; }
    y[2u * i] = v.x;
    y[2u * i + 1u] = v.y;
}

@compute @workgroup_size(256)
fn copy_packed(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread) * 4u;
    if i >= p.n { return; }
    let a = picked(i);
    let b = picked(i + 1u);
    let c = picked(i + 2u);
    let d = picked(i + 3u);
    if BYTES == 8u {
        put_whole(i, a);
        put_whole(i + 1u, b);
        put_whole(i + 2u, c);
        put_whole(i + 3u, d);
    } else if BYTES == 4u {
        y[i] = a.x;
        if i + 1u < p.n { y[i + 1u] = b.x; }
        if i + 2u < p.n { y[i + 2u] = c.x; }
        if i + 3u < p.n { y[i + 3u] = d.x; }
    } else if BYTES == 2u {
        y[i / 2u] = a.x | (b.x << 16u);
        y[i / 2u + 1u] = c.x | (d.x << 16u);
    } else {
        y[i / 4u] = a.x | (b.x << 8u) | (c.x << 16u) | (d.x << 24u);
    }
}

@compute @workgroup_size(256)
fn copy_into_packed(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n { return; }
    let at = offsets(i, p);
    let v = element(at.x);
    if BYTES == 8u {
        atomicStore(&shared_y[2u * at.y], v.x);
        atomicStore(&shared_y[2u * at.y + 1u], v.y);
        return;
    }
    let each = max(4u / BYTES, 1u);
    let shift = at.y % each * BYTES * 8u;
    let mask = select(0xffu, 0xffffu, BYTES == 2u) << shift;
    atomicAnd(&shared_y[at.y / each], ~mask | (v.x << shift));
    atomicOr(&shared_y[at.y / each], v.x << shift);
}
