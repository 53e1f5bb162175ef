//! Work of twins over the host's threads. Pieces are cut by shape alone, so that the bits never depend on the machine.

/// Elements that one thread takes at a time in element-wise twins.
pub const GRAIN: usize = 16 << 10;

/// Calls `each` with the number and the slice of every piece of `chunk` elements of `out`; the last may be shorter.
pub fn chunks<T: Send>(out: &mut [T], chunk: usize, each: impl Fn(usize, &mut [T]) + Sync) {
    pieces(out, chunk.max(1), &each);
}

/// One instance for each element type: with one for each twin, the crate would take half as long again to build.
fn pieces<T: Send>(out: &mut [T], chunk: usize, each: &(dyn Fn(usize, &mut [T]) + Sync)) {
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

/// [`chunks`] of two slices side by side, cut into the same number of pieces.
pub fn chunks2<A: Send, B: Send>(
    a: &mut [A],
    b: &mut [B],
    chunk: usize,
    each: impl Fn(usize, &mut [A], &mut [B]) + Sync,
) {
    assert!(a.len() == b.len(), "chunks2: {} elements beside {}", a.len(), b.len());
    let chunk = chunk.max(1);
    #[cfg(feature = "rayon")]
    if a.len() > chunk {
        use rayon::prelude::*;
        let pieces = a.par_chunks_mut(chunk).zip(b.par_chunks_mut(chunk)).enumerate();
        pieces.for_each(|(at, (a, b))| each(at, a, b));
        return;
    }
    for (at, (a, b)) in a.chunks_mut(chunk).zip(b.chunks_mut(chunk)).enumerate() {
        each(at, a, b);
    }
}
