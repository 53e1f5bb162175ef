// delta = the sum of dy y over each row, which the gradients of attention share
//   y, dy: [batch, heads, queries, 4 quads] by strides, of types Y and DY; delta: [batch, queries, heads]
// An invocation takes a row: as many iterations as it has vec4.

@group(0) @binding(0) var<storage, read> y: array<Y>;
@group(0) @binding(1) var<storage, read> dy: array<DY>;
@group(0) @binding(2) var<storage, read_write> delta: array<f32>;
@group(0) @binding(3) var<uniform> p: Attention;

@compute @workgroup_size(256)
fn attention_delta(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.queries * p.heads * p.batch { return; }
    let both = divide(i, p.heads);
    let batch = divide(both, p.queries);
    let place = Place(batch, i - both * p.heads, 0u, true);
    let row = both - batch * p.queries;
    let of_y = first_of(p.y, place) + row * p.y.w;
    let of_dy = first_of(p.dy, place) + row * p.dy.w;
    var along = vec4<f32>();
    for (var d = 0u; d < p.quads; d++) { along += load_Y(y[of_y + d]) * load_DY(dy[of_dy + d]); }
    delta[i] = dot(along, vec4<f32>(1.0));
}
