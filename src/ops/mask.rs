//! Masks of 0 and 1, and what they cut out.

use crate::device::Device;
use crate::tensor::Tensor;

/// # Masks
impl Tensor {
    /// 1 for each label's class, else 0: `[.., classes]` (f32) from labels (i32 or i64) `[..]`. A label that is no class gives
    /// zeros.
    ///
    /// # Panics
    /// If the labels are not i32 or i64, or there are more classes than they can name.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        assert!(i32::try_from(classes).is_ok(), "one_hot: labels of i32 cannot name {classes} classes");
        let labels = self.indices("one_hot", "labels");
        labels.unsqueeze(self.rank()).eq(Tensor::arange(0, classes as i32, self.device()))
    }

    /// `value` where the mask is not 0, else the elements; the mask broadcasts.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    pub fn masked_fill(&self, mask: &Tensor, value: f32) -> Tensor {
        Tensor::where_(mask, &self.new_full([], value), self)
    }

    /// The elements of the last two dimensions on and below a diagonal, else 0; `diagonal` 0 is the main one, those above
    /// it count up.
    ///
    /// # Panics
    /// If there are fewer than two dimensions.
    #[track_caller]
    pub fn tril(&self, diagonal: isize) -> Tensor {
        let (rows, columns) = self.matrix("tril");
        self.masked_fill(&beyond(rows, columns, diagonal, self.device()), 0.0)
    }

    /// The elements of the last two dimensions on and above a diagonal, else 0.
    ///
    /// # Panics
    /// If there are fewer than two dimensions.
    #[track_caller]
    pub fn triu(&self, diagonal: isize) -> Tensor {
        let (rows, columns) = self.matrix("triu");
        let kept = beyond(rows, columns, diagonal - 1, self.device());
        Tensor::where_(&kept, self, &self.new_zeros([]))
    }

    #[track_caller]
    fn matrix(&self, op: &str) -> (usize, usize) {
        let (rank, shape) = (self.rank(), self.shape());
        assert!(rank >= 2, "{op}: {shape}: expected at least two dimensions");
        (shape[rank - 2], shape[rank - 1])
    }
}

/// 1 where the column is past the row by more than `diagonal`.
fn beyond(rows: usize, columns: usize, diagonal: isize, device: &Device) -> Tensor {
    let row = Tensor::arange(diagonal as i32, (diagonal + rows as isize) as i32, device);
    Tensor::arange(0, columns as i32, device).gt(row.unsqueeze(1))
}
