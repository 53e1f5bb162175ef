//! Element types: what is stored is read again to the bit, what is converted is what PyTorch gives, and views of elements
//! that are smaller than a word leave their neighbours alone.

use super::rules::panics;
use crate::devices::devices;
use wgrad::plan::Replay;
use wgrad::{DType, Device, Element, Rng, Rounding, Tensor, bf16, f16};

/// Elements written, moved by views and copies, and read again.
fn round_trip<T: Element>(all: &[T], device: &Device, same: impl Fn(T, T) -> bool + Copy) {
    let x = Tensor::from_slice(all, [all.len()], device);
    assert_eq!(x.dtype(), T::DTYPE);
    let is_same = |what: &str, got: Vec<T>, want: &[T]| {
        assert_eq!(got.len(), want.len(), "{what}");
        let wrong = got.iter().zip(want).position(|(got, want)| !same(*got, *want));
        assert_eq!(wrong, None, "{}: {what}: element", T::DTYPE);
    };
    is_same("as it is", x.to_vec().expect("values"), all);
    is_same("a copy", x.copy().to_vec().expect("values"), all);
    for (start, len) in [(1, 1), (1, 2), (2, 3), (3, all.len() - 5), (129, 3), (all.len() - 1, 1)] {
        let view = x.narrow(0, start, len);
        is_same("a view", view.to_vec().expect("values"), &all[start..start + len]);
        is_same("a copy of a view", view.copy().to_vec().expect("values"), &all[start..start + len]);
        // Everything is turned round and back, and the part is put into what was all its last element before.
        let target = Tensor::full([all.len()], all[all.len() - 1], device);
        target.narrow(0, start, len).assign(&view.flip(&[0]).flip(&[0]));
        let mut want = vec![all[all.len() - 1]; all.len()];
        want[start..start + len].copy_from_slice(&all[start..start + len]);
        is_same("assigned", target.to_vec().expect("values"), &want);
        target.narrow(0, start, len).upload(&all[..len]);
        want[start..start + len].copy_from_slice(&all[..len]);
        is_same("uploaded", target.to_vec().expect("values"), &want);
    }
    let rows = all.len() / 7;
    let table = x.narrow(0, 0, 7 * rows).reshape([rows, 7]);
    let turned: Vec<T> = (0..7 * rows).map(|at| all[at % rows * 7 + at / rows]).collect();
    is_same("transposed", table.t().contiguous().to_vec().expect("values"), &turned);
    let joined = Tensor::cat(&[&table.narrow(1, 2, 3), &table.narrow(1, 0, 2)], 1);
    let want: Vec<T> = (0..5 * rows).map(|at| all[at / 5 * 7 + [2, 3, 4, 0, 1][at % 5]]).collect();
    is_same("columns joined", joined.to_vec().expect("values"), &want);
    // Columns that are written into columns: words with two writers, were there no care.
    let into = Tensor::full([rows, 7], all[0], device);
    into.narrow(1, 3, 1).assign(&table.narrow(1, 5, 1));
    let place = |at: usize| if at % 7 == 3 { all[at / 7 * 7 + 5] } else { all[0] };
    is_same("a column", into.to_vec().expect("values"), &(0..7 * rows).map(place).collect::<Vec<_>>());
}

#[test]
fn every_pattern_is_stored_and_moved_as_it_is() {
    for (name, device) in devices() {
        println!("on {name}");
        let halves = || 0..=u16::MAX;
        round_trip(&halves().map(f16::from_bits).collect::<Vec<_>>(), &device, |a, b| a.to_bits() == b.to_bits());
        round_trip(&halves().map(bf16::from_bits).collect::<Vec<_>>(), &device, |a, b| a.to_bits() == b.to_bits());
        round_trip(&(0..=u8::MAX).collect::<Vec<_>>(), &device, |a, b| a == b);
        let mut rng = Rng::new(1);
        round_trip(&(0..301).map(|_| rng.below(2) == 1).collect::<Vec<_>>(), &device, |a, b| a == b);
        let wide = |rng: &mut Rng| i64::from(rng.below(u32::MAX)) << 32 | i64::from(rng.below(u32::MAX));
        round_trip(&(0..301).map(|_| wide(&mut rng)).collect::<Vec<_>>(), &device, |a, b| a == b);
        let floats: Vec<f32> = (0..301).map(|_| f32::from_bits(rng.below(u32::MAX))).collect();
        round_trip(&floats, &device, |a, b| a.to_bits() == b.to_bits());
        round_trip(&(0..301).map(|_| wide(&mut rng) as i32).collect::<Vec<_>>(), &device, |a, b| a == b);
    }
}

