//! Matrix products on the host.

pub(crate) mod tile;

use super::MatMul;
use crate::kernel::parallel;
use tile::Matrix;

/// The products of `p`; c is without gaps. `finish` gets each part of c, some whole rows, and where in c it starts.
pub(crate) fn product(p: &MatMul, [a, b]: [&[f32]; 2], c: &mut [f32], finish: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let [m, n, k] = [p.m, p.n, p.k].map(|s| s as usize);
    let starts = p.starts();
    if m * n == 0 {
        return;
    }
    let c = &mut c[..starts.len() * m * n];
    let block = Block::of([m, n, k], starts.len());
    let strides = [[p.a_row, p.a_col], [p.b_row, p.b_col]];
    if block.columns < n {
        // Those of all matrices in one list, as their time was told.
        let each = c.chunks_mut(m * n).zip(starts);
        let of = |[a_start, b_start, _]: [usize; 3]| [&a[a_start..], &b[b_start..]];
        run(k, each.flat_map(|(c, starts)| block.tasks([m, n], of(starts), strides, c)).collect(), false);
        let rows = (parallel::GRAIN / n).max(1);
        return parallel::chunks(c, rows * n, |piece, c| finish(piece * rows * n, c));
    }
    let blocks = m.div_ceil(block.rows);
    let mut pieces: Vec<(usize, &mut [f32])> = Vec::with_capacity(starts.len() * blocks);
    for (batch, c) in c.chunks_mut(m * n).enumerate() {
        pieces.extend(c.chunks_mut(block.rows * n).enumerate().map(|(at, c)| (batch * blocks + at, c)));
    }
    parallel::chunks(&mut pieces, if block.is_short { usize::MAX } else { 1 }, |_, pieces| {
        for (at, c) in pieces {
            let (batch, first) = (*at / blocks, (*at % blocks) * block.rows);
            let [a_start, b_start, _] = starts[batch];
            let a = &a[a_start + first * p.a_row as usize..];
            gemm([c.len() / n, n, k], a, strides[0], &b[b_start..], strides[1], c, false);
            finish((batch * m + first) * n, c);
        }
    });
}

/// c = a b for one matrix without gaps, or c + a b if it `adds`, by all threads.
pub(crate) fn shared(size: [usize; 3], of: [&[f32]; 2], strides: [[u32; 2]; 2], c: &mut [f32], adds: bool) {
    let [m, n, k] = size;
    if m * n > 0 {
        run(k, Block::of(size, 1).tasks([m, n], of, strides, c), adds);
    }
}

/// The rows of a and the columns of b that make a block of c, and its rows.
type Task<'a> = (Matrix<'a>, Matrix<'a>, Vec<&'a mut [f32]>);

/// c = a b of each, or c + a b.
fn run(k: usize, mut tasks: Vec<Task>, adds: bool) {
    parallel::chunks(&mut tasks, 1, |_, tasks| {
        tasks.iter_mut().for_each(|(a, b, c)| tile::product(k, *a, *b, c, adds));
    });
}

/// The part of c that a task computes: an element's terms are added in one order, however c is cut.
struct Block {
    rows: usize,
    columns: usize,
    /// Whether all products are too little work to be shared.
    is_short: bool,
}

impl Block {
    /// Rows and columns of the innermost loops, which take less than that as a whole.
    const TILE: usize = 16;
    /// How many columns' work it is to lay out an element of a for them; as measured, and for b the same.
    const PACKING: usize = 20;

