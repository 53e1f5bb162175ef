//! The operations that are timed, at the sizes of real training.

use wgrad::loss::CtcOptions;
use wgrad::nn::Parameter;
use wgrad::optim::{
    Adagrad, AdagradOptions, Adam, AdamOptions, Adamax, AdamaxOptions, Momentum, NAdam, NAdamOptions, Optimizer, RAdam,
    RAdamOptions, Sgd, SgdOptions, SparseAdam, SparseAdamOptions,
};
use wgrad::{
    AttentionOptions, Conv2dOptions, Device, Draw, EmbeddingOptions, GridSampleOptions, KeepDims, MaxPool2dOptions,
    Result, Rng, Tensor,
};

/// Something to run again and again.
pub type Run = Box<dyn FnMut()>;

/// Makes what an operation needs on a device.
type Start = Box<dyn Fn(&Device) -> Result<Run>>;

/// An operation at one size.
pub struct Op {
    pub name: &'static str,
    pub shape: String,
    pub start: Start,
}

fn op(name: &'static str, shape: impl Into<String>, start: impl Fn(&Device) -> Result<Run> + 'static) -> Op {
    Op { name, shape: shape.into(), start: Box::new(start) }
}

fn normal(shape: &[usize], device: &Device) -> Tensor {
    Tensor::normal(wgrad::Shape::new(shape), 0.0, 1.0, &mut Rng::new(shape.len() as u64), device)
}

fn below(end: usize, count: usize, device: &Device) -> Tensor {
    let mut rng = Rng::new(7);
    let values: Vec<i32> = (0..count).map(|_| rng.below(end as u32) as i32).collect();
    Tensor::from_vec(values, [count], device)
}

/// The shape as text.
fn text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// A function of one tensor.
fn function(name: &'static str, shape: &'static [usize], run: fn(&Tensor) -> Tensor) -> Op {
    op(name, text(shape), move |device| {
        let x = normal(shape, device);
        Ok(Box::new(move || drop(run(&x))))
    })
}

/// The gradient of a function of one tensor.
fn gradient(name: &'static str, shape: &'static [usize], run: fn(&Tensor) -> Tensor) -> Op {
    op(name, text(shape), move |device| {
        let y = run(&normal(shape, device).requires_grad());
        let dy = y.detach().affine(0.5, 0.1);
        Ok(Box::new(move || drop(y.backward_with(&dy))))
    })
}

/// A function of two tensors of one shape.
fn pair(name: &'static str, shape: &'static [usize], run: fn(&Tensor, &Tensor) -> Tensor) -> Op {
    op(name, text(shape), move |device| {
        let (a, b) = (normal(shape, device), normal(shape, device));
        Ok(Box::new(move || drop(run(&a, &b))))
    })
}

/// Every operation.
pub fn all() -> Vec<Op> {
    let mut ops = products();
    ops.extend(elements());
    ops.extend(rows());
    ops.extend(images());
    ops.extend(training());
    ops
}

/// [m, k] x [k, n], either read transposed.
#[derive(Clone, Copy)]
enum Order {
    Plain,
    /// b is kept as [n, k]: a linear layer.
    TransposedB,
    /// a is kept as [k, m]: the gradient of its weight.
    TransposedA,
}

fn products() -> Vec<Op> {
    use Order::{Plain, TransposedA, TransposedB};
    let sizes = [
        ([256, 256, 256], Plain),
        ([512, 512, 512], Plain),
        ([1024, 1024, 1024], Plain),
        ([2048, 2048, 2048], Plain),
        ([64, 784, 128], TransposedB),
        ([64, 3136, 128], TransposedB),
        ([64, 128, 3136], Plain),
        ([128, 64, 3136], TransposedA),
        ([64, 128, 10], TransposedB),
        ([1024, 128, 128], TransposedB),
        ([1024, 128, 512], TransposedB),
        ([1024, 512, 128], TransposedB),
        ([128, 1024, 512], TransposedA),
    ];
    let product = |([m, k, n], order): ([usize; 3], Order)| {
        let mark = match order {
            Plain => "",
            TransposedA => " (a transposed)",
            TransposedB => " (b transposed)",
        };
        op("matmul", format!("{m}x{k}x{n}{mark}"), move |device| {
            let (a, b) = match order {
                Plain => (normal(&[m, k], device), normal(&[k, n], device)),
                TransposedA => (normal(&[k, m], device).t(), normal(&[k, n], device)),
                TransposedB => (normal(&[m, k], device), normal(&[n, k], device).t()),
            };
            Ok(Box::new(move || drop(a.matmul(&b))))
        })
    };
    let batched = op("matmul", "32 of 128x32x128 (b transposed)", |device| {
        let (a, b) = (normal(&[32, 128, 32], device), normal(&[32, 128, 32], device).transpose(1, 2));
        Ok(Box::new(move || drop(a.matmul(&b))))
    });
    let linears = [[64, 784, 128], [64, 3136, 128], [1024, 128, 512], [1024, 512, 128]].into_iter().flat_map(linears);
    sizes.into_iter().map(product).chain([batched]).chain(linears).collect()
}

