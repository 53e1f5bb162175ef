//! Elements moved on the host: runs of them at a time, on all cores.

use crate::kernel::strided::Strided;
use crate::kernel::{Call, parallel};
use bytemuck::Pod;

/// Runs of elements at a time.
pub fn copied<W: Pod + Send + Sync>(call: &mut Call) {
    let (p, x) = (call.params::<Strided>(), call.read_bits::<W>(0));
    let step = p.dims[0][1];
    parallel::chunks(
        &mut call.write_bits::<W>(1)[..p.n as usize],
        parallel::GRAIN,
        #[inline(always)]
        |piece, mut y| {
            for ([from, ..], run) in p.runs(piece * parallel::GRAIN, y.len()) {
                let (now, later) = std::mem::take(&mut y).split_at_mut(run);
                y = later;
                match step {
                    1 => now.copy_from_slice(&x[from..][..run]),
                    _ => {
                        let mut at = from as u32;
                        for y in now {
                            *y = x[at as usize];
                            at = at.wrapping_add(step);
                        }
                    }
                }
            }
        },
    );
}

/// Elements that lie side by side, as a whole.
pub fn copied_into<W: Pod + Send + Sync>(call: &mut Call) {
    let (mut p, x, y) = (call.params::<Strided>(), call.read_bits::<W>(0), call.write_bits::<W>(1));
    let rank = p.rank as usize;
    // Elements may be copied in any order: in that of y no piece of it reaches into another.
    let is_forward = p.dims[..rank].iter().all(|dim| dim[2] as i32 > 0);
    if is_forward {
        p.dims[..rank].sort_by_key(|dim| dim[2]);
    }
    let [run, from, to, _] = p.dims[0];
    if p.rank <= 1 && [from, to] == [1, 1] {
        let [from, to] = [p.base[0], p.base[1]].map(|base| base as usize);
        return parallel::map(
            &mut y[to..][..run as usize],
            &x[from..],
            #[inline(always)]
            |x| x,
        );
    }
    // Along the outermost dimension pieces of y lie behind one another, unless they are woven into each other.
    let apart = p.dims[rank.saturating_sub(1)][2] as usize;
    let extent = |dim: &[u32; 4]| (dim[0] as usize - 1) * (dim[2] as i32).unsigned_abs() as usize;
    if rank < 2 || !is_forward || p.dims[..rank - 1].iter().map(extent).sum::<usize>() >= apart {
        return p.offsets().for_each(|[from, to, _]| y[to] = x[from]);
    }
    let [outer, from_step, ..] = p.dims[rank - 1];
    let (start, inner) = (p.base[1] as usize, p.n / outer);
    let end = y.len().min(start + outer as usize * apart);
    let each = (parallel::GRAIN / 4 / inner.max(1) as usize).max(1);
    parallel::chunks(
        &mut y[start..end],
        each * apart,
        #[inline(always)]
        |piece, y| {
            for (at, y) in y.chunks_mut(apart).enumerate() {
                let at = (piece * each + at) as u32;
                let mut inside = p;
                (inside.n, inside.rank) = (inner, p.rank - 1);
                inside.base = [p.base[0].wrapping_add(at.wrapping_mul(from_step)), 0, 0];
                for ([mut at_x, mut at_y, _], len) in inside.runs(0, inner as usize) {
                    if [from, to] == [1, 1] {
                        y[at_y..][..len].copy_from_slice(&x[at_x..][..len]);
                        continue;
                    }
                    for _ in 0..len {
                        y[at_y] = x[at_x];
                        at_x = (at_x as u32).wrapping_add(from) as usize;
                        at_y += to as usize;
                    }
                }
            }
        },
    );
}
