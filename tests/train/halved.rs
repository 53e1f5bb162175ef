//! Models of half size: they train, are saved and loaded, and mix with other types as in PyTorch.

use crate::devices::{devices, gpu};
use wgrad::kernel::{Access, Kernel};
use wgrad::nn::{BatchNorm1d, Ctx, Init, Layer, LayerNorm, Linear, Module, Relu, Sequential, Strictness, Values};
use wgrad::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{
    AttentionOptions, Conv2dOptions, DType, Device, MaxPool2dOptions, Reduction, Rng, Tensor, bf16, checkpoint, nn,
};

const HALVES: [DType; 2] = [DType::F16, DType::BF16];

fn model(device: &Device) -> Sequential {
    let init = &mut Init::new(3, device);
    Sequential::new()
        .push(Linear::new(7, 33, init))
        .push(LayerNorm::new([33], init))
        .push(Relu::new())
        .push(BatchNorm1d::new(33, init))
        .push(Linear::new(33, 5, init))
}

fn batch(device: &Device) -> [Tensor; 2] {
    let mut rng = Rng::new(5);
    let x = Tensor::normal([24, 7], 0.0, 1.0, &mut rng, device);
    let labels: Vec<i64> = (0..24).map(|_| i64::from(rng.below(5))).collect();
    [x, Tensor::from_vec(labels, [24], device)]
}

#[test]
fn models_of_half_size_train_alike_eager_and_replayed() {
    for (name, device) in devices() {
        for dtype in HALVES {
            let [x, labels] = batch(&device);
            let x = x.cast(dtype);
            let train = |replayed: bool, defined: bool| {
                let model = model(&device);
                model.cast(dtype);
                let options = AdamOptions { lr: 0.02, ..AdamOptions::default() };
                let adam = Adam::new(&model, options).expect("options").clip_grad_norm(1.0).expect("a bound");
                let mut adam = if defined { adam.by_definition() } else { adam };
                let (mut replay, mut losses) = (Replay::new(), Vec::new());
                for _ in 0..12 {
                    let mut step = |[x, labels]: [&Tensor; 2]| {
                        let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
                        assert_eq!(loss.dtype(), dtype);
                        let grads = loss.backward();
                        assert!(
                            grads.iter().all(|(leaf, gradient)| leaf.dtype() == dtype && gradient.dtype() == dtype)
                        );
                        adam.step(&grads);
                        Ok(loss)
                    };
                    let loss = match replayed {
                        true => replay.run([&x, &labels], step).expect("the step can be replayed"),
                        false => step([&x, &labels]).expect("a loss"),
                    };
                    losses.push(loss.item().expect("a loss"));
                }
                let state = nn::state(&model).expect("values");
                let floats = state.values().filter(|tensor| !matches!(tensor.values, Values::I64(_)));
                assert!(floats.clone().count() > 8 && floats.clone().all(|tensor| tensor.values.dtype() == dtype));
                (losses, state)
            };
            let (losses, state) = train(false, false);
            assert!(losses[11] < 0.6 * losses[0], "{name} {dtype}: {losses:?}");
            assert_eq!((&losses, &state), (&train(true, false).0, &train(true, false).1), "{name} {dtype}");
            let defined = train(false, true).0;
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 16.0 * dtype.epsilon();
            assert!(losses.iter().zip(&defined).all(near), "{name} {dtype}: {losses:?} {defined:?}");
        }
    }
}

#[test]
fn gpu_kernels_of_half_size_are_those_of_their_definitions() {
    let Some(device) = gpu() else { return };
    let device = Device::checked(device);
    for dtype in HALVES {
        let model = model(&device);
        model.cast(dtype);
        let mut adam = Adam::new(&model, AdamOptions::default()).expect("options");
        let [x, labels] = batch(&device);
        let loss = model.forward(&x.cast(dtype), &Ctx::train()).cross_entropy(&labels);
        adam.step(&loss.backward());
        let images = Tensor::normal([2, 3, 9, 9], 0.0, 1.0, &mut Rng::new(1), &device).cast(dtype).requires_grad();
        let w = Tensor::normal([5, 3, 3, 3], 0.0, 0.3, &mut Rng::new(2), &device).cast(dtype).requires_grad();
        let y = images.conv2d(&w, None, Conv2dOptions::default()).gelu().max_pool2d(MaxPool2dOptions::new(2));
        let grads = y.softmax(-1).amax(&[1], wgrad::KeepDims::No).sum().backward();
        let sums = [&images, &w].map(|leaf| grads.of(leaf).expect("a gradient").sum().item());
        assert!(loss.item().is_ok() && sums.iter().all(|sum| sum.is_ok()), "{dtype}: {sums:?}");
    }
}

