//! The CIFAR-10 example: as its user meets it, and its networks on both backends.

#[path = "cifar10/curves.rs"]
mod curves;
#[path = "../examples/cifar10/model.rs"]
mod model;
#[path = "cifar10/runs.rs"]
mod runs;
#[path = "../examples/cifar10/sheet.rs"]
mod sheet;

use wgrad::data::ImageSet;

/// The test images that come with the example.
fn photographs() -> ImageSet {
    let png = include_bytes!("../examples/data/cifar10/test.png");
    let labels = include_bytes!("../examples/data/cifar10/test-labels").to_vec();
    sheet::images("test", png, [32, 32], labels).expect("the example's data")
}
