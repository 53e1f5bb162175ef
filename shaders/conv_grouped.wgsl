// y[r, o] = sum over taps (kh, kw) and the channels c of o's group of x[n, h, w, c] * w[kh, kw, c within the group, o],
// where output position r = (n, oh, ow) sees the pixel h = oh * stride + kh * dilation - padding, w likewise; 0 outside
//   x: channels last, strided rows and columns; w: [kh, kw, channels / groups, out_channels]; bias: [out_channels];
//   y: [positions, out_channels]; x and y of types IN and OUT
// A group's product is too small for tiles: one invocation takes four channels of a group at eight positions, so that each
// weight is read once for these. Channels and results of a group are multiples of 4.
// Iterations: kh * kw * channels / groups / 4.

@group(0) @binding(0) var<storage, read> x: array<IN>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<E_WORD>;
@group(0) @binding(3) var<storage, read_write> y: array<OUT_WORD>;
@group(0) @binding(4) var<storage, read_write> at: array<u32>;
@group(0) @binding(5) var<uniform> p: Conv;

// Set by the variant: BIAS and RELU, what follows; POOL is false.

fn store(r: u32, o: u32, b: vec4<f32>, sum: vec4<f32>) {
    if r < positions() { put(r * p.out_channels + o, 1u, finish(b, sum)); }
}

@compute @workgroup_size(64)
fn conv_grouped(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = group_of(grid) * 64u + thread;
    let step = p.out_channels / 4u;
    let strip = divide(i, step);
    let j = i - strip * step;
    let r = strip * 8u;
    if r >= positions() { return; }
    let quads = p.channels / p.groups / 4u;
    let first = divide(4u * j, p.out_channels / p.groups) * quads;
    let o0 = place(r); let o1 = place(r + 1u); let o2 = place(r + 2u); let o3 = place(r + 3u);
    let o4 = place(r + 4u); let o5 = place(r + 5u); let o6 = place(r + 6u); let o7 = place(r + 7u);
    var s0: vec4<f32>; var s1: vec4<f32>; var s2: vec4<f32>; var s3: vec4<f32>;
    var s4: vec4<f32>; var s5: vec4<f32>; var s6: vec4<f32>; var s7: vec4<f32>;
    var k = j;
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let l0 = look(o0, kh, kw); let l1 = look(o1, kh, kw); let l2 = look(o2, kh, kw); let l3 = look(o3, kh, kw);
            let l4 = look(o4, kh, kw); let l5 = look(o5, kh, kw); let l6 = look(o6, kh, kw); let l7 = look(o7, kh, kw);
            for (var c = first; c < first + quads; c++) {
                let b = mat4x4<f32>(w[k], w[k + step], w[k + 2u * step], w[k + 3u * step]);
                s0 += b * pixels(l0, c);
                s1 += b * pixels(l1, c);
                s2 += b * pixels(l2, c);
                s3 += b * pixels(l3, c);
                s4 += b * pixels(l4, c);
                s5 += b * pixels(l5, c);
                s6 += b * pixels(l6, c);
                s7 += b * pixels(l7, c);
                k += 4u * step;
            }
        }
    }
    let o = 4u * j;
    let e = biases(o);
    store(r, o, e, s0); store(r + 1u, o, e, s1); store(r + 2u, o, e, s2); store(r + 3u, o, e, s3);
    store(r + 4u, o, e, s4); store(r + 5u, o, e, s5); store(r + 6u, o, e, s6); store(r + 7u, o, e, s7);
}
