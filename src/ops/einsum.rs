//! Sums of products by Einstein's notation, from views, sums and one matrix product for each two operands.

use super::reduce::KeepDims;
use super::stacks::refs;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::borrow::Borrow;

/// A tensor whose dimensions have names.
struct Named {
    tensor: Tensor,
    labels: Vec<char>,
}

impl Named {
    fn size(&self, label: char) -> Option<usize> {
        self.labels.iter().position(|l| *l == label).map(|d| self.tensor.shape()[d])
    }

    /// With the diagonal in the place of two dimensions of one name.
    #[track_caller]
    fn without_repeats(mut self) -> Named {
        while let Some(second) = (0..self.labels.len()).find(|&d| self.labels[..d].contains(&self.labels[d])) {
            let label = self.labels.remove(second);
            let first = self.labels.iter().position(|l| *l == label).expect("it is there twice");
            self.labels.remove(first);
            self.labels.push(label);
            self.tensor = self.tensor.diagonal(first as isize, second as isize);
        }
        self
    }

    /// Without the dimensions of one element that are larger in another operand: their element meets all of those.
    #[track_caller]
    fn without_broadcast(mut self, size_of: impl Fn(char) -> usize) -> Named {
        while let Some(d) = (0..self.labels.len()).find(|&d| self.tensor.shape()[d] != size_of(self.labels[d])) {
            self.labels.remove(d);
            self.tensor = self.tensor.squeeze(d as isize);
        }
        self
    }

    /// Without the dimensions that nobody else asks for.
    #[track_caller]
    fn summed(self, kept: impl Fn(char) -> bool) -> Named {
        let dropped = |(d, label): (usize, &char)| (!kept(*label)).then_some(d as isize);
        let dims: Vec<isize> = self.labels.iter().enumerate().filter_map(dropped).collect();
        if dims.is_empty() {
            return self;
        }
        let tensor = self.tensor.sum_dims(&dims, KeepDims::No);
        Named { tensor, labels: self.labels.into_iter().filter(|label| kept(*label)).collect() }
    }

    /// The dimensions in this order, as one for each group of names.
    #[track_caller]
    fn grouped(&self, groups: &[&[char]]) -> Tensor {
        let place = |label: &char| self.labels.iter().position(|l| l == label).expect("the operand has this label");
        let order: Vec<usize> = groups.concat().iter().map(place).collect();
        let sizes = groups.iter().map(|group| group.iter().filter_map(|l| self.size(*l)).product::<usize>());
        self.tensor.permute(&order).reshape_to(Shape::from(sizes.collect::<Vec<_>>()))
    }

    /// The product of two, summed over what both have and nobody else asks for.
    #[track_caller]
    fn times(self, other: Named, kept: impl Fn(char) -> bool) -> Named {
        let (a, b) = (self.summed(|l| kept(l) || other.labels.contains(&l)), other);
        let b = b.summed(|l| kept(l) || a.labels.contains(&l));
        let of = |labels: &[char], fits: &dyn Fn(char) -> bool| -> Vec<char> {
            labels.iter().copied().filter(|label| fits(*label)).collect()
        };
        let batch = of(&a.labels, &|l| b.labels.contains(&l) && kept(l));
        let inner = of(&a.labels, &|l| b.labels.contains(&l) && !kept(l));
        let rows = of(&a.labels, &|l| !b.labels.contains(&l));
        let columns = of(&b.labels, &|l| !a.labels.contains(&l));
        let labels = [&batch[..], &rows, &columns].concat();
        let sizes: Vec<usize> = labels.iter().filter_map(|l| a.size(*l).or(b.size(*l))).collect();
        let left = a.grouped(&[&batch, &rows, &inner]);
        let product = left.matmul(&b.grouped(&[&batch, &inner, &columns]));
        Named { tensor: product.reshape_to(Shape::from(sizes)), labels }
    }
}

