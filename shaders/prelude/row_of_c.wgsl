// Stands before the files of products of tiles: how four results of a row are stored. The files bind bias4, other4 and c4; their
// variants set BIAS, EPILOGUE, C4 and kept_c.

// Where the columns of c are whole vec4.
fn store_row4(here: Tile, i: u32, j: u32, y: vec4<f32>) {
    if i >= p.m || here.batch >= p.batches || j >= p.n { return; }
    let at = (here.c + i * p.c_row + j) / 4u;
    var sum = y; var more = vec4<f32>();
    if BIAS { sum += bias4[j / 4u]; }
    if EPILOGUE > 1u { more = other4[at]; }
    c4[at] = kept_c(epilogue4(EPILOGUE, sum, more));
}

