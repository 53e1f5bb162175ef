//! Products by [`wgrad_tiles`], which has the innermost loops.

use crate::kernel::parallel;
pub(crate) use wgrad_tiles::{Lines, Matrix, Panel, Rows, by_panels, cut, outer, panels, pieces, product};

/// Lays out a matrix [k, n] of these strides in panels, by all threads.
pub(crate) fn lay_out(size: [usize; 2], b: &[f32], strides: [usize; 2], to: &mut [f32]) {
    parallel::chunks(&mut cut(to, size), 1, |_, panels| {
        panels.iter_mut().for_each(|panel| wgrad_tiles::lay_out(b, strides, panel));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn uniform(rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| rng.uniform() - 0.5).collect()
    }

    fn assert_near(got: f32, want: f64, of: &str) {
        assert!((f64::from(got) - want).abs() < 1e-5, "{of}: {got} is not {want}");
    }

    /// Rows that overlap, of several pieces, and results of every width and number.
    #[test]
    fn products_of_rows_in_pieces() {
        let mut rng = Rng::new(5);
        for (m, n, parts) in
            [(1, 1, [1, 2, 3]), (3, 15, [300, 2, 7]), (12, 33, [0, 5, 600]), (29, 64, [9, 9, 9]), (17, 90, [40, 1, 0])]
        {
            let k = parts.iter().sum::<usize>();
            let of = uniform(&mut rng, 2000 + 7 * m);
            let b = uniform(&mut rng, k * n);
            let places = [0, 700, 1390];
            let pieces = pieces(places.iter().zip(parts).map(|(at, len)| *at..at + len));
            let starts: Vec<usize> = (0..m).map(|row| 7 * row).collect();
            for strides in [[n, 1], [1, k]] {
                let mut laid_out = vec![f32::NAN; panels([k, n])];
                lay_out([k, n], &b, strides, &mut laid_out);
                for adds in [false, true] {
                    let mut c = vec![2.0; m * n];
                    let rows = Rows { of: &of, starts: &starts, pieces: &pieces };
                    by_panels(rows, k, &laid_out, &mut c.chunks_mut(n).collect::<Vec<_>>(), adds);
                    for (at, c) in c.iter().enumerate() {
                        let elements = places.iter().zip(parts).flat_map(|(at, len)| *at..at + len);
                        let terms = elements.enumerate().map(|(k, from)| {
                            f64::from(of[starts[at / n] + from]) * f64::from(b[k * strides[0] + at % n * strides[1]])
                        });
                        assert_near(*c, terms.sum::<f64>() + if adds { 2.0 } else { 0.0 }, &format!("{m} x {n} x {k}"));
                    }
                }
            }
        }
    }

    /// Rows in order, side by side, and with gaps everywhere; several blocks of rows, columns and terms.
    #[test]
    fn products_of_matrices_however_they_lie() {
        let mut rng = Rng::new(7);
        let lies = |[rows, columns]: [usize; 2]| [[columns, 1], [1, rows], [2 * columns, 2]];
        for [m, n, k] in [[1, 1, 1], [7, 50, 3], [13, 64, 40], [30, 97, 300], [1025, 20, 5], [5, 300, 260], [18, 70, 1]]
        {
            let [a, b] = [2 * m * k, 2 * k * n].map(|len| uniform(&mut rng, len));
            for (of_a, of_b) in lies([m, k]).into_iter().flat_map(|of_a| lies([k, n]).map(|of_b| (of_a, of_b))) {
                let mut c = vec![2.0; m * n];
                for (adds, already) in [(false, 0.0), (true, 1.0)] {
                    let [a, b] = [Matrix { of: &a, strides: of_a }, Matrix { of: &b, strides: of_b }];
                    product(k, a, b, &mut c.chunks_mut(n).collect::<Vec<_>>(), adds);
                    for at in (0..m * n).step_by(m * n / 50 + 1) {
                        let [left, right] = [at / n * of_a[0], at % n * of_b[1]];
                        let terms =
                            (0..k).map(|k| f64::from(a.of[left + k * of_a[1]]) * f64::from(b.of[right + k * of_b[0]]));
                        let want = terms.sum::<f64>() * (1.0 + already);
                        assert_near(c[at], want, &format!("{m} x {n} x {k} by {of_a:?} and {of_b:?}"));
                    }
                }
            }
        }
    }

    /// Lines whose last elements end where their memory does.
    #[test]
    fn sums_over_lines() {
        let mut rng = Rng::new(6);
        for (rows, columns, count) in [(1, 1, 1), (3, 9, 5), (5, 16, 7), (12, 32, 40), (31, 50, 3), (64, 27, 9)] {
            let steps = [rows + 2, columns + 1];
            let starts = [[0, 3], [count * steps[0], 0]];
            let [a, b] = [0, 1].map(|i| {
                let end =
                    starts.iter().map(|start| start[i]).max().unwrap() + (count - 1) * steps[i] + [rows, columns][i];
                uniform(&mut rng, end)
            });
            let pitch = columns + 3;
            let mut c = vec![1.0; rows * pitch];
            let [of_a, of_b] = [Lines { of: &a, step: steps[0] }, Lines { of: &b, step: steps[1] }];
            outer(of_a, of_b, &starts, count, [rows, columns, pitch], &mut c);
            for (i, j) in (0..rows).flat_map(|i| (0..pitch).map(move |j| (i, j))) {
                let term = |at: usize, start: &[usize; 2]| {
                    f64::from(a[start[0] + at * steps[0] + i]) * f64::from(b[start[1] + at * steps[1] + j])
                };
                let is_set = j < columns;
                let sum = if is_set {
                    starts.iter().flat_map(|s| (0..count).map(move |at| (at, s))).map(|(at, s)| term(at, s)).sum()
                } else {
                    0.0
                };
                assert_near(c[i * pitch + j], 1.0 + sum, &format!("{rows} x {columns} x {count}: {i}, {j}"));
            }
        }
    }
}
