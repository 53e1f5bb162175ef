//! Work of twins over the host's threads. Pieces are cut by shape alone, so that the bits never depend on the machine.

/// Elements that one thread takes at a time in element-wise twins.
pub const GRAIN: usize = 16 << 10;

/// Calls `each` with the number and the slice of every piece of `chunk` elements of `out`; the last may be shorter.
pub fn chunks<T: Send>(out: &mut [T], chunk: usize, each: impl Fn(usize, &mut [T]) + Sync) {
    let chunk = chunk.max(1);
    #[cfg(feature = "rayon")]
    if out.len() > chunk {
        use rayon::prelude::*;
        out.par_chunks_mut(chunk).enumerate().for_each(|(at, piece)| each(at, piece));
        return;
    }
    for (at, piece) in out.chunks_mut(chunk).enumerate() {
        each(at, piece);
    }
}

/// Sets every element of `out` from its index, in pieces.
pub fn fill<T: Send>(out: &mut [T], each: impl Fn(usize) -> T + Sync) {
    chunks(out, GRAIN, |piece, out| {
        for (i, y) in out.iter_mut().enumerate() {
            *y = each(piece * GRAIN + i);
        }
    });
}
