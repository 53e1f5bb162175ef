//! What is saved is what is loaded, under PyTorch's names and in its types.

use crate::devices::devices;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::Path;
use wgrad::nn::{
    BatchNorm2d, Conv2d, Ctx, Flatten, Init, Layer, Linear, Module, Sequential, StateDict, StateTensor, Strictness,
    Values, state,
};
use wgrad::{DType, Device, Tensor, checkpoint};

/// A model with weights, running statistics and a count.
pub fn model(seed: u64, device: &Device) -> Sequential {
    let init = &mut Init::new(seed, device);
    let layers =
        Sequential::new().push(Conv2d::new(1, 2, 3, init)).push(BatchNorm2d::new(2, init)).push(Flatten::new());
    layers.push(Linear::new(8, 3, init))
}

/// The values of a model's parameters and buffers.
pub fn values(model: &dyn Module) -> StateDict {
    state(model).expect("the device works")
}

/// A safetensors file with one tensor.
pub fn file_of(path: &Path, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
    let view = TensorView::new(dtype, shape.to_vec(), bytes).expect("the bytes fill the shape");
    std::fs::write(path, safetensors::serialize([(name, view)], None).expect("a file")).expect("it can be written");
}

#[test]
fn a_model_comes_back_to_the_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, device) in devices() {
        let saved = model(1, &device);
        // Two training passes move the statistics and count to two.
        let x = Tensor::arange(0, 32, &device).cast(DType::F32).reshape([2, 1, 4, 4]);
        for _ in 0..2 {
            saved.forward(&x, &Ctx::train());
        }
        let path = folder.path().join(name);
        checkpoint::save(&saved, &path).expect("it can be saved");
        let loaded = model(2, &device);
        assert_ne!(values(&loaded), values(&saved));
        let report = checkpoint::load(&loaded, &path, Strictness::Strict).expect("it fits");
        assert!(report.is_clean(), "{report}");
        assert_eq!(values(&loaded), values(&saved), "on {name}");
        assert_eq!(values(&loaded)["1.num_batches_tracked"].values, Values::I64(vec![2]));
        let answers = [&saved, &loaded].map(|model| model.forward(&x, &Ctx::eval()).to_vec::<f32>());
        assert_eq!(answers[0], answers[1], "on {name}");
    }
}

#[test]
fn a_file_holds_what_pytorch_expects() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.safetensors");
    checkpoint::save(&model(1, &Device::cpu()), &path).expect("it can be saved");
    let bytes = std::fs::read(&path).expect("it is there");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let mut found: Vec<(String, Dtype, Vec<usize>)> =
        file.tensors().into_iter().map(|(name, view)| (name, view.dtype(), view.shape().to_vec())).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let float = |name: &str, shape: &[usize]| (name.to_string(), Dtype::F32, shape.to_vec());
    let want = [
        float("0.bias", &[2]),
        float("0.weight", &[2, 1, 3, 3]),
        float("1.bias", &[2]),
        ("1.num_batches_tracked".to_string(), Dtype::I64, vec![]),
        float("1.running_mean", &[2]),
        float("1.running_var", &[2]),
        float("1.weight", &[2]),
        float("3.bias", &[3]),
        float("3.weight", &[3, 8]),
    ];
    assert_eq!(found, want);
}

#[test]
fn every_value_survives_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.safetensors");
    let odd = vec![0.0, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0 / 3.0];
    let tensor = |shape: &[usize], values| StateTensor { shape: shape.to_vec(), values };
    let written = StateDict::from([
        ("floats".to_string(), tensor(&[2, 4], Values::F32(odd.clone()))),
        ("count".to_string(), tensor(&[], Values::I64(vec![i64::MIN]))),
        ("none".to_string(), tensor(&[0, 3], Values::F32(vec![]))),
        ("größe.日本".to_string(), tensor(&[1], Values::F32(vec![7.0]))),
    ]);
    checkpoint::write(&written, &path).expect("it can be written");
    let read = checkpoint::read(&path).expect("it can be read");
    let Values::F32(floats) = &read["floats"].values else { panic!("{read:?}") };
    assert!(floats.iter().zip(&odd).all(|(a, b)| a.to_bits() == b.to_bits()), "{floats:?}");
    let without_nan = |mut state: StateDict| {
        state.remove("floats");
        state
    };
    assert_eq!(read["floats"].shape, [2, 4]);
    assert_eq!(without_nan(read), without_nan(written));
    checkpoint::write(&StateDict::new(), &path).expect("nothing can be written, too");
    assert_eq!(checkpoint::read(&path), Ok(StateDict::new()));
}

#[test]
fn half_precision_and_other_types_become_floats_and_integers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    let read = |dtype, bytes: &[u8], count: usize| {
        file_of(&path, "w", dtype, &[count], bytes);
        checkpoint::read(&path).map(|mut state| state.remove("w").expect("it holds w").values)
    };
    // 1.5, -2, the smallest subnormal, infinity.
    let f16 = [0x3E00u16, 0xC000, 0x0001, 0x7C00].map(u16::to_le_bytes).concat();
    assert_eq!(
        read(Dtype::F16, &f16, 4),
        Ok(Values::F16([1.5, -2.0, 2f32.powi(-24), f32::INFINITY].map(wgrad::f16::from_f32).into()))
    );
    let bf16 = [0x3FC0u16, 0xC000, 0x0080, 0x7F80].map(u16::to_le_bytes).concat();
    assert_eq!(
        read(Dtype::BF16, &bf16, 4),
        Ok(Values::BF16([1.5, -2.0, 2f32.powi(-126), f32::INFINITY].map(wgrad::bf16::from_f32).into()))
    );
    let f64 = [1.0 / 3.0, -1e300].map(f64::to_le_bytes).concat();
    assert_eq!(read(Dtype::F64, &f64, 2), Ok(Values::F32(vec![1.0 / 3.0, f32::NEG_INFINITY])));
    assert_eq!(read(Dtype::I32, &(-5i32).to_le_bytes(), 1), Ok(Values::I64(vec![-5])));
    assert_eq!(read(Dtype::I16, &(-5i16).to_le_bytes(), 1), Ok(Values::I64(vec![-5])));
    assert_eq!(read(Dtype::I8, &[255, 1], 2), Ok(Values::I64(vec![-1, 1])));
    assert_eq!(read(Dtype::U16, &u16::MAX.to_le_bytes(), 1), Ok(Values::I64(vec![65535])));
    assert_eq!(read(Dtype::U32, &u32::MAX.to_le_bytes(), 1), Ok(Values::I64(vec![4294967295])));
    assert_eq!(read(Dtype::U64, &7u64.to_le_bytes(), 1), Ok(Values::I64(vec![7])));
    assert_eq!(read(Dtype::U8, &[200, 1], 2), Ok(Values::U8(vec![200, 1])));
    assert_eq!(read(Dtype::BOOL, &[0, 1], 2), Ok(Values::Bool(vec![false, true])));
}

#[test]
fn half_precision_files_load_into_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("half.safetensors");
    for (name, device) in devices() {
        let layer = Linear::without_bias(2, 1, &mut Init::new(0, &device));
        for (dtype, words) in [(Dtype::F16, [0x3E00u16, 0xC000]), (Dtype::BF16, [0x3FC0, 0xC000])] {
            file_of(&path, "weight", dtype, &[1, 2], &words.map(u16::to_le_bytes).concat());
            checkpoint::load(&layer, &path, Strictness::Strict).expect("it fits");
            assert_eq!(values(&layer)["weight"].values, Values::F32(vec![1.5, -2.0]), "{dtype:?} on {name}");
        }
    }
}
