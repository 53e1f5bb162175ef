//! Convolution, pooling and batch normalization.

use crate::trial::Trial;
use wgrad::{AvgPool2dOptions, Conv2dOptions, MaxPool2dOptions, Tensor};

pub fn conv2d(t: &Trial) -> Tensor {
    let a = t.attrs();
    a.only("padding_mode", "zeros");
    let options = Conv2dOptions {
        stride: a.pair("stride").unwrap_or([1; 2]),
        padding: a.pair("padding").unwrap_or([0; 2]),
        dilation: a.pair("dilation").unwrap_or([1; 2]),
        groups: a.int("groups", 1).unsigned_abs(),
    };
    t.x().conv2d(t.input("weight"), t.maybe("bias"), options)
}

/// A stride that is not told is the kernel's size.
pub fn max_pool2d(t: &Trial) -> Tensor {
    let a = t.attrs();
    a.only("ceil_mode", false);
    a.only("return_indices", false);
    let kernel_size = a.pair("kernel_size").expect("max_pool2d: `kernel_size` is due");
    t.x().max_pool2d(MaxPool2dOptions {
        kernel_size,
        stride: a.pair("stride").unwrap_or(kernel_size),
        padding: a.pair("padding").unwrap_or([0; 2]),
        dilation: a.pair("dilation").unwrap_or([1; 2]),
    })
}

pub fn avg_pool2d(t: &Trial) -> Tensor {
    let a = t.attrs();
    a.only("ceil_mode", false);
    a.only("count_include_pad", true);
    a.only("divisor_override", ());
    let kernel_size = a.pair("kernel_size").expect("avg_pool2d: `kernel_size` is due");
    t.x().avg_pool2d(AvgPool2dOptions {
        kernel_size,
        stride: a.pair("stride").unwrap_or(kernel_size),
        padding: a.pair("padding").unwrap_or([0; 2]),
    })
}

pub fn adaptive_avg_pool2d(t: &Trial) -> Tensor {
    t.x().adaptive_avg_pool2d(t.attrs().pair("output_size").expect("adaptive_avg_pool2d: `output_size` is due"))
}

/// In training by the batch's own statistics, else by running ones; PyTorch's default is not training.
pub fn batch_norm(t: &Trial) -> Tensor {
    let (a, weight, bias) = (t.attrs(), t.maybe("weight"), t.maybe("bias"));
    let eps = a.float("eps", 1e-5);
    // The momentum moves the running statistics, which no case of this kind holds afterwards.
    a.float("momentum", 0.1);
    if a.flag("training", false) {
        return t.x().batch_norm(weight, bias, eps).output;
    }
    t.x().batch_norm_eval(t.input("running_mean"), t.input("running_var"), weight, bias, eps)
}
