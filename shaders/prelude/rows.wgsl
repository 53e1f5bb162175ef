// Stands before the files of products without barriers.

// Eight rows of results of a product without barriers, as one lane holds them: four columns of each row, and with wide
// rows four more from index 8 on.
alias Rows = array<vec4<f32>, 16>;

// sum + a b. The four products are added up before they meet the sum: half the rounding error of one long chain.
fn multiply(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + fma(vec4<f32>(a.w), b[3], fma(vec4<f32>(a.z), b[2], fma(vec4<f32>(a.y), b[1], a.x * b[0])));
}

// Adds the products of four k to eight rows: r0 to r7 are the rows of a, b0 and b1 the lane's columns of b.
fn eight(c: ptr<function, Rows>, wide: bool, b0: mat4x4<f32>, b1: mat4x4<f32>, r0: vec4<f32>, r1: vec4<f32>,
    r2: vec4<f32>, r3: vec4<f32>, r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32>) {
    (*c)[0] = multiply((*c)[0], r0, b0); if wide { (*c)[8] = multiply((*c)[8], r0, b1); }
    (*c)[1] = multiply((*c)[1], r1, b0); if wide { (*c)[9] = multiply((*c)[9], r1, b1); }
    (*c)[2] = multiply((*c)[2], r2, b0); if wide { (*c)[10] = multiply((*c)[10], r2, b1); }
    (*c)[3] = multiply((*c)[3], r3, b0); if wide { (*c)[11] = multiply((*c)[11], r3, b1); }
    (*c)[4] = multiply((*c)[4], r4, b0); if wide { (*c)[12] = multiply((*c)[12], r4, b1); }
    (*c)[5] = multiply((*c)[5], r5, b0); if wide { (*c)[13] = multiply((*c)[13], r5, b1); }
    (*c)[6] = multiply((*c)[6], r6, b0); if wide { (*c)[14] = multiply((*c)[14], r6, b1); }
    (*c)[7] = multiply((*c)[7], r7, b0); if wide { (*c)[15] = multiply((*c)[15], r7, b1); }
}

