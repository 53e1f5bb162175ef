//! Images at places between pixels, made of [`Tensor::gather`].

use super::reduce::KeepDims;
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

/// PyTorch's `mode` of `grid_sample`: what stands for a place between pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GridMode {
    /// Straight lines between pixels; in volumes too.
    #[default]
    Bilinear,
    /// The nearest pixel.
    Nearest,
    /// Cubic curves through pixels.
    Bicubic,
}

/// PyTorch's arguments of `grid_sample`, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GridSampleOptions {
    /// What stands for a place between pixels.
    pub mode: GridMode,
    /// What lies around the image.
    pub padding_mode: Outside,
    /// Whether -1 and 1 are the centres of the outermost pixels, instead of the image's borders.
    pub align_corners: bool,
}

/// Places from -1 to 1 as numbers of pixels.
#[track_caller]
fn pixels(place: &Tensor, size: usize, options: GridSampleOptions) -> Tensor {
    let (n, last) = (size as f32, size as f32 - 1.0);
    if options.align_corners { place.affine(last / 2.0, last / 2.0) } else { place.affine(n / 2.0, (n - 1.0) / 2.0) }
}

/// Numbers of pixels that lie inside, but for those with zeros around them.
#[track_caller]
fn held(at: Tensor, size: usize, options: GridSampleOptions) -> Tensor {
    let (n, last) = (size as f32, size as f32 - 1.0);
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
            let span = at.new_full([], span);
            let left = far.fmod(&span);
            let odd = far.detach().floor_divide(&span).remainder(at.new_full([], 2.0));
            Tensor::where_(&odd, &span.sub(&left), &left).affine(1.0, low)
        }
    };
    at.clamp(0.0, last)
}

/// The pixels that a place along one dimension lies between, each with its share.
#[track_caller]
fn shares(place: &Tensor, size: usize, options: GridSampleOptions) -> Vec<(Tensor, Option<Tensor>)> {
    let at = pixels(place, size, options);
    match options.mode {
        GridMode::Nearest => vec![(held(at, size, options).detach().round(), None)],
        GridMode::Bilinear => {
            let at = held(at, size, options);
            let low = at.detach().floor();
            let along = at.sub(&low);
            vec![(low.clone(), Some(1.0 - &along)), (low + 1.0, Some(along))]
        }
        GridMode::Bicubic => {
            // Keys' kernel (1981) with a slope of -0.75, as elsewhere.
            let a = -0.75;
            let low = at.detach().floor();
            let along = at.sub(&low);
            let near = |x: &Tensor| x.affine(a + 2.0, -(a + 3.0)).mul(&x.square()).affine(1.0, 1.0);
            let far = |x: &Tensor| x.affine(a, -5.0 * a).mul(x).affine(1.0, 8.0 * a).mul(x).affine(1.0, -4.0 * a);
            let weights = [far(&(&along + 1.0)), near(&along), near(&(1.0 - &along)), far(&(2.0 - &along))];
            let step = |(at, weight): (i8, Tensor)| (held(&low + f32::from(at), size, options), Some(weight));
            (-1..).zip(weights).map(step).collect()
        }
    }
}

/// One of the pixels around each place.
struct Corner {
    /// Its number in the image, [n, 1, places].
    index: Tensor,
    is_in: Tensor,
    share: Option<Tensor>,
}

impl Corner {
    #[track_caller]
    fn new(all: &[Vec<(Tensor, Option<Tensor>)>], corner: usize, sizes: &[usize]) -> Corner {
        let (mut rest, mut index, mut is_in, mut share) = (corner, None::<Tensor>, None::<Tensor>, None::<Tensor>);
        for (axis, taps) in all.iter().enumerate() {
            let (at, weight) = &taps[rest % taps.len()];
            rest /= taps.len();
            let last = sizes[axis] as f32 - 1.0;
            let inside = at.ge(0).mul(&at.le(last));
            let at = at.detach().masked_fill(&at.isfinite().eq(0), 0.0).clamp(0.0, last);
            // Whole numbers: of many pixels f32 does not tell all apart.
            let at = at.cast(DType::I32);
            index = Some(index.map_or(at.clone(), |index| index * sizes[axis] as i32 + &at));
            is_in = Some(is_in.map_or(inside.clone(), |is_in| is_in.mul(&inside)));
            share = weight.as_ref().map(|w| share.map_or(w.clone(), |share| share.mul(w)));
        }
        let (index, is_in) = (index.expect("there are two axes"), is_in.expect("there are two axes"));
        Corner { index, is_in, share }
    }

    /// What all of them add to each place, of pixels [n, c, pixels].
    #[track_caller]
    fn sum(all: &[Corner], flat: &Tensor) -> Tensor {
        let joined = |of: &dyn Fn(&Corner) -> &Tensor| Tensor::stack(&all.iter().map(of).collect::<Vec<_>>(), 2);
        let index = joined(&|corner| &corner.index);
        let [n, c, corners, places] = [flat.size(0), flat.size(1), all.len(), index.size(3)];
        let index = index.reshape([n, 1, corners * places]).expand([n, c, corners * places]);
        let found = flat.gather(2, &index).reshape([n, c, corners, places]);
        let found = Tensor::where_(&joined(&|corner| &corner.is_in), &found, &flat.new_zeros([]));
        let shares: Option<Vec<&Tensor>> = all.iter().map(|corner| corner.share.as_ref()).collect();
        let parts = shares.map_or(found.clone(), |shares| found.mul(&Tensor::stack(&shares, 2)));
        if corners == 1 {
            return parts.squeeze(2);
        }
        // In the order of memory.
        let order = parts.layout().own_order();
        let at = order.iter().position(|&d| d == 2).expect("each dimension has a place");
        parts.permute(&order).sum_dims(&[at], KeepDims::Yes).permuted_back(&order).squeeze(2)
    }
}

