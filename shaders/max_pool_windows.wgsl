// dx[n, h, w, c] = dy of the window that holds the pixel, where its largest lies there, else 0
//   dy: strided [batch, channels, oh, ow]; at: [batch, oh, ow, channels]; dx: [batch, height, width, channels]
//   y: strided, what a relu and the pooling gave: with RELU, only what passes that relu
// Channels are multiples of 4. dy, y and dx are of types DY, Y and DX.
// For windows side by side that cover the image: one invocation takes four channels of one window and writes all of its
// pixels, kh * kw + kh iterations.

@group(0) @binding(0) var<storage, read> dy: array<DY>;
@group(0) @binding(1) var<storage, read> at: array<PLACES>;
@group(0) @binding(2) var<storage, read> y: array<Y>;
@group(0) @binding(3) var<storage, read_write> dx: array<DX>;
@group(0) @binding(4) var<uniform> p: Pool;

// Set by the lowering: RELU; DY_QUADS and Y_QUADS, whether four channels of dy and y are one vec4; PLACES, four
// places as they are kept, of which places_of makes numbers.

fn dy_at(at: u32) -> f32 { return wide_DY(dy[at / 4u])[at % 4u]; }
fn y_at(at: u32) -> f32 { return wide_Y(y[at / 4u])[at % 4u]; }

@compute @workgroup_size(256)
fn max_pool_windows(grid: Grid, @builtin(local_invocation_index) thread: u32) {
    let i = index_of(grid, thread);
    if i >= p.batch * p.out_h * p.out_w * (p.channels / 4u) { return; }
    let o = output_at(i * 4u, p);
    let start = o.x * p.dy_n + o.w * p.dy_c + o.y * p.dy_h + o.z * p.dy_w;
    var slope: vec4<f32>;
    if DY_QUADS { slope = wide_DY(dy[start / 4u]); } else {
        slope = vec4<f32>(dy_at(start), dy_at(start + p.dy_c), dy_at(start + 2u * p.dy_c), dy_at(start + 3u * p.dy_c));
    }
    if RELU {
        let own = o.x * p.y_n + o.w * p.y_c + o.y * p.y_h + o.z * p.y_w;
        if Y_QUADS { slope = past_relu4(slope, wide_Y(y[own / 4u])); } else {
            slope = past_relu4(slope, vec4<f32>(y_at(own), y_at(own + p.y_c), y_at(own + 2u * p.y_c), y_at(own + 3u * p.y_c)));
        }
    }
    let place = places_of(at[i]);
    for (var kh = 0u; kh < p.kernel_h; kh++) {
        let h = o.y * p.kernel_h + kh;
        for (var kw = 0u; kw < p.kernel_w; kw++) {
            let here = h * p.size_w + o.z * p.kernel_w + kw;
            let to = (o.x * p.size_h * p.size_w + here) * p.channels + o.w;
            dx[to / 4u] = narrow_DX(select(vec4<f32>(), slope, place == vec4<u32>(kh * p.kernel_w + kw)));
        }
    }
}