/// Each value with what PyTorch 2.15 gives for it, bit by bit; NaN stays one of any bits.
#[test]
fn casts_are_those_of_pytorch() {
    let floats = [
        0.0f32,
        -0.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -1.5,
        255.0,
        256.5,
        65504.,
        65519.,
        65520.,
        65536.,
        1e-7,
        6e-8,
        2.9e-8,
        2.98e-8,
        1e-5,
        3.3895e38,
        3.4e38,
        1e-40,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        1.003_906_3,
        1.011_718_8,
        1.001,
        2049.,
        2050.,
        2051.,
    ];
    let as_f16 = [
        0x0u16, 0x8000, 0x3800, 0xb800, 0x3e00, 0x4100, 0xbe00, 0x5bf8, 0x5c02, 0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x2,
        0x1, 0x0, 0x0, 0xa8, 0x7c00, 0x7c00, 0x0, 0x7c00, 0xfc00, 0x7e00, 0x3c04, 0x3c0c, 0x3c01, 0x6800, 0x6801,
        0x6802,
    ];
    let as_bf16 = [
        0x0u16, 0x8000, 0x3f00, 0xbf00, 0x3fc0, 0x4020, 0xbfc0, 0x437f, 0x4380, 0x4780, 0x4780, 0x4780, 0x4780, 0x33d7,
        0x3381, 0x32f9, 0x3300, 0x3728, 0x7f7f, 0x7f80, 0x1, 0x7f80, 0xff80, 0xffff, 0x3f80, 0x3f82, 0x3f80, 0x4500,
        0x4500, 0x4500,
    ];
    let whole = [0.0f32, -0.0, 0.5, -0.5, 1.9, -1.9, 127.9, 255.0, 2147483520., -2147483648., 16777217.];
    let as_whole = [0i64, 0, 0, 0, 1, -1, 127, 255, 2147483520, -2147483648, 16777216];
    let long = [
        0i64,
        1,
        -1,
        255,
        256,
        -257,
        1 << 31,
        (1 << 31) - 1,
        -(1 << 31),
        (1 << 32) + 5,
        (1 << 53) + 1,
        (1 << 62) + (1 << 38) + 1,
        i64::MIN,
        i64::MAX,
        16777217,
        16777219,
        65519,
        65520,
    ];
    let as_i32 = [
        0,
        1,
        -1,
        255,
        256,
        -257,
        -2147483648,
        2147483647,
        -2147483648,
        5,
        1,
        1,
        0,
        -1,
        16777217,
        16777219,
        65519,
        65520,
    ];
    let as_u8 = [0u8, 1, 255, 255, 0, 255, 0, 255, 0, 5, 1, 1, 0, 255, 1, 3, 239, 240];
    let as_f32 = [
        0x0u32, 0x3f800000, 0xbf800000, 0x437f0000, 0x43800000, 0xc3808000, 0x4f000000, 0x4f000000, 0xcf000000,
        0x4f800000, 0x5a000000, 0x5e800001, 0xdf000000, 0x5f000000, 0x4b800000, 0x4b800002, 0x477fef00, 0x477ff000,
    ];
    let long_f16 = [
        0x0u16, 0x3c00, 0xbc00, 0x5bf8, 0x5c00, 0xdc04, 0x7c00, 0x7c00, 0xfc00, 0x7c00, 0x7c00, 0x7c00, 0xfc00, 0x7c00,
        0x7c00, 0x7c00, 0x7bff, 0x7c00,
    ];
    let long_bf16 = [
        0x0u16, 0x3f80, 0xbf80, 0x437f, 0x4380, 0xc380, 0x4f00, 0x4f00, 0xcf00, 0x4f80, 0x5a00, 0x5e80, 0xdf00, 0x5f00,
        0x4b80, 0x4b80, 0x4780, 0x4780,
    ];
    for (name, device) in devices() {
        let tensor = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
        let [as_f16, as_bf16, long_f16, long_bf16] = [&as_f16[..], &as_bf16, &long_f16, &long_bf16];
        let f16s = |x: &Tensor, want: &[u16]| {
            let got = x.cast(DType::F16).to_vec::<f16>().expect("values");
            let same =
                got.iter().zip(want).all(|(g, w)| g.to_bits() == *w || g.is_nan() && f16::from_bits(*w).is_nan());
            assert!(same && got.len() == want.len(), "{name}: {got:?}");
        };
        let bf16s = |x: &Tensor, want: &[u16]| {
            let got = x.cast(DType::BF16).to_vec::<bf16>().expect("values");
            let same =
                got.iter().zip(want).all(|(g, w)| g.to_bits() == *w || g.is_nan() && bf16::from_bits(*w).is_nan());
            assert!(same && got.len() == want.len(), "{name}: {got:?}");
        };
        f16s(&tensor(&floats), as_f16);
        bf16s(&tensor(&floats), as_bf16);
        let truth = tensor(&floats).cast(DType::Bool).to_vec::<bool>().expect("values");
        assert_eq!(truth, floats.map(|v| v != 0.0), "{name}");
        assert_eq!(tensor(&whole).cast(DType::I64).to_vec::<i64>().expect("values"), as_whole, "{name}");
        assert_eq!(
            tensor(&whole).cast(DType::I32).to_vec::<i32>().expect("values"),
            as_whole.map(|v| v as i32),
            "{name}"
        );
        let x = Tensor::from_slice(&long, [long.len()], &device);
        assert_eq!(x.cast(DType::I32).to_vec::<i32>().expect("values"), as_i32, "{name}");
        assert_eq!(x.cast(DType::U8).to_vec::<u8>().expect("values"), as_u8, "{name}");
        assert_eq!(x.cast(DType::Bool).to_vec::<bool>().expect("values"), long.map(|v| v != 0), "{name}");
        let bits: Vec<u32> = x.cast(DType::F32).to_vec::<f32>().expect("values").iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, as_f32, "{name}");
        f16s(&x, long_f16);
        bf16s(&x, long_bf16);
        // What PyTorch leaves open: the nearest there is, and 0 of NaN.
        let far = tensor(&[1e10, -1e10, 1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -3.5, 300.0]);
        let long = [10_000_000_000, -10_000_000_000, i64::MAX, i64::MIN, i64::MAX, i64::MIN, 0, -3, 300];
        let (most, least) = (i32::MAX, i32::MIN);
        let held = [most, least, most, least, most, least, 0, -3, 300];
        for of in [DType::F32, DType::BF16, DType::F16] {
            assert_eq!(far.cast(of).cast(DType::I32).to_vec::<i32>().expect("values"), held, "{of} on {name}");
        }
        let ends = tensor(&[3e9, -3e9, 2147483648.0, 2147483520.0, -f32::NAN]).cast(DType::I32);
        assert_eq!(ends.to_vec::<i32>().expect("values"), [most, least, most, 2147483520, 0], "{name}");
        assert_eq!(far.cast(DType::I64).to_vec::<i64>().expect("values"), long, "{name}");
        assert_eq!(far.cast(DType::U8).to_vec::<u8>().expect("values"), [255, 0, 255, 0, 255, 0, 0, 0, 255], "{name}");
    }
}