/// # Einstein sums
impl Tensor {
    /// Sums of products: `bij,bjk->bik` is a batch of matrix products, `ij->j` sums of columns, `i,j->ij` an outer product.
    /// A letter names a dimension; those behind the arrow stay, the others are summed over. Without an arrow those stay that
    /// occur once, in the order of the alphabet. A letter twice in an operand is its diagonal, and `...` stands for the
    /// dimensions without letters, which are the same at the end of each operand. A size of 1 broadcasts. Operands are taken
    /// from left to right.
    ///
    /// ```
    /// let device = wgrad::Device::cpu();
    /// let [a, b] = [[2, 3], [3, 4]].map(|sizes| wgrad::Tensor::ones(sizes, &device));
    /// let c = wgrad::Tensor::einsum("ij,jk->ki", &[&a, &b]);
    /// assert_eq!(c.shape()[..], [4, 2]);
    /// assert_eq!(c.to_vec::<f32>()?, [3.0; 8]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the letters do not fit the operands: another number of them, two sizes for one letter, or one behind the arrow
    /// that no operand has.
    #[track_caller]
    pub fn einsum(equation: &str, operands: &[impl Borrow<Tensor>]) -> Tensor {
        let operands = &refs(operands)[..];
        let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let text = spelled_out(&text, operands);
        let (inputs, output) = text.split_once("->").map_or((&text[..], None), |(left, right)| (left, Some(right)));
        let inputs: Vec<Vec<char>> = inputs.split(',').map(|labels| labels.chars().collect()).collect();
        let all: Vec<char> = inputs.concat();
        let once = |label: &char| all.iter().filter(|other| *other == label).count() == 1;
        let output: Vec<char> = output.map_or_else(
            || {
                let mut single: Vec<char> = all.iter().copied().filter(once).collect();
                single.sort_unstable();
                single
            },
            |labels| labels.chars().collect(),
        );
        let is_letter = all.iter().chain(&output).all(|c| c.is_ascii_alphabetic());
        assert!(is_letter, "einsum: {equation}: expected letters, commas and one arrow");
        let (have, want) = (operands.len(), inputs.len());
        assert!(have == want, "einsum: {equation}: {have} operands for {want} lists of letters");
        let sizes = check(equation, &inputs, &output, operands);
        let size_of = |label: char| sizes.iter().find(|(other, _)| *other == label).map_or(1, |(_, size)| *size);
        let mut rest = inputs
            .iter()
            .zip(operands)
            .map(|(labels, x)| Named { tensor: (*x).clone(), labels: labels.clone() }.without_repeats())
            .map(|operand| operand.without_broadcast(size_of));
        let mut result = rest.next().expect("a split gives at least one part");
        for (at, next) in rest.enumerate() {
            let later = |label: char| inputs[at + 2..].iter().any(|labels| labels.contains(&label));
            result = result.times(next, |label| output.contains(&label) || later(label));
        }
        let result = result.summed(|label| output.contains(&label));
        let place = |label: &char| result.labels.iter().position(|l| l == label).expect("it was checked");
        result.tensor.permute(&output.iter().map(place).collect::<Vec<_>>())
    }
}

/// The equation with letters of their own in the place of each `...`; without an arrow, those stay in front.
fn spelled_out(text: &str, operands: &[&Tensor]) -> String {
    const DOTS: &str = "...";
    if !text.contains(DOTS) {
        return text.to_string();
    }
    let free: Vec<char> = ('A'..='Z').rev().filter(|letter| !text.contains(*letter)).collect();
    let inputs = text.split("->").next().unwrap_or(text);
    let hidden = |labels: &str, x: &Tensor| x.rank().saturating_sub(labels.replacen(DOTS, "", 1).chars().count());
    let counts = inputs.split(',').zip(operands).filter(|(labels, _)| labels.contains(DOTS));
    let most = counts.map(|(labels, x)| hidden(labels, x)).max().unwrap_or(0).min(free.len());
    // The last dimensions of all operands have the same letters.
    let letters: String = free[..most].iter().collect();
    let spelled = |labels: &str, x: Option<&&Tensor>| {
        let count = x.map_or(most, |x| hidden(labels, x).min(most));
        labels.replacen(DOTS, &letters[most - count..], 1)
    };
    let left: Vec<String> =
        inputs.split(',').enumerate().map(|(at, labels)| spelled(labels, operands.get(at))).collect();
    let left = left.join(",");
    match text.split_once("->") {
        Some((_, output)) => format!("{left}->{}", spelled(output, None)),
        None => {
            let once = |letter: &char| left.matches(*letter).count() == 1 && letter.is_ascii_alphabetic();
            let mut single: Vec<char> =
                left.chars().filter(|letter| once(letter) && !letters.contains(*letter)).collect();
            single.sort_unstable();
            format!("{left}->{letters}{}", single.into_iter().collect::<String>())
        }
    }
}

/// The size of each letter; refuses letters that do not fit.
#[track_caller]
fn check(equation: &str, inputs: &[Vec<char>], output: &[char], operands: &[&Tensor]) -> Vec<(char, usize)> {
    let mut sizes: Vec<(char, usize)> = Vec::new();
    for (labels, operand) in inputs.iter().zip(operands) {
        let (shape, count) = (operand.shape(), labels.len());
        assert!(shape.rank() == count, "einsum: {equation}: {count} letters for {shape}");
        for (d, label) in labels.iter().enumerate() {
            let first = labels.iter().position(|other| other == label).unwrap_or(d);
            let is_diagonal = shape[first] == shape[d];
            assert!(is_diagonal, "einsum: {equation}: `{label}` is {} and {} in {shape}", shape[first], shape[d]);
            match sizes.iter_mut().find(|(other, _)| other == label) {
                Some((_, size)) if *size == 1 => *size = shape[d],
                Some((_, size)) => {
                    let fits = *size == shape[d] || shape[d] == 1;
                    assert!(fits, "einsum: {equation}: `{label}` is {size} in one place and {} in another", shape[d]);
                }
                None => sizes.push((*label, shape[d])),
            }
        }
    }
    for (at, label) in output.iter().enumerate() {
        let known = sizes.iter().any(|(other, _)| other == label);
        assert!(known, "einsum: {equation}: no operand has `{label}`");
        assert!(!output[..at].contains(label), "einsum: {equation}: `{label}` is asked for twice");
    }
    sizes
}
