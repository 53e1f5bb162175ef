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


// Sends the numbers that eight lanes hold round, and adds their products at one k to eight rows.
fn spread_one(c: ptr<function, Rows>, wide: bool, b0: vec4<f32>, b1: vec4<f32>, s: f32) {
    let r0 = vec4<f32>(subgroupBroadcast(s, 0u));
    (*c)[0] = fma(r0, b0, (*c)[0]); if wide { (*c)[8] = fma(r0, b1, (*c)[8]); }
    let r1 = vec4<f32>(subgroupBroadcast(s, 1u));
    (*c)[1] = fma(r1, b0, (*c)[1]); if wide { (*c)[9] = fma(r1, b1, (*c)[9]); }
    let r2 = vec4<f32>(subgroupBroadcast(s, 2u));
    (*c)[2] = fma(r2, b0, (*c)[2]); if wide { (*c)[10] = fma(r2, b1, (*c)[10]); }
    let r3 = vec4<f32>(subgroupBroadcast(s, 3u));
    (*c)[3] = fma(r3, b0, (*c)[3]); if wide { (*c)[11] = fma(r3, b1, (*c)[11]); }
    let r4 = vec4<f32>(subgroupBroadcast(s, 4u));
    (*c)[4] = fma(r4, b0, (*c)[4]); if wide { (*c)[12] = fma(r4, b1, (*c)[12]); }
    let r5 = vec4<f32>(subgroupBroadcast(s, 5u));
    (*c)[5] = fma(r5, b0, (*c)[5]); if wide { (*c)[13] = fma(r5, b1, (*c)[13]); }
    let r6 = vec4<f32>(subgroupBroadcast(s, 6u));
    (*c)[6] = fma(r6, b0, (*c)[6]); if wide { (*c)[14] = fma(r6, b1, (*c)[14]); }
    let r7 = vec4<f32>(subgroupBroadcast(s, 7u));
    (*c)[7] = fma(r7, b0, (*c)[7]); if wide { (*c)[15] = fma(r7, b1, (*c)[15]); }
}

// Rows are stored by loops that take the first ones and move the others up. Text for each row would take longer to
// compile than the products, since every store becomes a loop over lanes; an index that is no constant would keep the
// rows in memory.

// Moves the rows up by one.
fn up_one(c: ptr<function, Rows>, wide: bool) {
    (*c)[0] = (*c)[1]; if wide { (*c)[8] = (*c)[9]; }
    (*c)[1] = (*c)[2]; if wide { (*c)[9] = (*c)[10]; }
    (*c)[2] = (*c)[3]; if wide { (*c)[10] = (*c)[11]; }
    (*c)[3] = (*c)[4]; if wide { (*c)[11] = (*c)[12]; }
    (*c)[4] = (*c)[5]; if wide { (*c)[12] = (*c)[13]; }
    (*c)[5] = (*c)[6]; if wide { (*c)[13] = (*c)[14]; }
    (*c)[6] = (*c)[7]; if wide { (*c)[14] = (*c)[15]; }
}

// Moves the rows up by four; the last four stay as well.
fn last_four(c: ptr<function, Rows>, wide: bool) {
    (*c)[0] = (*c)[4]; if wide { (*c)[8] = (*c)[12]; }
    (*c)[1] = (*c)[5]; if wide { (*c)[9] = (*c)[13]; }
    (*c)[2] = (*c)[6]; if wide { (*c)[10] = (*c)[14]; }
    (*c)[3] = (*c)[7]; if wide { (*c)[11] = (*c)[15]; }
}

// Moves the rows up by four; the first four of `after` follow.
fn up_four(c: ptr<function, Rows>, wide: bool, after: ptr<function, Rows>) {
    last_four(c, wide);
    (*c)[4] = (*after)[0]; if wide { (*c)[12] = (*after)[8]; }
    (*c)[5] = (*after)[1]; if wide { (*c)[13] = (*after)[9]; }
    (*c)[6] = (*after)[2]; if wide { (*c)[14] = (*after)[10]; }
    (*c)[7] = (*after)[3]; if wide { (*c)[15] = (*after)[11]; }
}
