//! Work of kernels over the host's threads. Pieces are cut by shape alone where the cut shows in the bits, which never
//! depend on the machine's threads.

/// Elements that one thread takes at a time in element-wise kernels.
pub const GRAIN: usize = 16 << 10;

/// The crate's own threads. Only pieces of kernels and lists of them run on them, which wait for nothing but other
/// pieces: a thread that waits there may take up any of them. A user's threads, rayon's among them, wait outside.
#[cfg(feature = "rayon")]
fn pool() -> Option<&'static rayon::ThreadPool> {
    static POOL: std::sync::OnceLock<Option<rayon::ThreadPool>> = std::sync::OnceLock::new();
    let build = || rayon::ThreadPoolBuilder::new().thread_name(|at| format!("wgrad {at}")).build().ok();
    POOL.get_or_init(build).as_ref().filter(|pool| pool.current_num_threads() > 1)
}

/// How many pieces run at once. Only what does not change the bits may be chosen by it.
pub fn threads() -> usize {
    #[cfg(feature = "rayon")]
    if let Some(pool) = pool() {
        return pool.current_num_threads();
    }
    1
}

/// Runs `work` where starting a piece of it on another thread costs least: for many kernels in a row.
pub fn inside<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let (mut work, mut result) = (Some(work), None);
    on_pool(&mut || result = work.take().map(|work| work()));
    result.expect("the pool runs what it is given")
}

/// One instance for all work.
fn on_pool(work: &mut (dyn FnMut() + Send)) {
    #[cfg(feature = "rayon")]
    if let Some(pool) = pool().filter(|pool| pool.current_thread_index().is_none()) {
        if rayon::current_thread_index().is_none() {
            return pool.install(work);
        }
        // A thread of another pool would take up other work of that pool while it waits, which may want what this holds.
        let done = std::thread::scope(|scope| scope.spawn(|| pool.install(work)).join());
        return done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    work();
}

/// Both, at once where there are threads.
fn both(left: impl FnOnce() + Send, right: impl FnOnce() + Send) {
    #[cfg(feature = "rayon")]
    if pool().is_some() {
        rayon::join(left, right);
        return;
    }
    left();
    right();
}

/// Calls `each`, compiled for the vectors that this processor has as well as for those that every one of its kind has. The
/// bits are the same: nothing is added up in another order, and no product is joined to a sum. What is long and loops over
/// elements has to be `#[inline(always)]`, closures too, or it is compiled for the least of them.
#[multiversion::multiversion(targets(
    "x86_64+avx+avx2+bmi1+bmi2+fma+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx+avx2+bmi1+bmi2+fma"
))]
fn wide<E: Fn(usize, P), P>(each: E, at: usize, pieces: P) {
    // By reference: the shim of a closure that is called by value is compiled by itself.
    let each = &each;
    each(at, pieces);
}

/// Calls `each` with the number and the slice of every piece of `chunk` elements of `out`; the last may be shorter.
#[inline(always)]
pub fn chunks<T: Send>(out: &mut [T], chunk: usize, each: impl Fn(usize, &mut [T]) + Sync) {
    pieces(out, chunk.max(1), &|at, piece: &mut [T]| {
        wide(
            #[inline(always)]
            |at, piece: &mut [T]| each(at, piece),
            at,
            piece,
        );
    });
}

/// One instance for each element type: with one for each kernel, the crate would take half as long again to build.
fn pieces<T: Send>(out: &mut [T], chunk: usize, each: &(dyn Fn(usize, &mut [T]) + Sync)) {
    #[cfg(feature = "rayon")]
    if out.len() > chunk && pool().is_some() {
        use rayon::prelude::*;
        return inside(|| out.par_chunks_mut(chunk).enumerate().for_each(|(at, piece)| each(at, piece)));
    }
    for (at, piece) in out.chunks_mut(chunk).enumerate() {
        each(at, piece);
    }
}

/// [`chunks`] of rows that are little work each: a thread takes many at a time, and few of them stay where they are.
#[inline(always)]
pub fn rows<T: Send>(out: &mut [T], row: usize, each: impl Fn(usize, &mut [T]) + Sync) {
    let row = row.max(1);
    let many = (GRAIN / 4 / row).max(1);
    chunks(
        out,
        many * row,
        #[inline(always)]
        |piece, out| {
            for (at, out) in out.chunks_mut(row).enumerate() {
                each(piece * many + at, out);
            }
        },
    );
}