#[test]
fn parameters_of_two_types_train_beside_each_other() {
    let device = Device::cpu();
    let init = &mut Init::new(3, &device);
    let (first, second) = (Linear::new(7, 9, init), Linear::new(9, 5, init));
    first.cast(DType::BF16);
    let mut sgd = Sgd::new(&(&first, &second), SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("options");
    let [x, labels] = batch(&device);
    let mut losses = Vec::new();
    for _ in 0..10 {
        let loss =
            second.forward(&first.forward(&x.cast(DType::BF16), &Ctx::train()), &Ctx::train()).cross_entropy(&labels);
        assert_eq!(loss.dtype(), DType::F32);
        sgd.step(&loss.backward());
        losses.push(loss.item().expect("a loss"));
    }
    assert!(losses[9] < losses[0], "{losses:?}");
    assert_eq!([&first, &second].map(|layer| layer.weight.tensor().dtype()), [DType::BF16, DType::F32]);
}

#[test]
fn files_hold_each_type_and_are_read_into_others() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().expect("a folder");
    let (wide, narrow) = (model(&device), model(&device));
    narrow.cast(DType::BF16);
    let (wide_file, narrow_file) = (folder.path().join("wide"), folder.path().join("narrow"));
    checkpoint::save(&wide, &wide_file).expect("a file");
    checkpoint::save(&narrow, &narrow_file).expect("a file");
    let held = checkpoint::read(&narrow_file).expect("values");
    assert_eq!(held["0.weight"].values.dtype(), DType::BF16);
    assert_eq!(held, nn::state(&narrow).expect("values"));
    // As PyTorch's copy_ does: rounded one way, exact the other.
    let other = model(&device);
    other.cast(DType::BF16);
    checkpoint::load(&other, &wide_file, Strictness::Strict).expect("it fits");
    assert_eq!(nn::state(&other).expect("values"), held);
    let other = model(&device);
    checkpoint::load(&other, &narrow_file, Strictness::Strict).expect("it fits");
    other.cast(DType::BF16);
    assert_eq!(nn::state(&other).expect("values"), held);
    narrow.copy_from(&wide).expect("models of one kind");
    assert_eq!(nn::state(&narrow).expect("values"), held);
    // Bytes and truth values.
    let values = nn::StateDict::from([
        ("bytes".into(), nn::StateTensor { shape: vec![3], values: Values::U8(vec![0, 7, 255]) }),
        ("mask".into(), nn::StateTensor { shape: vec![2], values: Values::Bool(vec![true, false]) }),
    ]);
    let file = checkpoint::to_bytes(&values).expect("bytes");
    assert_eq!(checkpoint::from_bytes(&file).expect("values"), values);
}

#[test]
fn types_that_meet_are_promoted_as_by_pytorch() {
    let device = Device::cpu();
    let of = |dtype: DType, rank: usize| Tensor::ones(vec![3; rank], &device).cast(dtype);
    use DType::{BF16, F16, F32};
    let facts = [
        (F16, 1, BF16, 1, F32),
        (F16, 1, F32, 1, F32),
        (BF16, 1, F32, 1, F32),
        (F16, 1, F32, 0, F16),
        (BF16, 1, F32, 0, BF16),
        (F16, 1, BF16, 0, F16),
        (F16, 0, F32, 1, F32),
        (F16, 0, F32, 0, F32),
        (F32, 1, BF16, 0, F32),
    ];
    for (a, a_rank, b, b_rank, want) in facts {
        let (x, y) = (of(a, a_rank), of(b, b_rank));
        let all = [x.add(&y), x.mul(&y), y.sub(&x), x.maximum(&y), Tensor::where_(&x, &x, &y), x.gt(&y), x.pow(&y)];
        assert!(all.iter().all(|y| y.dtype() == want), "{a} {a_rank} x {b} {b_rank}: {want}");
    }
    let x = of(BF16, 2);
    assert_eq!((&x * 2.5).dtype(), BF16);
    assert_eq!([x.sum(), x.softmax(-1), x.matmul(&x), x.var(1)].map(|y| y.dtype()), [BF16; 4]);
    assert_eq!(x.matmul(&of(F32, 2)).dtype(), F32);
    // Gradients are of the types of what they are of.
    let (x, w) = (of(BF16, 2).requires_grad(), of(F32, 2).requires_grad());
    let grads = x.matmul(&w).mul(&x).sum().backward();
    assert_eq!([&x, &w].map(|leaf| grads.of(leaf).expect("a gradient").dtype()), [BF16, F32]);
    let refused = std::panic::catch_unwind(|| Tensor::full([2], 1i64, &Device::cpu()).exp());
    let said = refused.err().and_then(|text| text.downcast::<String>().ok()).expect("a sentence");
    assert_eq!(*said, "exp: expected a tensor of floats, got i64: cast it first");
    // Whole numbers beside floats are compared as floats.
    let (whole, half) = (Tensor::arange(-1, 2, &device), Tensor::full([3], 0.5f32, &device));
    let told =
        [whole.gt(-0.5), whole.gt(&half), half.lt(&whole), whole.eq(1.0)].map(|y| y.to_vec::<f32>().expect("read"));
    assert_eq!(told, [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]);
}

