// Stands before the files of products. The functions that are quickly compiled; `epilogue_slopes.wgsl` has all.

// What follows a product before it is stored: 0 nothing, 1 relu, 2 the sum with `other`, 3 what of it passes a relu that gave `other`.
// `epilogue` is a constant of the module, but every store carries all of this until a compiler has seen that.
fn epilogue4(epilogue: u32, c: vec4<f32>, other: vec4<f32>) -> vec4<f32> {
    var y = c;
    if epilogue == 1u { y = relu4(c); }
    if epilogue == 2u { y = c + other; }
    if epilogue == 3u { y = past_relu4(c, other); }
    return y;
}

