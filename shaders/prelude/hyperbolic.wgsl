// Stands before the files with hyperbolic functions, which WGSL leaves as coarse as exp.

// Half of e^x, which overflows where the whole does not.
fn half_exp4(x: vec4<f32>) -> vec4<f32> {
    return select(0.5 * exp4(x), exp4(x - 0.6931472), x > vec4<f32>(80.0));
}

fn sinh4(x: vec4<f32>) -> vec4<f32> {
    let z = x * x;
    let near = x + x * z * (0.166667160211 + z * (0.00833028376239 + z * 0.000203721912945));
    let far = half_exp4(abs(x)) - half_exp4(-abs(x));
    return select(select(far, -far, x < vec4<f32>()), near, abs(x) < vec4<f32>(1.0));
}

fn cosh4(x: vec4<f32>) -> vec4<f32> {
    return half_exp4(abs(x)) + half_exp4(-abs(x));
}
