//! Draws what has weights, windows or labels, of any shape.

use super::draw::Drawing;
use super::op::Op;
use wgrad::{AvgPool2dOptions, Conv2dOptions, ConvTranspose2dOptions, MaxPool2dOptions, Upsampling};

impl Drawing {
    pub fn layer(&mut self) -> Option<usize> {
        match self.below(18) {
            0 | 1 => self.matmul(),
            2 | 3 => self.linear(),
            4 | 5 => self.convolution(),
            6 => self.transposed_convolution(),
            7 | 8 => self.pooling(),
            9 => self.resized(),
            10 | 11 => self.norm(),
            12 => self.attention(),
            13 | 14 => self.dropout(),
            15 => self.picking(),
            16 => self.embedding(),
            _ => self.cross_entropy(),
        }
    }

    fn matmul(&mut self) -> Option<usize> {
        let a = self.operand();
        let shape = self.shape(a);
        let rank = shape.len();
        if rank == 0 {
            return None;
        }
        if rank == 2 && self.chance(25) {
            let turned = self.push(Op::Permute(vec![1, 0]), &[a])?;
            let of = if self.chance(50) { [a, turned] } else { [turned, a] };
            return self.push(Op::Matmul, &of);
        }
        let (k, n) = (shape[rank - 1], self.size().min(70));
        let mut right = if self.chance(60) { vec![k, n] } else { vec![n, k] };
        if rank == 3 && self.chance(50) {
            right.insert(0, if self.chance(70) { shape[0] } else { 1 });
        }
        let is_turned = right[right.len() - 1] == k && right[right.len() - 2] != k;
        let b = if self.chance(60) { self.weight(&right) } else { self.of_shape(&right)? };
        let b = if is_turned {
            let order = if right.len() == 3 { vec![0, 2, 1] } else { vec![1, 0] };
            self.push(Op::Permute(order), &[b])?
        } else {
            b
        };
        self.push(Op::Matmul, &[a, b])
    }

    fn linear(&mut self) -> Option<usize> {
        let x = self.operand();
        let k = *self.shape(x).last()?;
        let out = self.size().min(130);
        let mut of = vec![x, self.weight(&[out, k])];
        if self.chance(70) {
            of.push(self.weight(&[out]));
        }
        self.push(Op::Linear, &of)
    }

    /// Images, whose channels may be neighbours in memory.
    fn images(&mut self, channels: usize) -> Option<usize> {
        let (n, h, w) = (1 + self.below(3), 1 + self.below(9), 1 + self.below(9));
        let x = self.operand();
        let shape = self.shape(x);
        let x = if shape.len() == 4 && shape[1] == channels && shape[2] > 0 && shape[3] > 0 && shape[3] < 40 {
            x
        } else {
            self.fit(x, &[n, channels, h, w])?
        };
        if self.chance(30) {
            let last = self.push(Op::Permute(vec![0, 2, 3, 1]), &[x])?;
            let copied = super::op::ONES.iter().position(|(text, _)| *text == "x.contiguous()")?;
            let last = self.push(Op::One(copied), &[last])?;
            return self.push(Op::Permute(vec![0, 3, 1, 2]), &[last]);
        }
        Some(x)
    }

    /// Channels of images, or those of an operand that is a batch of images.
    fn channels(&mut self) -> usize {
        let x = self.operand();
        let shape = self.shape(x);
        if shape.len() == 4 && (1..40).contains(&shape[1]) {
            shape[1]
        } else {
            self.pick(&[1, 2, 3, 4, 4, 6, 8, 12, 16])
        }
    }

    fn convolution(&mut self) -> Option<usize> {
        let channels = self.channels();
        let x = self.images(channels)?;
        let groups = match self.below(6) {
            0 => channels,
            1 if channels.is_multiple_of(2) => 2,
            _ => 1,
        };
        let out = groups * if groups > 1 { 1 + self.below(2) } else { self.pick(&[1, 2, 3, 4, 5, 8, 12, 33]) };
        let kernel = [1 + self.below(3), 1 + self.below(3)];
        let options = Conv2dOptions {
            stride: [1 + self.below(2), 1 + self.below(2)],
            padding: [self.below(3), self.below(3)],
            dilation: if self.chance(20) { [2, 1 + self.below(2)] } else { [1, 1] },
            groups,
        };
        let mut of = vec![x, self.weight(&[out, channels / groups, kernel[0], kernel[1]])];
        if self.chance(60) {
            of.push(self.weight(&[out]));
        }
        self.push(Op::Conv2d(options), &of)
    }

    fn transposed_convolution(&mut self) -> Option<usize> {
        let channels = self.channels();
        let x = self.images(channels)?;
        let out = self.pick(&[1, 2, 3, 4, 8]);
        let kernel = [1 + self.below(3), 1 + self.below(3)];
        let stride = [1 + self.below(2), 1 + self.below(2)];
        let options = ConvTranspose2dOptions {
            stride,
            padding: [self.below(kernel[0]).min(1), self.below(kernel[1]).min(1)],
            output_padding: [self.below(stride[0]), self.below(stride[1])],
            ..ConvTranspose2dOptions::default()
        };
        let mut of = vec![x, self.weight(&[channels, out, kernel[0], kernel[1]])];
        if self.chance(60) {
            of.push(self.weight(&[out]));
        }
        self.push(Op::ConvTranspose2d(options), &of)
    }

