//! Images in memory: results of convolutions and poolings have their channels as neighbours, in the shape [n, c, h, w].

use crate::shape::Shape;
use crate::tensor::Tensor;

/// A fresh tensor [n, c, h, w] whose channels are neighbours in memory.
pub(crate) fn channels_last(shape: Shape, like: &Tensor) -> Tensor {
    let [n, c, h, w] = [shape[0], shape[1], shape[2], shape[3]];
    like.new_empty([n, h, w, c]).permute(&[0, 3, 1, 2])
}

/// The strides of images [n, c, h, w], for kernels. A dimension of size 1, whose stride means nothing, has that of channels
/// last: what asks for whole vec4 finds them.
pub(crate) fn image_strides(images: &Tensor) -> [u32; 4] {
    let [_, c, h, w] = [0, 1, 2, 3].map(|d| images.shape()[d]);
    let usual = [h * w * c, 1, w * c, c];
    [0, 1, 2, 3].map(|d| if images.shape()[d] == 1 { usual[d] } else { images.layout().strides[d] } as u32)
}

impl Tensor {
    /// A batch of one, of what has no dimension for the batch: one dimension fewer than it would have with it.
    pub(crate) fn batch_of_one(&self, rank: usize) -> Option<Tensor> {
        (self.rank() + 1 == rank).then(|| self.unsqueeze(0))
    }

    /// The same elements with the channels of [n, c, h, w] as neighbours in memory.
    pub(crate) fn to_channels_last(&self) -> Tensor {
        self.permute(&[0, 2, 3, 1]).contiguous().permute(&[0, 3, 1, 2])
    }
}