    /// The blocks that take the least time on this machine's threads: each task lays out its rows of a and columns of b
    /// again, and few tasks leave threads without work.
    fn of([m, n, k]: [usize; 3], batch: usize) -> Block {
        let whole = Block { rows: m, columns: n, is_short: batch * m * n * k < 1 << 16 };
        let threads = parallel::threads();
        if whole.is_short || threads == 1 {
            return whole;
        }
        let cut = |size: usize, parts: usize| match parts {
            1 => size,
            _ => size.div_ceil(parts).next_multiple_of(Block::TILE).min(size),
        };
        let across = std::iter::successors(Some(1), |parts| Some(2 * parts)).take_while(|parts| *parts <= 2 * threads);
        let blocks = across.flat_map(|across| {
            [1, threads.div_ceil(across), (2 * threads).div_ceil(across)].map(|down| Block {
                rows: cut(m, down),
                columns: cut(n, across),
                is_short: false,
            })
        });
        let time = |block: &Block| {
            let tasks = batch * m.div_ceil(block.rows) * n.div_ceil(block.columns);
            // What comes after the products goes over c again where a task has not its whole rows.
            let again = if block.columns < n { batch * m * n / threads / k.max(1) } else { 0 };
            tasks.div_ceil(threads) * (block.rows * block.columns + Block::PACKING * (block.rows + block.columns))
                + Block::PACKING * again
        };
        blocks.min_by_key(time).unwrap_or(whole)
    }

    /// One for each block of a matrix without gaps.
    fn tasks<'a>(
        &self,
        [m, n]: [usize; 2],
        [a, b]: [&'a [f32]; 2],
        strides: [[u32; 2]; 2],
        c: &'a mut [f32],
    ) -> Vec<Task<'a>> {
        let (a, b) = (matrix(a, strides[0]), matrix(b, strides[1]));
        let (across, mut tasks) = (n.div_ceil(self.columns), Vec::new());
        for (down, c) in c[..m * n].chunks_mut(self.rows * n).enumerate() {
            let a = Matrix { of: &a.of[down * self.rows * a.strides[0]..], ..a };
            let first = tasks.len();
            tasks.extend((0..across).map(|at| {
                let b = Matrix { of: &b.of[at * self.columns * b.strides[1]..], ..b };
                (a, b, Vec::with_capacity(c.len() / n))
            }));
            for c in c.chunks_mut(n) {
                c.chunks_mut(self.columns).zip(&mut tasks[first..]).for_each(|(c, task)| task.2.push(c));
            }
        }
        tasks
    }
}

fn matrix(of: &[f32], strides: [u32; 2]) -> Matrix<'_> {
    Matrix { of, strides: strides.map(|step| step as usize) }
}

/// c = a b for one matrix on this thread, or c + a b if it `adds`; c is without gaps.
pub(crate) fn gemm([m, n, k]: [usize; 3], a: &[f32], sa: [u32; 2], b: &[f32], sb: [u32; 2], c: &mut [f32], adds: bool) {
    let mut rows: Vec<&mut [f32]> = c[..m * n].chunks_mut(n.max(1)).collect();
    tile::product(k, matrix(a, sa), matrix(b, sb), &mut rows, adds);
}

#[cfg(test)]
mod tests {
    use super::{Block, run};
    use crate::rng::Rng;

    /// What lets a product be cut by the number of threads.
    #[test]
    fn bits_of_a_product_do_not_depend_on_how_it_is_cut() {
        let mut rng = Rng::new(3);
        let sizes =
            [[64, 64, 64], [100, 70, 300], [17, 95, 520], [33, 16, 1], [50, 1, 40], [1, 90, 700], [130, 47, 257]];
        for [m, n, k] in sizes {
            let [a, b] = [m * k, k * n].map(|len| (0..len).map(|_| rng.uniform() - 0.5).collect::<Vec<f32>>());
            for strides in [[[k as u32, 1], [n as u32, 1]], [[1, m as u32], [1, k as u32]]] {
                let product = |rows: usize, columns: usize, adds: bool| {
                    let mut c = vec![0.25f32; m * n];
                    let block = Block { rows: rows.min(m), columns: columns.min(n), is_short: false };
                    run(k, block.tasks([m, n], [&a, &b], strides, &mut c), adds);
                    c.iter().map(|c| c.to_bits()).collect::<Vec<u32>>()
                };
                for adds in [false, true] {
                    let whole = product(m, n, adds);
                    for [rows, columns] in [[16, n], [m, 16], [32, 48], [48, 32], [1, 1], [7, 11]] {
                        assert!(product(rows, columns, adds) == whole, "{m} x {n} x {k} by {rows} x {columns}");
                    }
                }
            }
        }
    }
}
