// y[i] = f(a[i], b[i]) of whole numbers, which wrap around in 32 bits
//   a, b: strided operands; y: dense, n elements of type Y
// quads: one invocation takes four neighbours, or one for all four, p in steps of vec4 but for those: four_a and four_b read
// them; strided: one element. The greatest common divisor takes at most 48 iterations, all else none. The function, f4, and what
// reads four are set by the variant, and so is Y, i32 or f32.

@group(0) @binding(0) var<storage, read> a: array<i32>;
@group(0) @binding(0) var<storage, read> a4: array<vec4<i32>>;
@group(0) @binding(1) var<storage, read> b: array<i32>;
@group(0) @binding(1) var<storage, read> b4: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read_write> y: array<Y>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<Y>>;
@group(0) @binding(3) var<uniform> p: Strided;

// Towards 0; by 0 it is 0. The one quotient that 32 bits do not hold wraps around.
fn quotient4(a: vec4<i32>, b: vec4<i32>) -> vec4<i32> {
    let is_plain = (b < vec4<i32>(-1)) | (b > vec4<i32>());
    let plain = a / select(vec4<i32>(1), b, is_plain);
    return select(select(-a, vec4<i32>(), b == vec4<i32>()), plain, is_plain);
}

// With the sign of a; by 0 it is 0.
fn rest4(a: vec4<i32>, b: vec4<i32>) -> vec4<i32> {
    return select(a - quotient4(a, b) * b, vec4<i32>(), b == vec4<i32>());
}

// Whether the quotient towards 0 is above the one that is rounded down.
fn is_above4(a: vec4<i32>, b: vec4<i32>) -> vec4<bool> {
    let left = rest4(a, b);
    return (left != vec4<i32>()) & ((left < vec4<i32>()) != (b < vec4<i32>()));
}

fn left4(a: vec4<i32>, b: vec4<i32>) -> vec4<i32> {
    return select(vec4<i32>(), a << (vec4<u32>(b) & vec4<u32>(31u)), vec4<u32>(b) < vec4<u32>(32u));
}

fn right4(a: vec4<i32>, b: vec4<i32>) -> vec4<i32> {
    return a >> select(vec4<u32>(31u), vec4<u32>(b), vec4<u32>(b) < vec4<u32>(32u));
}

// By Euclid's rule.
fn gcd4(a: vec4<i32>, b: vec4<i32>) -> vec4<i32> {
    var x = abs(a);
    var y = abs(b);
    for (var i = 0u; i < 48u; i++) {
        let is_done = y == vec4<i32>();
        if all(is_done) { break; }
        let left = rest4(x, y);
        x = select(y, x, is_done);
        y = left;
    }
    return x;
}

@compute @workgroup_size(256)
fn integers_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y4[i] = f4(four_a(at.x), four_b(at.y));
    }
}

@compute @workgroup_size(256)
fn integers_strided(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i < p.n {
        let at = offsets(i, p);
        y[i] = f4(vec4<i32>(a[at.x]), vec4<i32>(b[at.y])).x;
    }
}