/// A layer of [rows, inputs] to [rows, outputs] with a bias, and its gradients.
fn linears([rows, inputs, outputs]: [usize; 3]) -> [Op; 2] {
    let parts = move |device: &Device| {
        (normal(&[rows, inputs], device), normal(&[outputs, inputs], device), normal(&[outputs], device))
    };
    let shape = format!("{rows}x{inputs} to {outputs}");
    let forward = op("linear", shape.clone(), move |device| {
        let (x, w, b) = parts(device);
        Ok(Box::new(move || drop(x.linear(&w, Some(&b)))))
    });
    let gradients = op("linear gradients", shape, move |device| {
        let (x, w, b) = parts(device);
        let y = x.requires_grad().linear(&w.requires_grad(), Some(&b.requires_grad()));
        let dy = y.detach().affine(0.5, 0.1);
        Ok(Box::new(move || drop(y.backward_with(&dy))))
    });
    [forward, gradients]
}

fn elements() -> Vec<Op> {
    const N: &[usize] = &[16 << 20];
    vec![
        function("copy", N, |x| x.copy()),
        pair("add", N, |a, b| a.add(b)),
        pair("mul", N, |a, b| a.mul(b)),
        function("relu", N, |x| x.relu()),
        function("gelu", N, |x| x.gelu()),
        gradient("relu gradient", N, |x| x.relu()),
        gradient("gelu gradient", N, |x| x.gelu()),
        op("add a row", "16384x1024", |device| {
            let (x, row) = (normal(&[16384, 1024], device), normal(&[1024], device));
            Ok(Box::new(move || drop(x.add(&row))))
        }),
        op("dropout", text(N), |device| {
            let x = normal(N, device);
            let draw = Draw { seed: 1, stream: 0, step: Tensor::from_slice(&[1, 0], [2], device), offset: 0 };
            Ok(Box::new(move || drop(x.dropout(0.5, &draw))))
        }),
        function("transpose", &[4096, 4096], |x| x.t().contiguous()),
        pair("lt", N, |a, b| a.lt(b)),
        pair("where", N, |a, b| Tensor::where_(a, a, b)),
        function("where of a number", N, |x| Tensor::where_(x, &Tensor::scalar(1.0f32, x.device()), x)),
        gradient("prelu of one slope, gradient", N, |x| x.prelu(&Tensor::scalar(0.25f32, x.device()))),
        // The heads of attention: rows of 32 in another order.
        function("copy of heads", &[8, 128, 4, 32], |x| x.permute(&[0, 2, 1, 3]).contiguous()),
    ]
}

/// A causal mask, and one that hides the end of each sequence of a batch.
fn padded(x: &Tensor) -> AttentionOptions {
    let (batch, rows) = (x.size(0), x.size(1));
    let lengths: Vec<i32> = (0..batch).map(|i| (rows - rows * i / (2 * batch)) as i32).collect();
    AttentionOptions::causal().padded(&Tensor::from_slice(&lengths, [batch], x.device()), rows)
}

