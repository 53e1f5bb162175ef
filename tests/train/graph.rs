//! What a graph says of the operations that made a tensor, views and those without gradient among them.

use wgrad::autograd::{Attribute, trace};
use wgrad::{Device, Tensor};

struct Net {
    x: Tensor,
    w: Tensor,
}

fn net() -> Net {
    let device = Device::cpu();
    Net { x: Tensor::ones([2, 3, 2], &device).named("x"), w: Tensor::ones([4, 6], &device).named("w").requires_grad() }
}

impl Net {
    fn forward(&self) -> Tensor {
        self.x.flatten(1).matmul(&self.w.t()).relu()
    }
}

#[test]
fn a_graph_is_what_the_gradient_goes_back_through() {
    let loss = net().forward().narrow(1, 0, 2).t().softmax(-1).leaky_relu(0.5).mean();
    let want = "\
%0 = w [4, 6] f32
%1 = permute(%0, order=[1, 0]) [6, 4] f32
%2 = matmul(_, %1) [2, 4] f32
%3 = relu(%2) [2, 4] f32
%4 = narrow(%3, dim=1, start=0, len=2) [2, 2] f32
%5 = permute(%4, order=[1, 0]) [2, 2] f32
%6 = copy(%5) [2, 2] f32
%7 = softmax(%6, dim=1) [2, 2] f32
%8 = leaky_relu(%7, negative_slope=0.5) [2, 2] f32
%9 = mean(%8, dims=[0, 1], keep=false) [] f32
";
    assert_eq!(loss.graph().to_string(), want);
}

#[test]
fn a_trace_has_what_no_gradient_goes_through_too() {
    let net = net();
    let labels = Tensor::from_slice(&[0, 1], [2], net.x.device()).named("labels");
    let right = trace(|| net.forward().detach().argmax(1).eq(&labels).mean());
    let want = "\
%0 = w [4, 6] f32
%1 = x [2, 3, 2] f32
%2 = reshape(%1, shape=[2, 6]) [2, 6] f32
%3 = permute(%0, order=[1, 0]) [6, 4] f32
%4 = matmul(%2, %3) [2, 4] f32
%5 = relu(%4) [2, 4] f32
%6 = detach(%5) [2, 4] f32
%7 = argmax(%6, dim=1) [2] i32
%8 = labels [2] i32
%9 = eq(%7, %8) [2] f32
%10 = mean(%9, dims=[0], keep=false) [] f32
";
    assert!(!right.is_tracked());
    let graph = right.graph();
    assert_eq!(graph.to_string(), want);
    let dot = graph.dot();
    assert!(dot.contains("v2 [label=\"reshape shape=[2, 6]\\nf32 [2, 6]\"]"), "{dot}");
    assert!(dot.contains("    v3 -> v4\n"), "{dot}");
    // What is exported has the numbers themselves.
    let labels = graph.values()[8].tensor.as_ref().expect("it was traced").to_vec::<i32>();
    assert_eq!(labels, Ok(vec![0, 1]));
    let argmax = graph.values()[7].op.as_ref().expect("it is made");
    assert!(matches!(argmax.attributes(), [("dim", Attribute::Int(1))]), "{argmax}");
    // Afterwards nothing is remembered.
    assert_eq!(net.x.exp().graph().values().len(), 1);
}
