// dx[n, h, w, c] = dy of the window that holds the pixel, where its largest lies there, else 0
//   dy, at: [batch, oh, ow, channels]; dx: [batch, height, width, channels]; channels are multiples of 4
// For windows side by side that cover the image: one invocation takes four channels of one window and writes all of its
// pixels, kh * kw + kh iterations.

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> at: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Pool;

@compute @workgroup_size(256)
fn max_pool_windows(grid: Grid) {
    let i = index_of(grid);
    if i >= p.batch * p.out_h * p.out_w * (p.channels / 4u) { return; }
    let o = output_at(i * 4u, p);
    let slope = dy[i];
    let place = at[i];
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        let h = o.y * p.kernel_h + kh;
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let here = h * p.width + o.z * p.kernel_w + kw;
            let to = (o.x * p.height * p.width + here) * p.channels + o.w;
            dx[to / 4u] = select(vec4<f32>(), slope, place == vec4<i32>(i32(here)));
        }
    }
}
