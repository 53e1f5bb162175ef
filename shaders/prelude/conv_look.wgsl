// Stands before the files of convolutions that look each pixel up by itself. The files bind x, of elements IN.

// Where a position's pixel under a tap starts, and whether it lies in the image.
fn look(o: vec3<u32>, kh: u32, kw: u32) -> vec2<u32> {
    // In unsigned numbers, what lies before 0 is far past the end.
    let h = o.y * p.stride_h + kh * p.dilation_h - p.padding_h;
    let v = o.z * p.stride_w + kw * p.dilation_w - p.padding_w;
    let inside = h < p.height && v < p.width;
    return vec2<u32>(select(0u, (p.x_base + o.x * p.x_n + h * p.x_h + v * p.x_w) / 4u, inside), select(0u, 1u, inside));
}

fn pixels(l: vec2<u32>, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), load_IN(x[l.x + c]), l.y == 1u);
}