    fn pooling(&mut self) -> Option<usize> {
        let channels = self.channels();
        let x = self.images(channels)?;
        let kernel_size = [1 + self.below(3), 1 + self.below(3)];
        let stride = [1 + self.below(3), 1 + self.below(3)];
        let padding = kernel_size.map(|size| if self.chance(40) { size / 2 } else { 0 });
        let to = [1 + self.below(4), 1 + self.below(4)];
        let op = match self.below(4) {
            0 | 1 => {
                let dilation = if self.chance(20) { [1 + self.below(3), 2] } else { [1, 1] };
                Op::MaxPool2d(MaxPool2dOptions { kernel_size, stride, padding, dilation, ceil_mode: self.chance(20) })
            }
            2 => Op::AvgPool2d(AvgPool2dOptions {
                kernel_size,
                stride,
                padding,
                ceil_mode: self.chance(20),
                count_include_pad: self.chance(80),
                divisor_override: None,
            }),
            _ if self.chance(50) => Op::AdaptiveAvgPool2d(to),
            _ => Op::AdaptiveMaxPool2d(to),
        };
        self.push(op, &[x])
    }

    fn resized(&mut self) -> Option<usize> {
        let channels = self.channels();
        let x = self.images(channels)?;
        let mode = self.pick(&[Upsampling::Nearest, Upsampling::Bilinear, Upsampling::BilinearAligned]);
        let to = [1 + self.below(12), 1 + self.below(12)];
        self.push(Op::Interpolate(to, mode), &[x])
    }

    fn norm(&mut self) -> Option<usize> {
        let x = self.operand();
        let shape = self.shape(x);
        let rank = shape.len();
        if self.chance(50) {
            let cut = rank.saturating_sub(if self.chance(80) { 1 } else { 2 });
            let sizes = shape[cut..].to_vec();
            let mut of = vec![x];
            let is_rms = self.chance(40);
            for _ in 0..self.below(if is_rms { 2 } else { 3 }) {
                of.push(self.weight(&sizes));
            }
            return self.push(if is_rms { Op::RmsNorm(sizes) } else { Op::LayerNorm(sizes) }, &of);
        }
        let x = if rank >= 2 && shape[1] > 0 { x } else { self.images(4)? };
        let channels = self.shape(x)[1];
        let mut of = vec![x];
        if self.chance(70) {
            of.extend([self.weight(&[channels]), self.weight(&[channels])]);
        }
        let groups = if channels.is_multiple_of(2) { 2 } else { 1 };
        let op = if self.chance(70) { Op::BatchNorm } else { Op::GroupNorm(groups) };
        self.push(op, &of)
    }

    fn attention(&mut self) -> Option<usize> {
        let (batch, heads) = (1 + self.below(2), 1 + self.below(3));
        let (queries, keys) = (self.small(), self.small());
        let width = self.pick(&[1, 3, 4, 5, 8, 12, 16, 33]);
        let q = self.of_shape(&[batch, heads, queries, width])?;
        let k = self.of_shape(&[batch, heads, keys, width])?;
        let v = if self.chance(30) { k } else { self.of_shape(&[batch, heads, keys, width])? };
        let causal = self.chance(50);
        self.push(Op::Attention(causal), &[q, k, v])
    }

    fn dropout(&mut self) -> Option<usize> {
        let x = self.operand();
        let step = self.whole(&[2], 1_000);
        let (p, stream) = (self.pick(&[0.1, 0.5, 0.9]), self.below(9) as u32);
        self.push(Op::Dropout(p, stream), &[x, step])
    }

    fn picking(&mut self) -> Option<usize> {
        let x = self.operand();
        let mut shape = self.shape(x);
        let dim = self.dim(shape.len())?;
        let at = if dim < 0 { dim + shape.len() as isize } else { dim } as usize;
        let n = shape[at];
        if n == 0 {
            return None;
        }
        if self.chance(50) {
            let count = self.size().min(70);
            let index = self.whole(&[count], n);
            return self.push(Op::IndexSelect(dim), &[x, index]);
        }
        shape[at] = self.size().min(20);
        let index = self.whole(&shape, n);
        self.push(Op::Gather(dim), &[x, index])
    }

    fn embedding(&mut self) -> Option<usize> {
        let (rows, columns) = (self.small(), self.size().min(70));
        let table = if self.chance(50) { self.weight(&[rows, columns]) } else { self.of_shape(&[rows, columns])? };
        let ids = if self.chance(50) { vec![self.size().min(70)] } else { vec![self.small(), self.small()] };
        let ids = self.whole(&ids, rows);
        let op = if self.chance(50) { Op::EmbeddingRows } else { Op::Embedding };
        self.push(op, &[table, ids])
    }

    fn cross_entropy(&mut self) -> Option<usize> {
        let (rows, classes) = (self.small(), self.small());
        let x = self.operand();
        let shape = self.shape(x);
        let x = if shape.len() == 2 && shape[0] * shape[1] > 0 { x } else { self.fit(x, &[rows, classes])? };
        let shape = self.shape(x);
        let labels = self.whole(&shape[..1], shape[1]);
        self.push(Op::CrossEntropy, &[x, labels])
    }
}