/// # Images at places
impl Tensor {
    /// The grid of places that [`Tensor::grid_sample`] takes, moved by affine maps: of these `[n, 2, 3]`, from places of the result to
    /// places of the image, and the result's size `[h, w]`, `[n, h, w, 2]`; of `[n, 3, 4]` and `[d, h, w]`, `[n, d, h, w, 3]`.
    /// `align_corners` is that of the sampling. PyTorch's `affine_grid`, whose size has the batch and the channels before.
    ///
    /// ```
    /// use wgrad::{GridSampleOptions, Tensor};
    /// let device = wgrad::Device::cpu();
    /// let x = Tensor::arange(0, 4, &device).cast(wgrad::DType::F32).reshape([1, 1, 2, 2]);
    /// // Left and right change places.
    /// let turn = Tensor::from_slice(&[-1.0f32, 0.0, 0.0, 0.0, 1.0, 0.0], [1, 2, 3], &device);
    /// let y = x.grid_sample(&turn.affine_grid(&[2, 2], false), GridSampleOptions::default());
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 0.0, 3.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If these are no such maps, or a size is 0.
    #[track_caller]
    pub fn affine_grid(&self, size: &[usize], align_corners: bool) -> Tensor {
        let (shape, axes) = (self.shape(), size.len());
        let fits = (axes == 2 || axes == 3) && shape.rank() == 3 && shape[1..] == [axes, axes + 1];
        assert!(
            fits && !size.contains(&0),
            "affine_grid: {shape} to {size:?}: expected maps [n, 2, 3] and sizes [h, w], or [n, 3, 4] and [d, h, w]"
        );
        let last = |n: usize| if align_corners { 1.0 } else { 1.0 - 1.0 / n as f32 };
        // A side of one pixel lies in the middle.
        let side = |n: usize| match n {
            1 => Tensor::full([1], 0.0f32, self.device()),
            _ => Tensor::linspace(-last(n), last(n), n, self.device()),
        };
        let sides: Vec<Tensor> = size.iter().map(|&n| side(n)).collect();
        let mut points = Tensor::meshgrid(&sides.iter().collect::<Vec<_>>());
        // The last dimension of the image comes first.
        points.reverse();
        points.push(Tensor::ones(size, self.device()));
        let points = Tensor::stack(&points, axes).reshape([-1, axes as isize + 1]);
        let grid = points.cast(self.dtype()).matmul(&self.transpose(1, 2));
        grid.reshape_to(Shape::from([&[shape[0]][..], size, &[axes]].concat()))
    }

    /// Images `[n, c, h, w]` at the places of a grid `[n, out_h, out_w, 2]`, from -1 to 1, x before y: `[n, c, out_h, out_w]`;
    /// or volumes `[n, c, d, h, w]` by a grid `[n, out_d, out_h, out_w, 3]`.
    ///
    /// # Panics
    /// If these are no images and no grid for as many.
    #[track_caller]
    pub fn grid_sample(&self, grid: &Tensor, options: GridSampleOptions) -> Tensor {
        let (x, g) = (self.shape(), grid.shape());
        let axes = x.rank().saturating_sub(2);
        let fits = (axes == 2 || axes == 3) && g.rank() == x.rank() && g[0] == x[0] && g[axes + 1] == axes;
        let fits = fits && x[2..].iter().all(|&size| size > 0);
        assert!(
            fits,
            "grid_sample: {x} x {g}: expected images [n, c, h, w] and a grid [n, h, w, 2], or volumes and [n, d, h, w, 3]"
        );
        let (n, c, sizes) = (x[0], x[1], &x[2..]);
        let count: usize = g[1..=axes].iter().product();
        let flat = self.reshape_to(Shape::from([n, c, sizes.iter().product()]));
        let places = grid.reshape_to(Shape::from([n, 1, count, axes]));
        // The last dimension of the image comes first in the grid.
        let along = |axis: usize| shares(&places.narrow(3, axes - 1 - axis, 1).squeeze(3), sizes[axis], options);
        let all: Vec<_> = (0..axes).map(along).collect();
        let corners: Vec<Corner> =
            (0..all.iter().map(Vec::len).product()).map(|at| Corner::new(&all, at, sizes)).collect();
        // As many corners at once as can be bound.
        let bytes = (4 * n * c * count).max(1) as u64;
        let most = (self.device().info().max_binding_bytes / bytes).clamp(1, corners.len() as u64) as usize;
        let parts = corners.chunks(most).map(|corners| Corner::sum(corners, &flat));
        let y = parts.reduce(|sum, part| sum.add(&part)).expect("there is a corner");
        let y = if options.mode == GridMode::Nearest { y.flat_in("grid_sample", &[grid]) } else { y };
        y.reshape_to(Shape::from([&[n, c], &g[1..=axes]].concat()))
    }
}