fn rows() -> Vec<Op> {
    const ROWS: &[usize] = &[2048, 768];
    vec![
        function("sum", &[16 << 20], |x| x.sum()),
        function("sum of columns", &[4096, 768], |x| x.sum_dims(&[0], KeepDims::No)),
        function("sum of rows", &[4096, 768], |x| x.sum_dims(&[1], KeepDims::No)),
        function("softmax", ROWS, |x| x.softmax(-1)),
        gradient("softmax gradient", ROWS, |x| x.softmax(-1)),
        function("log_softmax", ROWS, |x| x.log_softmax(-1)),
        gradient("log_softmax gradient", ROWS, |x| x.log_softmax(-1)),
        function("amax of rows", &[4096, 768], |x| x.amax(&[1], KeepDims::No)),
        function("amin of columns", &[4096, 768], |x| x.amin(&[0], KeepDims::No)),
        normalised("layer_norm", false, |x, w, b| x.layer_norm(&[768], Some(w), Some(b), 1e-5)),
        normalised("layer_norm gradients", true, |x, w, b| x.layer_norm(&[768], Some(w), Some(b), 1e-5)),
        normalised("rms_norm", false, |x, w, _| x.rms_norm(&[768], Some(w), 1e-6)),
        normalised("rms_norm gradients", true, |x, w, _| x.rms_norm(&[768], Some(w), 1e-6)),
        function("self_attention, causal, 4 heads", &[8, 128, 384], |x| {
            x.self_attention(4, &AttentionOptions::causal())
        }),
        gradient("self_attention, causal, 4 heads, gradient", &[8, 128, 384], |x| {
            x.self_attention(4, &AttentionOptions::causal())
        }),
        function("self_attention, 12 heads", &[2, 512, 2304], |x| x.self_attention(12, &AttentionOptions::default())),
        gradient("self_attention, 12 heads, gradient", &[2, 512, 2304], |x| {
            x.self_attention(12, &AttentionOptions::default())
        }),
        function("self_attention, 4 heads of 128", &[1, 256, 1536], |x| {
            x.self_attention(4, &AttentionOptions::default())
        }),
        gradient("self_attention, 4 heads of 128, gradient", &[1, 256, 1536], |x| {
            x.self_attention(4, &AttentionOptions::default())
        }),
        function("self_attention, padded, 4 heads", &[8, 128, 384], |x| x.self_attention(4, &padded(x))),
        gradient("self_attention, padded, 4 heads, gradient", &[8, 128, 384], |x| x.self_attention(4, &padded(x))),
        cross_entropy("cross_entropy", 1024, 65),
        cross_entropy("cross_entropy", 64, 10),
        ctc(),
        op("embedding", "1024 rows of 65x128", |device| {
            let (table, index) = (normal(&[65, 128], device), below(65, 1024, device));
            Ok(Box::new(move || drop(table.embedding(&index))))
        }),
        op("embedding gradient", "1024 rows of 65x128", |device| {
            let (table, index) = (normal(&[65, 128], device).requires_grad(), below(65, 1024, device));
            let y = table.embedding(&index);
            let dy = y.detach().affine(0.5, 0.1);
            Ok(Box::new(move || drop(y.backward_with(&dy))))
        }),
        op("embedding gradient", "129 rows of 20000x15", |device| {
            let (table, index) = (normal(&[20_000, 15], device).requires_grad(), below(20_000, 129, device));
            let y = table.embedding(&index);
            let dy = y.detach().affine(0.5, 0.1);
            Ok(Box::new(move || drop(y.backward_with(&dy))))
        }),
        op("index_add", "7000 rows to 1000x64", |device| {
            let (x, index) = (normal(&[1000, 64], device), below(1000, 7000, device));
            let src = normal(&[7000, 64], device);
            Ok(Box::new(move || drop(x.index_add(0, &index, &src))))
        }),
        op("index_select gradient", "7000 rows of 1000x64", |device| {
            let (x, index) = (normal(&[1000, 64], device).requires_grad(), below(1000, 7000, device));
            let y = x.index_select(0, &index);
            let dy = y.detach().affine(0.5, 0.1);
            Ok(Box::new(move || drop(y.backward_with(&dy))))
        }),
        op("scatter_add by rows", "20000 rows to 1000x8", |device| {
            let (x, src) = (normal(&[1000, 8], device), normal(&[20_000, 8], device));
            let index = below(1000, 20_000, device).unsqueeze(1).expand([20_000, 8]);
            Ok(Box::new(move || drop(x.scatter_add(0, &index, &src))))
        }),
        op("grid_sample and gradient", "5184 of 4x16x24x24", |device| {
            let x = normal(&[4, 16, 24, 24], device).requires_grad();
            let grid = normal(&[4, 5184, 1, 2], device).requires_grad();
            let run = move || drop(x.grid_sample(&grid, GridSampleOptions::default()).sum().backward());
            Ok(Box::new(run))
        }),
        op("matmul of vectors", "1048576", |device| {
            let (a, b) = (normal(&[1 << 20], device), normal(&[1 << 20], device));
            Ok(Box::new(move || drop(a.matmul(&b))))
        }),
        op("pad", "32x64x28x28 by 1", |device| {
            let x = normal(&[32, 64, 28, 28], device);
            Ok(Box::new(move || drop(x.pad(&[(1, 1), (1, 1)], 0.0))))
        }),
        op("logaddexp", "262144", |device| {
            let (a, b) = (normal(&[1 << 18], device), normal(&[1 << 18], device));
            Ok(Box::new(move || drop(a.logaddexp(&b))))
        }),
    ]
}