/// Every type to every other, of odd lengths and from odd places, on both devices alike.
#[test]
fn any_type_becomes_any_other() {
    let cpu = Device::cpu();
    for (name, device) in devices() {
        let mut rng = Rng::new(7);
        for round in 0..3 {
            for from in DType::ALL {
                let n = 1 + rng.below(4000) as usize;
                let numbers: Vec<f32> = (0..n + 9).map(|_| rng.within(-300.0, 300.0)).collect();
                let source = |device: &Device| Tensor::from_slice(&numbers, [n + 9], device).cast(from);
                let start = rng.below(9) as usize;
                for to in DType::ALL {
                    let made = |device: &Device| {
                        let x = source(device).narrow(0, start, n);
                        assert_eq!(x.cast(to).dtype(), to);
                        x.cast(to).cast(DType::F32).to_vec::<f32>().expect("values")
                    };
                    assert_eq!(made(&device), made(&cpu), "{name}: {from} to {to}, {n} from {start}, round {round}");
                }
            }
        }
        // All values of the small floats, wide and narrow again.
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let x = Tensor::from_slice(&all, [all.len()], &device);
        let wide = x.cast(DType::F32);
        let same =
            |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
        let want: Vec<f32> = all.iter().map(|v| v.to_f32()).collect();
        assert!(same(&wide.to_vec().expect("values"), &want), "{name}");
        let back: Vec<f32> =
            wide.cast(DType::F16).to_vec::<f16>().expect("values").iter().map(|v| v.to_f32()).collect();
        assert!(same(&back, &want), "{name}");
    }
}

