// Stands before the files of convolutions of few output channels: a lane holds all of them, up to four quads (QUADS, which the
// variants set).

// Four rows by up to four quads: those of a quad follow each other.
alias Sums = array<vec4<f32>, 16>;

// Four vec4 of each quad.
struct Quads {
    q0: mat4x4<f32>,
    q1: mat4x4<f32>,
    q2: mat4x4<f32>,
    q3: mat4x4<f32>,
}

fn first_four(v: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}

fn last_four_of(v: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}

// What eight lanes hold, sent round: four vec4 of the first quad and four of the second, and of the others.
fn quads_of(v: vec4<f32>, more: vec4<f32>) -> Quads {
    var b: Quads;
    b.q0 = first_four(v);
    if QUADS > 1u { b.q1 = last_four_of(v); }
    if QUADS > 2u { b.q2 = first_four(more); }
    if QUADS > 3u { b.q3 = last_four_of(more); }
    return b;
}

// Adds the products of four rows.
fn add(c: ptr<function, Sums>, b: Quads, r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>) {
    (*c)[0] = multiply((*c)[0], r0, b.q0);
    (*c)[1] = multiply((*c)[1], r1, b.q0);
    (*c)[2] = multiply((*c)[2], r2, b.q0);
    (*c)[3] = multiply((*c)[3], r3, b.q0);
    if QUADS > 1u {
        (*c)[4] = multiply((*c)[4], r0, b.q1);
        (*c)[5] = multiply((*c)[5], r1, b.q1);
        (*c)[6] = multiply((*c)[6], r2, b.q1);
        (*c)[7] = multiply((*c)[7], r3, b.q1);
    }
    if QUADS > 2u {
        (*c)[8] = multiply((*c)[8], r0, b.q2);
        (*c)[9] = multiply((*c)[9], r1, b.q2);
        (*c)[10] = multiply((*c)[10], r2, b.q2);
        (*c)[11] = multiply((*c)[11], r3, b.q2);
    }
    if QUADS > 3u {
        (*c)[12] = multiply((*c)[12], r0, b.q3);
        (*c)[13] = multiply((*c)[13], r1, b.q3);
        (*c)[14] = multiply((*c)[14], r2, b.q3);
        (*c)[15] = multiply((*c)[15], r3, b.q3);
    }
}

// Moves the rows up by one; the last stays as well.
fn up_last(c: ptr<function, Sums>) {
    (*c)[0] = (*c)[1]; (*c)[1] = (*c)[2]; (*c)[2] = (*c)[3];
    if QUADS > 1u { (*c)[4] = (*c)[5]; (*c)[5] = (*c)[6]; (*c)[6] = (*c)[7]; }
    if QUADS > 2u { (*c)[8] = (*c)[9]; (*c)[9] = (*c)[10]; (*c)[10] = (*c)[11]; }
    if QUADS > 3u { (*c)[12] = (*c)[13]; (*c)[13] = (*c)[14]; (*c)[14] = (*c)[15]; }
}