/// Rows of 768 that are normalised, or the gradients of that.
fn normalised(name: &'static str, is_gradient: bool, run: fn(&Tensor, &Tensor, &Tensor) -> Tensor) -> Op {
    op(name, "2048x768", move |device| {
        let (x, w, b) = (normal(&[2048, 768], device), Tensor::ones([768], device), Tensor::zeros([768], device));
        if !is_gradient {
            return Ok(Box::new(move || drop(run(&x, &w, &b))));
        }
        let y = run(&x.requires_grad(), &w.requires_grad(), &b.requires_grad());
        let dy = y.detach().affine(0.5, 0.1);
        Ok(Box::new(move || drop(y.backward_with(&dy))))
    })
}

/// With the gradient, as a training step runs it.
/// The loss and its gradient of 20 labels in 100 steps.
fn ctc() -> Op {
    op("ctc_loss", text(&[100, 32, 29]), |device| {
        let scores = normal(&[100, 32, 29], device).log_softmax(-1).detach().requires_grad();
        let labels = (below(28, 32 * 20, device) + 1).reshape([32, 20]);
        let [steps, counts] = [100, 20].map(|number| Tensor::full([32], number, device));
        Ok(Box::new(move || drop(scores.ctc_loss(&labels, &steps, &counts, CtcOptions::default()).backward())))
    })
}

fn cross_entropy(name: &'static str, rows: usize, classes: usize) -> Op {
    op(name, format!("{rows}x{classes}"), move |device| {
        let logits = normal(&[rows, classes], device).requires_grad();
        let labels = below(classes, rows, device);
        Ok(Box::new(move || drop(logits.cross_entropy(&labels).backward())))
    })
}

/// Images [n, channels, side, side] under square kernels, 0 around them.
fn convolutions([n, channels, side, outputs]: [usize; 4], kernel: usize) -> Vec<Op> {
    let names = ["conv2d", "conv2d input gradient", "conv2d weight gradient"];
    let options = Conv2dOptions { padding: [kernel / 2; 2], ..Conv2dOptions::default() };
    let shape = format!("{n}x{channels}x{side}x{side} to {outputs}, {kernel}x{kernel}");
    convolution(names, &shape, [n, channels, side], [outputs, channels, kernel], options)
}

/// The same under a kernel for each channel.
fn depthwise([n, channels, side, kernel]: [usize; 4], stride: usize) -> Vec<Op> {
    let names = ["depthwise", "depthwise input gradient", "depthwise weight gradient"];
    let padding = [kernel / 2; 2];
    let options = Conv2dOptions { padding, stride: [stride; 2], groups: channels, ..Conv2dOptions::default() };
    let shape = format!("{n}x{channels}x{side}x{side}, {kernel}x{kernel}, stride {stride}");
    convolution(names, &shape, [n, channels, side], [channels, 1, kernel], options)
}