#[test]
fn a_cast_sends_gradients_back_in_the_type_it_came_from() {
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, -2.0, 0.1].map(bf16::from_f32), [3], &device).requires_grad();
        let y = x.cast(DType::F32).mul(&Tensor::from_slice(&[1.0f32, 1.001, 3.0], [3], &device)).sum();
        let grads = y.backward();
        let dx = grads.of(&x).expect("a gradient");
        assert_eq!(dx.to_vec::<bf16>().expect("bf16"), [1.0, 1.001, 3.0].map(bf16::from_f32), "{name}");
        assert!(!x.cast(DType::I64).is_tracked());
    }
    let refused = std::panic::catch_unwind(|| Tensor::full([2], 1i64, &Device::cpu()).requires_grad());
    assert!(refused.is_err());
}

#[test]
fn types_show_themselves() {
    let device = Device::cpu();
    let x = Tensor::from_slice(&[1.5f32, -2.0], [2], &device);
    assert_eq!(x.cast(DType::BF16).to_string(), "[1.5000, -2.0000] bf16 [2]");
    assert_eq!(x.cast(DType::F16).to_string(), "[1.5000, -2.0000] f16 [2]");
    assert_eq!(x.cast(DType::I64).to_string(), "[1, -2] i64 [2]");
    assert_eq!(x.cast(DType::Bool).to_string(), "[true, true] bool [2]");
    assert_eq!(Tensor::scalar(7u8, &device).to_string(), "7 u8 []");
    assert_eq!(Tensor::scalar(f16::from_f32(2.5), &device).item(), Ok(2.5));
    assert_eq!(Tensor::full([3], true, &device).narrow(0, 1, 1).item(), Ok(1.0));
}

#[test]
fn whole_numbers_have_signs_and_messages_name_the_operator() {
    for (name, device) in devices() {
        let whole = |x: Tensor| x.to_vec::<i32>().expect("whole numbers");
        let x = Tensor::from_slice(&[3, -4, 0, i32::MIN, i32::MAX], [5], &device);
        assert_eq!(whole(-&x), [-3, 4, 0, i32::MIN, -i32::MAX], "{name}");
        assert_eq!(whole(x.abs()), [3, 4, 0, i32::MIN, i32::MAX], "{name}");
        let long = Tensor::from_slice(&[-5_000_000_000i64, 5_000_000_000, -7], [3], &device);
        let (most, least) = (i32::MAX, i32::MIN);
        assert_eq!(whole(long.abs()), [least, most, 7], "{name}");
        // As i32 wherever they meet others.
        assert_eq!(whole(long.minimum(x.narrow(0, 0, 3))), [least, -4, -7], "{name}");
        assert_eq!(whole(long.narrow(0, 1, 1) - 1), [most - 1], "{name}");
        assert_eq!(long.eq(least).to_vec::<f32>().expect("a mask"), [1.0, 0.0, 0.0], "{name}");
        assert_eq!(whole(Tensor::from_slice(&[250u8, 3], [2], &device).neg()), [-250, -3], "{name}");
        for (op, said) in [
            ("add", panics(|| &x + 1.0)),
            ("sub", panics(|| 1.0 - &x)),
            ("mul", panics(|| x.clone() * 2.0)),
            ("div", panics(|| &x / 2.0)),
        ] {
            let due = format!("{op}: expected a tensor of floats beside a number of f32, got i32");
            assert!(said.starts_with(&due), "{said}");
        }
    }
}

#[test]
fn moves_are_replayed() {
    for (name, device) in devices() {
        let mut replay = Replay::new();
        for round in 0..3 {
            let values: Vec<bf16> = (0..23).map(|at| bf16::from_f32((at * (round + 1)) as f32)).collect();
            let x = Tensor::from_slice(&values, [23], &device);
            let [y, z] = replay
                .run(&x, |x| {
                    let target = Tensor::full([23], bf16::from_f32(-1.0), x.device());
                    target.narrow(0, 3, 7).assign(&x.narrow(0, 11, 7));
                    Ok([target, x.narrow(0, 1, 22).cast(DType::I64)])
                })
                .expect("the step can be replayed");
            let place = |at: usize| if (3..10).contains(&at) { values[at + 8] } else { bf16::from_f32(-1.0) };
            assert_eq!(y.to_vec::<bf16>().expect("bf16"), (0..23).map(place).collect::<Vec<_>>(), "{name} {round}");
            let want: Vec<i64> = values[1..].iter().map(|v| v.to_f32() as i64).collect();
            assert_eq!(z.to_vec::<i64>().expect("i64"), want, "{name} {round}");
        }
    }
}

