// Stands before the files of convolutions.

// A convolution's sizes, its input's strides, and the images that a pass works on.
struct Conv {
    batch: u32,
    channels: u32,
    height: u32,
    width: u32,
    out_channels: u32,
    out_h: u32,
    out_w: u32,
    groups: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    padding_h: u32,
    padding_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    x_base: u32,
    x_n: u32,
    x_c: u32,
    x_h: u32,
    x_w: u32,
    // First image, and their number.
    image: u32,
    images: u32,
    // for the host
    bias: u32,
    relu: u32,
    // with a pooling of 2 x 2 behind: its results, and their strides
    pooled_h: u32,
    pooled_w: u32,
    y_n: u32,
    y_c: u32,
    y_h: u32,
    y_w: u32,
}

