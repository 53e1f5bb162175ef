//! Faults that the judges have to see.

use crate::cases::{self, Case, Outcome, case, x};
use crate::judge;
use std::collections::BTreeSet;
use wgrad::autograd::gradient_check;
use wgrad::kernel::{Access, Cost, Kernel, Tolerance};
use wgrad::{DType, Device, Tensor};

/// Each test with its name.
pub const TESTS: &[(&str, fn())] = &[
    ("names_are_unique", names_are_unique),
    ("a_gradient_off_by_a_hundredth_is_caught", a_gradient_off_by_a_hundredth_is_caught),
    ("a_gradient_of_one_wrong_element_is_caught", a_gradient_of_one_wrong_element_is_caught),
    ("a_gradient_that_is_forgotten_is_caught", a_gradient_that_is_forgotten_is_caught),
    ("a_result_that_is_off_is_caught", a_result_that_is_off_is_caught),
    ("an_element_that_no_kernel_writes_is_caught", an_element_that_no_kernel_writes_is_caught),
    ("a_host_path_that_is_off_is_caught", a_host_path_that_is_off_is_caught),
];

fn names_are_unique() {
    let mut seen = BTreeSet::new();
    let twice: Vec<String> =
        cases::all().into_iter().map(|c| c.name).filter(|name| !seen.insert(name.clone())).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// x², with a gradient that is off by a factor.
fn square_with(factor: f32) -> Case {
    case("a wrong square", [x([65])], move |x| {
        let inner = x[0].detach();
        inner.square().tracked("wrong", &[&x[0]], move |dy, _| vec![Some(dy.mul(&inner).affine(2.0 * factor, 0.0))])
    })
}

fn a_gradient_off_by_a_hundredth_is_caught() {
    let cpu = Device::cpu();
    assert_eq!(judge::gradient(&square_with(1.0), &cpu), Ok(()));
    for factor in [1.01, 0.99, 0.0, -1.0] {
        assert!(judge::gradient(&square_with(factor), &cpu).is_err(), "{factor}");
    }
}

fn a_gradient_of_one_wrong_element_is_caught() {
    let wrong = case("a wrong sum", [x([65])], |x| {
        let mut slopes = vec![1.0f32; 65];
        slopes[17] = 1.5;
        let slopes = Tensor::from_vec(slopes, [65], x[0].device());
        x[0].detach().sum().tracked("wrong", &[&x[0]], move |dy, _| vec![Some(dy.mul(&slopes))])
    });
    assert!(judge::gradient(&wrong, &Device::cpu()).is_err());
}

fn a_gradient_that_is_forgotten_is_caught() {
    let forgotten = case("a forgotten gradient", [x([5])], |x| x[0].detach().square());
    assert!(judge::gradient(&forgotten, &Device::cpu()).is_err());
    // Forgotten for one input of two.
    let half = |x: &[Tensor]| x[0].mul(&x[1].detach());
    let x = Tensor::full([5], 0.5f32, &Device::cpu()).requires_grad();
    let said = gradient_check(half, &[x.clone(), x.clone()]).expect_err("one is forgotten").to_string();
    assert!(said.contains("along the gradient of input 1"), "{said}");
    assert_eq!(gradient_check(half, &[x.clone(), x.detach()]), Ok(()));
    let said = gradient_check(|x| x[0].detach(), &[x]).expect_err("all is forgotten").to_string();
    assert!(said.contains("no history"), "{said}");
}

fn a_result_that_is_off_is_caught() {
    let near = |got: &[f32], want: &[f32]| judge::near("it", got, want, Tolerance { relative: 1e-5, absolute: 1e-6 });
    assert_eq!(near(&[1.0, f32::NAN, f32::INFINITY], &[1.000001, f32::NAN, f32::INFINITY]), Ok(()));
    for (got, want) in
        [(1.0, 1.001), (f32::NAN, 1.0), (1.0, f32::NAN), (f32::INFINITY, 1.0), (1.0, f32::INFINITY), (0.0, 1e-3)]
    {
        assert!(near(&[got], &[want]).is_err(), "{got} {want}");
    }
    assert!(near(&[1.0], &[1.0, 1.0]).is_err());
    let bits = |y: f32| Outcome { y: cases::Data::F32(vec![y]), gradients: Vec::new() };
    assert_eq!(judge::sameness(&bits(0.0), &bits(0.0)), Ok(()));
    assert!(judge::sameness(&bits(0.0), &bits(-0.0)).is_err());
}

fn an_element_that_no_kernel_writes_is_caught() {
    static HALF: Kernel =
        Kernel::new("half", &[Access::Write], |call| call.write::<f32>(0)[..32].fill(1.0), |_| Cost::default())
            .tolerance(Tolerance::EXACT);
    let device = Device::checked(Device::cpu());
    let y = Tensor::empty([65], DType::F32, &device);
    Tensor::run(&HALF, &[&y], &0u32);
    let said = y.to_vec::<f32>().expect_err("half of it is not written").to_string();
    assert!(said.contains("half: element 32 of binding 0 is not written"), "{said}");
}

fn a_host_path_that_is_off_is_caught() {
    static ONE: Kernel =
        Kernel::new("one", &[Access::Write], |call| call.write::<f32>(0).fill(1.0), |_| Cost::default())
            .host(|call| call.write::<f32>(0).fill(1.001));
    let run = |device: &Device| {
        let y = Tensor::empty([3], DType::F32, device);
        Tensor::run(&ONE, &[&y], &0u32);
        y.to_vec::<f32>()
    };
    assert_eq!(run(&Device::cpu()), Ok(vec![1.001; 3]));
    let said = run(&Device::checked(Device::cpu())).expect_err("it is off").to_string();
    assert!(said.contains("one: element 0 of binding 0 is 1.001 where its definition gives 1"), "{said}");
}
