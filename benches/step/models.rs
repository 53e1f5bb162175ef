//! The networks of the bench that are built of layers alone.

use wgrad::nn::{Conv2d, Flatten, Init, Linear, MaxPool2d, Relu, Sequential};

/// Two fully connected layers for images of 784 pixels.
pub fn mlp(init: &mut Init) -> Sequential {
    Sequential::new().push(Linear::new(784, 128, init)).push(Relu::new()).push(Linear::new(128, 10, init))
}

/// Two convolutions with pooling and two fully connected layers.
pub fn convolutional(channels: usize, side: usize, init: &mut Init) -> Sequential {
    Sequential::new()
        .push(Conv2d::new(channels, 32, 3, init).padding(1))
        .push(Relu::new())
        .push(MaxPool2d::new(2))
        .push(Conv2d::new(32, 64, 3, init).padding(1))
        .push(Relu::new())
        .push(MaxPool2d::new(2))
        .push(Flatten::new())
        .push(Linear::new(64 * (side / 4) * (side / 4), 128, init))
        .push(Relu::new())
        .push(Linear::new(128, 10, init))
}