#[test]
fn long_whole_numbers_are_picked_as_they_are() {
    for (name, device) in devices() {
        let long = |i: i64| (1 << 40) + i * 3;
        let x = Tensor::from_vec((0..6).map(long).collect::<Vec<i64>>(), [2, 3], &device);
        let read = |x: &Tensor| x.to_vec::<i64>().expect("the device works");
        let rows = Tensor::from_slice(&[1, 0, 1], [3], &device);
        let want: Vec<i64> = [3, 4, 5, 0, 1, 2, 3, 4, 5].map(long).into();
        assert_eq!(read(&x.index_select(0, &rows)), want, "on {name}");
        assert_eq!(read(&x.i(&rows)), want, "on {name}");
        // Along the columns of a view, by numbers that are long too.
        let columns = Tensor::from_slice(&[1i64, 1, 0, 1, 1, 0], [3, 2], &device);
        assert_eq!(read(&x.t().gather(1, &columns)), [3, 3, 1, 4, 5, 2].map(long), "on {name}");
        let one = x.narrow(1, 1, 2).index_select(1, &Tensor::from_slice(&[1], [1], &device));
        assert_eq!((read(&one), one.dtype()), (vec![long(2), long(5)], DType::I64), "on {name}");
        let replay = Replay::new().run(&x, |x| Ok(x.i(&rows))).expect("it is replayed");
        assert_eq!(read(&replay), want, "on {name}");
    }
}

#[test]
fn tensors_are_put_together_from_any_list_and_take_the_shape_of_others() {
    let device = Device::cpu();
    let parts: Vec<Tensor> = (0..3).map(|i| Tensor::full([2], i as f32, &device)).collect();
    let all = Tensor::cat(&parts, 0);
    assert_eq!(all.to_vec::<f32>(), Ok(vec![0.0, 0.0, 1.0, 1.0, 2.0, 2.0]));
    let borrowed: Vec<&Tensor> = parts.iter().collect();
    assert_eq!(Tensor::stack(&borrowed, 1).to_vec::<f32>(), Ok(vec![0.0, 1.0, 2.0, 0.0, 1.0, 2.0]));
    let rows = Tensor::stack(&parts, 0);
    assert_eq!(all.reshape(rows.shape()).shape(), rows.shape());
    assert_eq!(all.reshape([-1, 2i64]).shape(), rows.shape());
}

#[test]
fn floats_of_several_types_are_joined_as_f32() {
    for (name, device) in devices() {
        let [a, b] = [DType::F32, DType::BF16].map(|dtype| Tensor::ones([1], &device).cast(dtype).requires_grad());
        let y = Tensor::cat(&[&b, &a], 0);
        assert_eq!((y.dtype(), y.to_vec::<f32>().expect("it runs")), (DType::F32, vec![1.0, 1.0]), "on {name}");
        assert_eq!(y.sum().backward().of(&b).map(Tensor::dtype), Some(DType::BF16), "on {name}");
        assert_eq!(Tensor::stack(&[&b, &a], 1).dtype(), DType::F32);
        // Nothing has no say.
        assert_eq!(Tensor::cat(&[&Tensor::zeros([0], &device), &b], 0).dtype(), DType::BF16);
    }
}

