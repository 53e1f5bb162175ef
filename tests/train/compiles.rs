//! What people type without thinking: it compiles, with everything imported by globs, and does what it says.

use wgrad::nn::*;
use wgrad::optim::*;
use wgrad::*;

fn sends<T: Send>(value: T) -> T {
    value
}

#[derive(Module)]
struct Two {
    fc: [Linear; 2],
}

#[test]
fn sizes_models_and_optimizers_go_where_they_are_put() -> Result<()> {
    let device = &Device::cpu();
    let mut init = Init::new(0, device);
    let x = Tensor::ones([2, 3], device);
    let n = x.size(0);
    assert_eq!(x.reshape([n, 3]).shape(), [2, 3]);
    let dims = [0usize];
    assert_eq!(x.sum_dims(&dims, KeepDims::No).shape(), [3]);

    let two = Two { fc: [Linear::new(3, 1, &mut init), Linear::new(3, 1, &mut init)] };
    assert_eq!(parameters(&two).len(), 4);
    let line = Linear::new(3, 1, &mut init);
    let tuned = Adam::new(&vec![&line, &two.fc[1]], AdamOptions::default())?;
    assert_eq!(tuned.lrs().len(), 1);
    let mut boxed: Box<dyn Optimizer> = sends(Box::new(Adam::new(&two.fc[0], AdamOptions::default())?));
    boxed.set_lr(0.5)?;

    let model = Sequential::new().push(Linear::new(3, 1, &mut init)).push(Dropout::new(0.5, &mut init));
    let given = x.clone();
    let shape = std::thread::spawn(move || sends(model).forward(&given, &Ctx::train()).shape()).join();
    assert_eq!(shape.expect("no panic"), [2, 1]);
    Ok(())
}