/// Sets every element of `out` from its index, in pieces.
#[inline(always)]
pub fn fill<T: Send>(out: &mut [T], each: impl Fn(usize) -> T + Sync) {
    chunks(
        out,
        GRAIN,
        #[inline(always)]
        |piece, out| {
            for (i, y) in out.iter_mut().enumerate() {
                *y = each(piece * GRAIN + i);
            }
        },
    );
}

/// Sets every element of `out` from that of `x`, in pieces.
#[inline(always)]
pub fn map<X: Copy + Sync, Y: Send>(out: &mut [Y], x: &[X], f: impl Fn(X) -> Y + Sync) {
    let x = &x[..out.len()];
    chunks(
        out,
        GRAIN,
        #[inline(always)]
        |piece, out| {
            for (y, x) in out.iter_mut().zip(&x[piece * GRAIN..]) {
                *y = f(*x);
            }
        },
    );
}

/// [`map`] of two slices.
#[inline(always)]
pub fn map2<X: Copy + Sync, Y: Send>(out: &mut [Y], a: &[X], b: &[X], f: impl Fn(X, X) -> Y + Sync) {
    let (a, b) = (&a[..out.len()], &b[..out.len()]);
    chunks(
        out,
        GRAIN,
        #[inline(always)]
        |piece, out| {
            let first = piece * GRAIN;
            for ((y, a), b) in out.iter_mut().zip(&a[first..]).zip(&b[first..]) {
                *y = f(*a, *b);
            }
        },
    );
}

/// [`chunks`] of several slices side by side, which are of one length.
pub fn chunks_of<T: Send, const N: usize>(
    outs: [&mut [T]; N],
    chunk: usize,
    each: impl Fn(usize, [&mut [T]; N]) + Sync,
) {
    let len = outs[0].len();
    assert!(outs.iter().all(|out| out.len() == len), "chunks_of: the slices differ in length");
    match len {
        0 => {}
        _ if len <= chunk => wide(
            #[inline(always)]
            |at, outs| {
                each(at, outs);
            },
            0,
            outs,
        ),
        _ => inside(|| {
            halves(outs, 0, chunk.max(1), &|at, outs: [&mut [T]; N]| {
                wide(
                    #[inline(always)]
                    |at, outs| {
                        each(at, outs);
                    },
                    at,
                    outs,
                );
            })
        }),
    }
}

fn halves<T: Send, const N: usize>(
    outs: [&mut [T]; N],
    first: usize,
    chunk: usize,
    each: &(dyn Fn(usize, [&mut [T]; N]) + Sync),
) {
    let pieces = outs[0].len().div_ceil(chunk);
    if pieces <= 1 {
        return each(first, outs);
    }
    let mut left = outs;
    let right = left.each_mut().map(|out| {
        let (head, tail) = std::mem::take(out).split_at_mut(pieces / 2 * chunk);
        *out = head;
        tail
    });
    both(|| halves(left, first, chunk, each), || halves(right, first + pieces / 2, chunk, each));
}

/// [`chunks`] of two slices side by side, cut into the same number of pieces.
#[inline(always)]
pub fn chunks2<A: Send, B: Send>(
    a: &mut [A],
    b: &mut [B],
    chunk: usize,
    each: impl Fn(usize, &mut [A], &mut [B]) + Sync,
) {
    assert!(a.len() == b.len(), "chunks2: {} elements beside {}", a.len(), b.len());
    pieces2(a, b, chunk.max(1), &|at, pieces: (&mut [A], &mut [B])| {
        wide(
            #[inline(always)]
            |at, (a, b): (&mut [A], &mut [B])| each(at, a, b),
            at,
            pieces,
        );
    });
}

/// Pieces of two slices, side by side.
type Pieces<'a, A, B> = (&'a mut [A], &'a mut [B]);

/// One instance for each pair of element types.
fn pieces2<A: Send, B: Send>(a: &mut [A], b: &mut [B], chunk: usize, each: &(dyn Fn(usize, Pieces<'_, A, B>) + Sync)) {
    #[cfg(feature = "rayon")]
    if a.len() > chunk && pool().is_some() {
        use rayon::prelude::*;
        let pieces = a.par_chunks_mut(chunk).zip(b.par_chunks_mut(chunk)).enumerate();
        return inside(|| pieces.for_each(|(at, pieces)| each(at, pieces)));
    }
    a.chunks_mut(chunk).zip(b.chunks_mut(chunk)).enumerate().for_each(|(at, pieces)| each(at, pieces));
}