#[test]
fn labels_and_indices_of_i64_name_what_they_say() {
    for (name, device) in devices() {
        let logits = Tensor::from_slice(&[1.0f32, 2.0, 0.5, -1.0, 0.0, 3.0], [2, 3], &device);
        let loss =
            |labels: [i64; 2]| logits.cross_entropy(&Tensor::from_slice(&labels, [2], &device)).item().expect("a loss");
        let want = logits.cross_entropy(&Tensor::from_slice(&[2, 0], [2], &device)).item().expect("a loss");
        assert_eq!(loss([2, 0]), want, "{name}");
        assert!(loss([2, -100]).is_finite(), "{name}: -100 is ignored");
        // What its lower half names is not named.
        for far in [(1 << 32) + 1, -(1 << 32) + 1, i64::MIN, i64::MAX, (1 << 32) - 100] {
            assert!(loss([2, far]).is_nan(), "{name}: {far}");
        }
        let rows = Tensor::from_slice(&[1i64, 0, 1 << 32], [3], &device);
        let picked = logits.index_select(0, &rows).to_vec::<f32>().expect("values");
        assert_eq!(picked[..6], [-1.0, 0.0, 3.0, 1.0, 2.0, 0.5], "{name}");
        assert!(picked[6..].iter().all(|v| v.is_nan()), "{name}");
        let right = logits.argmax(1).eq(Tensor::from_slice(&[1i64, 2], [2], &device));
        assert_eq!(right.to_vec::<f32>().expect("values"), [1.0, 1.0], "{name}");
        let bytes = Tensor::from_slice(&[9u8, 8, 7], [3], &device)
            .index_select(0, &Tensor::from_slice(&[2i64, 0], [2], &device));
        assert_eq!(bytes.to_vec::<u8>().expect("bytes"), [7, 9], "{name}");
    }
}

#[test]
fn truth_values_are_masks() {
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, -2.0, 3.0], [3], &device);
        let truth = Tensor::from_slice(&[true, false, true], [3], &device);
        assert_eq!(x.masked_fill(&truth, 9.0).to_vec::<f32>().expect("values"), [9.0, -2.0, 9.0], "{name}");
        assert_eq!(truth.where_(&x, &x.neg()).to_vec::<f32>().expect("values"), [1.0, 2.0, 3.0], "{name}");
        let mut rng = Rng::new(2);
        let [q, k, v] = [0, 1, 2].map(|_| Tensor::normal([1, 2, 4, 8], 0.0, 1.0, &mut rng, &device));
        let sees: Vec<bool> = (0..16).map(|at| at % 3 != 1).collect();
        let added: Vec<f32> = sees.iter().map(|sees| if *sees { 0.0 } else { f32::NEG_INFINITY }).collect();
        let with = |mask: Tensor| {
            let options = AttentionOptions { mask: Some(mask), ..AttentionOptions::default() };
            q.scaled_dot_product_attention(&k, &v, &options).to_vec::<f32>().expect("values")
        };
        let want = with(Tensor::from_slice(&added, [4, 4], &device));
        assert_eq!(with(Tensor::from_slice(&sees, [4, 4], &device)), want, "{name}");
    }
}

#[test]
fn a_kernel_that_knows_f32_alone_takes_halves() {
    static DOUBLE: Kernel = Kernel::new(
        "double",
        &[Access::Read, Access::ReadWrite],
        |call| {
            let x = call.read::<f32>(0);
            call.write::<f32>(1).iter_mut().zip(x).for_each(|(y, x)| *y += 2.0 * x);
        },
        |d| d.cost(0),
    );
    let device = Device::checked(Device::cpu());
    let of = |values: &[f32]| values.iter().copied().map(bf16::from_f32).collect::<Vec<_>>();
    let x = Tensor::from_vec(of(&[1.0, 2.0, 3.0, 0.1, -7.0]), [5], &device);
    let y = Tensor::from_vec(of(&[0.5; 5]), [5], &device);
    Tensor::run(&DOUBLE, &[&x, &y], &0u32);
    assert_eq!(y.to_vec::<bf16>().expect("bf16"), of(&[2.5, 4.5, 6.5, 2.0f32.mul_add(0.10009766, 0.5), -13.5]));
    device
        .host(&[&x], &[&y], |call| {
            let x = call.read::<bf16>(0);
            call.write::<f32>(1).iter_mut().zip(x).for_each(|(y, x)| *y = x.to_f32() / 3.0);
            Ok(())
        })
        .expect("the host's work");
    assert_eq!(y.to_vec::<bf16>().expect("bf16")[1], bf16::from_f32(2.0 / 3.0));
    let mean = x.mse_loss(&y.cast(DType::F32), Reduction::Mean);
    assert_eq!(mean.dtype(), DType::F32);
}
