// Stands before the files of products, in the place of `epilogue.wgsl`.

// What follows a product before it is stored: the product with the slope at `other` of a function, in the order of
// `SLOPES` in src/ops/matmul/epilogue.rs. `epilogue` is a constant of the module.
fn epilogue4(epilogue: u32, c: vec4<f32>, other: vec4<f32>) -> vec4<f32> {
    switch epilogue {
        case 4u: { return c * tanh_slope4(other); }
        case 5u: { return c * sigmoid_slope4(other); }
        case 6u: { return c * gelu_slope4(other); }
        case 7u: { return c * gelu_tanh_slope4(other); }
        case 8u: { return c * silu_slope4(other); }
        default: { return c; }
    }
}