/// Images [n, channels, side, side] under a weight [outputs, inputs, kernel, kernel].
fn convolution(
    names: [&'static str; 3],
    shape: &str,
    [n, channels, side]: [usize; 3],
    [outputs, inputs, kernel]: [usize; 3],
    options: Conv2dOptions,
) -> Vec<Op> {
    let start = move |which: usize| {
        move |device: &Device| -> Result<Run> {
            // Channels are neighbours in memory, as the layer before leaves them.
            let x = normal(&[n, side, side, channels], device).permute(&[0, 3, 1, 2]);
            let w = normal(&[outputs, inputs, kernel, kernel], device);
            let y = match which {
                0 => return Ok(Box::new(move || drop(x.conv2d(&w, None, options)))),
                1 => x.requires_grad().conv2d(&w, None, options),
                _ => x.conv2d(&w.requires_grad(), None, options),
            };
            let dy = y.detach().affine(0.5, 0.1);
            Ok(Box::new(move || drop(y.backward_with(&dy))))
        }
    };
    (0..3).map(|which| op(names[which], shape, start(which))).collect()
}

fn images() -> Vec<Op> {
    const IMAGES: &[usize] = &[64, 28, 28, 32];
    let mut ops: Vec<Op> = [[64, 1, 28, 32], [64, 32, 14, 64], [64, 3, 32, 32], [64, 32, 16, 64], [16, 64, 56, 64]]
        .into_iter()
        .flat_map(|s| convolutions(s, 3))
        .collect();
    // Few channels.
    for (s, kernel) in
        [([32, 3, 32, 8], 3), ([32, 8, 32, 16], 3), ([32, 16, 32, 16], 3), ([32, 32, 16, 12], 3), ([8, 32, 32, 3], 9)]
    {
        ops.extend(convolutions(s, kernel));
    }
    ops.extend(
        [([32, 64, 28, 3], 1), ([32, 64, 28, 3], 2), ([16, 96, 14, 7], 1)]
            .into_iter()
            .flat_map(|(s, step)| depthwise(s, step)),
    );
    let pooled = |x: &Tensor| x.permute(&[0, 3, 1, 2]).max_pool2d(MaxPool2dOptions::new(2));
    ops.push(function("max_pool2d", IMAGES, pooled));
    ops.push(gradient("max_pool2d gradient", IMAGES, pooled));
    let overlapping = |x: &Tensor| {
        let windows = MaxPool2dOptions { stride: [2, 2], padding: [1, 1], ..MaxPool2dOptions::new(3) };
        x.permute(&[0, 3, 1, 2]).max_pool2d(windows)
    };
    ops.push(gradient("max_pool2d 3x3 gradient", IMAGES, overlapping));
    let mean = |x: &Tensor| x.permute(&[0, 3, 1, 2]).adaptive_avg_pool2d([1, 1]);
    ops.push(function("mean of images", IMAGES, mean));
    ops.push(gradient("mean of images gradient", IMAGES, mean));
    ops.push(gradient("batch_norm gradient", IMAGES, |x| x.permute(&[0, 3, 1, 2]).batch_norm(None, None, 1e-5).output));
    ops.push(op("batch_norm", text(IMAGES), |device| {
        let x = normal(IMAGES, device).permute(&[0, 3, 1, 2]);
        let (w, b) = (Tensor::ones([32], device), Tensor::zeros([32], device));
        Ok(Box::new(move || drop(x.batch_norm(Some(&w), Some(&b), 1e-5))))
    }));
    ops
}

fn training() -> Vec<Op> {
    const N: usize = 4 << 20;
    fn start<O: Optimizer + 'static>(device: &Device, make: impl Fn(&Parameter) -> Result<O>) -> Result<Run> {
        let parameter = Parameter::new(normal(&[N], device));
        let mut optimizer = make(&parameter)?;
        let grads = parameter.tensor().affine(0.01, 0.0).sum().backward();
        Ok(Box::new(move || optimizer.step(&grads)))
    }
    let momentum = SgdOptions { momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    let mut all = vec![
        op("adam", N.to_string(), |device| start(device, |p| Adam::new(p, AdamOptions::default()))),
        op("nadam", N.to_string(), |device| start(device, |p| NAdam::new(p, NAdamOptions::default()))),
        op("radam", N.to_string(), |device| start(device, |p| RAdam::new(p, RAdamOptions::default()))),
        op("adamax", N.to_string(), |device| start(device, |p| Adamax::new(p, AdamaxOptions::default()))),
        op("sgd", N.to_string(), |device| start(device, |p| Sgd::new(p, SgdOptions::default()))),
        op("sgd_momentum", N.to_string(), move |device| start(device, |p| Sgd::new(p, momentum))),
    ];
    all.extend([50_000, 1_000_000].into_iter().flat_map(tables));
    all
}

/// A step of a table from which 512 rows are taken: whole, and these rows alone.
fn tables(size: usize) -> [Op; 4] {
    fn start<O: Optimizer + 'static>(
        device: &Device,
        (size, sparse): (usize, bool),
        make: impl Fn(&Parameter) -> Result<O>,
    ) -> Result<Run> {
        let table = Parameter::new(Tensor::full([size, 32], 0.5, device).copy());
        let (mut optimizer, index) = (make(&table)?, below(size, 512, device));
        let options = EmbeddingOptions { sparse, ..EmbeddingOptions::default() };
        Ok(Box::new(move || optimizer.step(&table.tensor().embedding_with(&index, &options).sum().backward())))
    }
    let of = format!("512 of {size}x32");
    let adagrad = AdagradOptions::default();
    [
        op("a table by Adam", &of, move |d| start(d, (size, false), |p| Adam::new(p, AdamOptions::default()))),
        op("rows by SparseAdam", &of, move |d| {
            start(d, (size, true), |p| SparseAdam::new(p, SparseAdamOptions::default()))
        }),
        op("a table by Adagrad", &of, move |d| start(d, (size, false), |p| Adagrad::new(p, adagrad))),
        op("rows by Adagrad", &of, move |d| start(d, (size, true), |p| Adagrad::new(p, adagrad))),
    ]
}
