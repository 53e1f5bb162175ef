//! Images at places between pixels, made of [`Tensor::gather`].

use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// PyTorch's `padding_mode` of `grid_sample`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outside {
    /// Zeros lie around the image.
    #[default]
    Zeros,
    /// A place outside is moved to the border.
    Border,
    /// A place outside is mirrored at the border.
    Reflection,
}

/// PyTorch's arguments of `grid_sample`, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GridSampleOptions {
    /// The nearest pixel, instead of straight lines between pixels.
    pub nearest: bool,
    /// What lies around the image.
    pub padding_mode: Outside,
    /// Whether -1 and 1 are the centres of the outermost pixels, instead of the image's borders.
    pub align_corners: bool,
}

/// Places from -1 to 1 as numbers of pixels.
#[track_caller]
fn pixels(place: &Tensor, size: usize, options: GridSampleOptions) -> Tensor {
    let (n, last) = (size as f32, size as f32 - 1.0);
    let at = if options.align_corners {
        place.affine(last / 2.0, last / 2.0)
    } else {
        place.affine(n / 2.0, (n - 1.0) / 2.0)
    };
    let at = match options.padding_mode {
        Outside::Zeros => return at,
        Outside::Border => at,
        Outside::Reflection => {
            // Folded at both borders, which are the centres of pixels or lie half a pixel outside.
            let (low, span) = if options.align_corners { (0.0, last) } else { (-0.5, n) };
            if span == 0.0 {
                return at.affine(0.0, 0.0);
            }
            let far = at.affine(1.0, -low).abs();
            let span = Tensor::full([], span, place.device());
            let left = far.fmod(&span);
            let odd = far.detach().floor_divide(&span).remainder(&Tensor::full([], 2.0f32, place.device()));
            Tensor::where_(&odd, &span.sub(&left), &left).affine(1.0, low)
        }
    };
    at.clamp(0.0, last)
}

/// # Images at places
impl Tensor {
    /// Images `[n, c, h, w]` at the places of a grid `[n, out_h, out_w, 2]`, from -1 to 1, x before y: `[n, c, out_h, out_w]`.
    /// Each pixel of the gradient looks at all places of the grid.
    ///
    /// # Panics
    /// If these are no images and no grid for as many.
    #[track_caller]
    pub fn grid_sample(&self, grid: &Tensor, options: GridSampleOptions) -> Tensor {
        let (x, g) = (self.shape(), grid.shape());
        let fits = x.rank() == 4 && g.rank() == 4 && g[0] == x[0] && g[3] == 2 && x[2] * x[3] > 0;
        assert!(fits, "grid_sample: {x} x {g}: expected images [n, c, h, w] and a grid [n, h, w, 2]");
        let [n, c, h, w] = [x[0], x[1], x[2], x[3]];
        let count = g[1] * g[2];
        let flat = self.reshape_to(Shape::from([n, c, h * w]));
        let places = grid.reshape_to(Shape::from([n, 1, count, 2]));
        let column = pixels(&places.narrow(3, 0, 1).squeeze(3), w, options);
        let row = pixels(&places.narrow(3, 1, 1).squeeze(3), h, options);
        let at = |row: &Tensor, column: &Tensor| {
            let inside = |at: &Tensor, size: usize| at.ge(0).mul(&at.le(size as i32 - 1));
            let is_in = inside(row, h).mul(&inside(column, w));
            let hold =
                |at: &Tensor, size: usize| at.masked_fill(&at.isfinite().eq(0), 0.0).clamp(0.0, size as f32 - 1.0);
            let index = hold(row, h).affine(w as f32, 0.0).add(&hold(column, w)).cast(DType::I32);
            let found = flat.gather(2, &index.expand([n, c, count]));
            Tensor::where_(&is_in, &found, &Tensor::zeros([], self.device()))
        };
        let y = if options.nearest {
            at(&row.detach().round(), &column.detach().round())
        } else {
            let (top, left) = (row.detach().floor(), column.detach().floor());
            let (down, along) = (row.sub(&top), column.sub(&left));
            let (bottom, right) = (&top + 1.0, &left + 1.0);
            let upper = at(&top, &left).mul(&(1.0 - &along)).add(&at(&top, &right).mul(&along));
            let lower = at(&bottom, &left).mul(&(1.0 - &along)).add(&at(&bottom, &right).mul(&along));
            upper.mul(&(1.0 - &down)).add(&lower.mul(&down))
        };
        y.reshape_to(Shape::from([n, c, g[1], g[2]]))
    }
}
