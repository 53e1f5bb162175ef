// Stands before the files of convolutions without barriers: how the rows that a lane holds are stored, four at a time.
// The variants set WIDE.

fn store(r: u32, j: u32, b: vec4<f32>, sum: vec4<f32>) {
    if r < positions() && j < p.out_channels { put(r * p.out_channels + j, 1u, finish(b, sum)); }
}

fn store_four(r: u32, j: u32, b0: vec4<f32>, b1: vec4<f32>, c: ptr<function, Rows>) {
    if POOL {
        pool(r, j, b0, (*c)[0], (*c)[1], (*c)[2], (*c)[3]);
        if WIDE { pool(r, j + 4u, b1, (*c)[8], (*c)[9], (*c)[10], (*c)[11]); }
    } else {
        store(r + 0u, j, b0, (*c)[0]); if WIDE { store(r + 0u, j + 4u, b1, (*c)[8]); }
        store(r + 1u, j, b0, (*c)[1]); if WIDE { store(r + 1u, j + 4u, b1, (*c)[9]); }
        store(r + 2u, j, b0, (*c)[2]); if WIDE { store(r + 2u, j + 4u, b1, (*c)[10]); }
        store(r + 3u, j, b0, (*c)[3]); if WIDE { store(r + 3u, j + 4u, b1, (*c)[11]); }
    }
}
