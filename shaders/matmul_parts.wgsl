// c[i] = the sum over the parts of a product that was cut along k, and what follows it
//   parts: [splits, n]; bias: one value for each of `columns`; other, c: n elements
// One invocation adds up one result, or four (quads, with n and columns in vec4), in the order of the parts: a loop of as
// many iterations.

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(0) var<storage, read> parts4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(1) var<storage, read> bias4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> other: array<f32>;
@group(0) @binding(2) var<storage, read> other4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<storage, read_write> c4: array<C4>;
@group(0) @binding(4) var<uniform> p: Params;

// Set by the lowering: C4, four of c, which kept_c makes; BIAS, whether there is one; EPILOGUE, what follows.

struct Params {
    n: u32,
    columns: u32,
    splits: u32,
}

@compute @workgroup_size(256)
fn matmul_parts(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n { return; }
    var sum = 0.0;
    for (var s = 0u; s < p.splits; s++) { sum += parts[s * p.n + i]; }
    if BIAS { sum += bias[i - divide(i, p.columns) * p.columns]; }
    if EPILOGUE > 1u { sum = epilogue4(EPILOGUE, vec4<f32>(sum), vec4<f32>(other[i])).x; }
    else if EPILOGUE == 1u { sum = epilogue4(EPILOGUE, vec4<f32>(sum), vec4<f32>()).x; }
    c[i] = sum;
}

@compute @workgroup_size(256)
fn matmul_parts_quads(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.n { return; }
    var sum = vec4<f32>();
    for (var s = 0u; s < p.splits; s++) { sum += parts4[s * p.n + i]; }
    if BIAS { sum += bias4[i - divide(i, p.columns) * p.columns]; }
    var more = vec4<f32>();
    if EPILOGUE > 1u { more = other4[i]; }
    c4[i] = kept_c(epilogue4(EPILOGUE, sum, more));
}
