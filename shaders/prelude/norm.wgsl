// Stands before the files of layer normalisation.

// Rows that are normalised, and how the sums over them are cut.
struct Norm {
    rows: u32,
    cols: u32,
    // rows of one part of the sums over rows, or of one workgroup, and the parts
    chunk: u32,
    parts: u32,
    eps: f32,
    // for the host
    add: u32,
}

// ITEM and WIDTH are set by the variant: a vec4 and 4 where cols is a multiple of 4, else a float and 1.

// The sum of an item's columns.
fn sum_of(v: ITEM) -> f32 {
    return dot(vec4<f32>(v), select(vec4<f32>(1.0, 0.0, 0.0, 0.0), vec4<f32>(1.0), WIDTH == 4u));
}
