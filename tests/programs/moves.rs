//! Draws what moves elements: views, joints, writes in place; and gradients that are used again.

use super::draw::Drawing;
use super::op::{ONES, Op};
use super::program::Item;

impl Drawing {
    pub fn view(&mut self) -> Option<usize> {
        let x = self.operand();
        self.view_of(x)
    }

    fn view_of(&mut self, x: usize) -> Option<usize> {
        let shape = self.shape(x);
        let rank = shape.len();
        let op = match self.below(9) {
            0 | 1 => Op::Permute(self.order(rank)),
            2 | 3 => {
                let dim = self.dim(rank)?;
                let n = self.tensor(x).size(dim);
                let start = self.below(n + 1);
                Op::Narrow(dim, start, self.below(n - start + 1))
            }
            4 => Op::Reshape(self.reshaped(&shape)),
            5 => {
                let mut wider = shape;
                for size in wider.iter_mut().filter(|size| **size == 1) {
                    *size = self.small();
                }
                if wider.len() < 5 && self.chance(50) {
                    wider.insert(0, self.small());
                }
                Op::Expand(wider)
            }
            6 | 7 => {
                let pairs = (0..rank.min(1 + self.below(3))).map(|_| (self.below(4), self.below(4))).collect();
                Op::Pad(pairs, self.pick(&[0.0, 0.0, 0.5, -1.0]))
            }
            _ => {
                let a = self.below(rank) as isize;
                let b = self.below(rank) as isize;
                Op::Diagonal(a, b)
            }
        };
        if matches!(op, Op::Diagonal(a, b) if a == b) {
            return None;
        }
        self.push(op, &[x])
    }

    fn order(&mut self, rank: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..rank).collect();
        self.rng.shuffle(&mut order);
        order
    }

    /// As many elements under another shape.
    fn reshaped(&mut self, shape: &[usize]) -> Vec<usize> {
        let mut sizes = shape.to_vec();
        for _ in 0..1 + self.below(2) {
            if sizes.len() >= 2 && self.chance(50) {
                let at = self.below(sizes.len() - 1);
                let joined = sizes.remove(at) * sizes[at];
                sizes[at] = joined;
            } else if sizes.len() < 5 {
                let at = self.below(sizes.len() + 1);
                let factor = self.pick(&[1, 2, 3, 4]);
                match sizes.get(at) {
                    Some(&size) if size % factor == 0 => {
                        sizes[at] = size / factor;
                        sizes.insert(at, factor);
                    }
                    _ => sizes.insert(at, 1),
                }
            }
        }
        sizes
    }

    /// Several in one.
    pub fn several(&mut self) -> Option<usize> {
        let x = self.operand();
        let mut shape = self.shape(x);
        match self.below(3) {
            0 => {
                let dim = self.dim(shape.len())?;
                let mut parts = vec![x];
                for _ in 0..1 + self.below(3) {
                    let at = if dim < 0 { dim + shape.len() as isize } else { dim } as usize;
                    shape[at] = self.size().min(70);
                    let part = self.of_shape(&shape)?;
                    parts.push(part);
                }
                self.rng.shuffle(&mut parts);
                self.push(Op::Cat(dim), &parts)
            }
            1 => {
                let other = self.of_shape(&shape)?;
                let dim = self.below(shape.len() + 1);
                self.push(Op::Stack(dim), &[x, other])
            }
            _ => {
                let (a, b) = (self.beside(x)?, self.beside(x)?);
                self.push(Op::Select, &[x, a, b])
            }
        }
    }

    /// A tensor is copied, or one from outside is taken, and a view of it is written.
    pub fn in_place(&mut self) -> Option<usize> {
        let target = if self.own.is_empty() || self.chance(50) {
            let x = self.operand();
            let detached = self.push(Op::Detach, &[x])?;
            let copy = ONES.iter().position(|(text, _)| *text == "x.copy()").expect("copy is in the table");
            let copy = self.push(Op::One(copy), &[detached])?;
            self.own.push(copy);
            copy
        } else {
            let own = self.own.clone();
            self.pick(&own)
        };
        let mut view = target;
        for _ in 0..self.below(3) {
            let rank = self.shape(view).len();
            let op = if self.chance(50) && rank > 0 {
                let dim = self.dim(rank)?;
                let n = self.tensor(view).size(dim);
                let start = self.below(n + 1);
                Op::Narrow(dim, start, self.below(n - start + 1))
            } else {
                Op::Permute(self.order(rank))
            };
            view = self.push(op, &[view])?;
        }
        let shape = self.shape(view);
        let source = self.of_shape(&shape)?;
        let source = self.push(Op::Detach, &[source])?;
        self.push(Op::Assign, &[view, source])?;
        // The whole is used again.
        let used = if self.chance(50) { target } else { view };
        let op = self.pick(&[0, 3, 13]);
        self.push(Op::One(op), &[used])
    }

    /// A gradient that goes on into other work.
    pub fn gradient(&mut self) -> Option<usize> {
        let x = self.operand();
        let of: Vec<usize> = (0..self.values.len())
            .filter(|&at| matches!(&self.program.items[at], Item::Given(given) if given.tracked))
            .collect();
        if of.is_empty() || !self.tensor(x).is_tracked() {
            return None;
        }
        let leaf = self.pick(&of);
        self.push(Op::Gradient, &[x, leaf])
    }
}