#[test]
fn whole_numbers_become_floats_beside_floats() {
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1.5f32, -2.0, 3.0], [3], &device).requires_grad();
        let mask = Tensor::from_slice(&[true, false, true], [3], &device);
        let lengths = Tensor::from_slice(&[2i64, 4, 1], [3], &device);
        let whole = lengths.cast(DType::I32);
        let is = |y: Tensor, want: [f32; 3], slope: [f32; 3]| {
            assert_eq!((y.dtype(), y.to_vec::<f32>().expect("it runs")), (DType::F32, want.to_vec()), "on {name}");
            let grads = y.sum().backward();
            assert_eq!(grads.of(&x).expect("it has one").to_vec::<f32>().expect("it runs"), slope, "on {name}");
        };
        is(&x * &mask, [1.5, 0.0, 3.0], [1.0, 0.0, 1.0]);
        is(&mask - &x, [-0.5, 2.0, -2.0], [-1.0; 3]);
        is(&x + &lengths, [3.5, 2.0, 4.0], [1.0; 3]);
        is(&x / &lengths, [0.75, -0.5, 3.0], [0.5, 0.25, 1.0]);
        is(x.maximum(&whole), [2.0, 4.0, 3.0], [0.0, 0.0, 1.0]);
        is(x.pow(&whole), [2.25, 16.0, 3.0], [3.0, -32.0, 1.0]);
        is(x.fmod(&whole), [1.5, -2.0, 0.0], [1.0; 3]);
        is(mask.where_(&x, &lengths), [1.5, 4.0, 3.0], [1.0, 0.0, 1.0]);
        is(mask.where_(&whole, &x), [2.0, -2.0, 1.0], [0.0, 1.0, 0.0]);
        is(whole.div_rounded(&x, Rounding::Floor), [1.0, -2.0, 0.0], [0.0; 3]);
        for other in [&mask, &lengths, &whole] {
            let wide = other.cast(DType::F32);
            is_equal(&x.atan2(other), &x.atan2(&wide));
            is_equal(&x.logaddexp(other), &x.logaddexp(&wide));
            // Whole numbers change no type of floats, not that of a scalar either.
            assert_eq!((&x.cast(DType::F16) * other).dtype(), DType::F16);
            assert_eq!((&Tensor::scalar(2.0, &device) * other).dtype(), DType::F32);
        }
        let mut replay = Replay::new();
        for _ in 0..3 {
            let y = replay.run([&x.detach(), &lengths], |[x, lengths]| Ok(x / lengths)).expect("it runs");
            assert_eq!(y.to_vec::<f32>().expect("it runs"), [0.75, -0.5, 3.0], "on {name}");
        }
    }
}

fn is_equal(a: &Tensor, b: &Tensor) {
    assert_eq!(a.to_vec::<f32>().expect("it runs"), b.to_vec::<f32>().expect("it runs"));
}

#[test]
fn tokens_of_several_types_are_joined_and_assigned() {
    for (name, device) in devices() {
        let tokens = Tensor::from_slice(&[1i64 << 40, -3], [2], &device);
        let found = Tensor::from_slice(&[0.5f32, 2.0, 1.0], [3], &device).argmax(0).reshape([1]);
        assert_eq!(found.dtype(), DType::I32);
        for all in [[&tokens, &found], [&found, &tokens]] {
            let y = Tensor::cat(&all, 0);
            let mut values = y.to_vec::<i64>().expect("it runs");
            values.sort_unstable();
            assert_eq!((y.dtype(), values), (DType::I64, vec![-3, 1, 1 << 40]), "on {name}");
        }
        let of = |dtype| Tensor::ones([2], &device).cast(dtype);
        let (all, types) = ([DType::Bool, DType::U8, DType::I32, DType::I64], [DType::U8, DType::I32, DType::I64]);
        for (at, want) in types.into_iter().enumerate() {
            let y = Tensor::stack(&[of(all[at + 1]), of(all[at])], 0);
            assert_eq!((y.dtype(), y.cast(DType::F32).to_vec::<f32>().expect("it runs")), (want, vec![1.0; 4]));
        }
        assert_eq!(Tensor::cat(&[of(DType::I64), of(DType::F16)], 0).dtype(), DType::F16);
        assert_eq!(Tensor::cat(&[of(DType::BF16), of(DType::F16), of(DType::Bool)], 0).dtype(), DType::F32);
        tokens.i(1).assign(&found.squeeze(0));
        assert_eq!(tokens.to_vec::<i64>().expect("it runs"), [1 << 40, 1], "on {name}");
        let weights = Tensor::zeros([2], &device).cast(DType::BF16).requires_grad();
        weights.assign(&Tensor::from_slice(&[1.0f32 / 3.0, -2.0], [2], &device));
        let want = [1.0 / 3.0, -2.0].map(bf16::from_f32);
        assert_eq!(weights.to_vec::<bf16>().expect("it runs"), want, "on {name}");
        let text = panics(|| tokens.assign(&Tensor::zeros([3], &device)));
        assert!(text.contains("assign: i64 [2] x i64 [3]: expected equal shapes"), "{text}");
    }
}

#[test]
fn sizes_may_be_owned() {
    let x = Tensor::arange(0, 6, &Device::cpu()).reshape(vec![2, 3]);
    let rolled = x.roll(vec![1], vec![0]).repeat(vec![1usize, 2]);
    assert_eq!((rolled.shape(), x.movedim(vec![0], vec![1]).shape()), ([2, 6].into(), [3, 2].into()));
    assert_eq!(x.unflatten(1, vec![3, -1]).shape(), [2, 3, 1]);
}
