//! Training steps of meganeura on Vulkan.

#[expect(dead_code, reason = "there is no model of tokens")]
#[path = "../../steps.rs"]
mod steps;

use meganeura::{Graph, NodeId, Session, SessionConfig};
use steps::{CLASSES, Job, RATE, ROWS, Weights};

/// A graph under way, and the first values of its parameters.
struct Network {
    graph: Graph,
    weights: Weights,
    values: Vec<(String, Vec<f32>)>,
}

impl Network {
    fn parameter(&mut self, name: &str, values: Vec<f32>, shape: &[usize]) -> NodeId {
        self.values.push((name.to_string(), values));
        self.graph.parameter(name, shape)
    }

    /// meganeura multiplies by `[inputs, outputs]`.
    fn linear(&mut self, x: NodeId, name: &str, inputs: usize, outputs: usize) -> NodeId {
        let pair = self.weights.layer(outputs, inputs);
        let weight = self.parameter(&format!("{name}.weight"), pair.transposed(), &[inputs, outputs]);
        let bias = self.parameter(&format!("{name}.bias"), pair.bias, &[outputs]);
        let product = self.graph.matmul(x, weight);
        self.graph.bias_add(product, bias)
    }

    /// Convolution, ReLU and pooling, which halves the side. Images are flat.
    fn halve(&mut self, x: NodeId, name: &str, [inputs, outputs, side]: [usize; 3]) -> NodeId {
        let pair = self.weights.layer(outputs, inputs * 9);
        let weight = self.parameter(&format!("{name}.weight"), pair.weight, &[outputs * inputs * 9]);
        let bias = self.parameter(&format!("{name}.bias"), pair.bias, &[outputs]);
        let [rows, inputs, outputs, side] = [ROWS, inputs, outputs, side].map(|size| size as u32);
        let y = self.graph.conv2d(x, weight, rows, inputs, side, side, outputs, 3, 3, 1, 1);
        let y = self.graph.add_per_channel(y, bias, outputs, side * side);
        let y = self.graph.relu(y);
        self.graph.max_pool_2d(y, rows, outputs, side, side, 2, 2, 2, 0)
    }

    fn mlp(&mut self) -> NodeId {
        let x = self.graph.input("x", &[ROWS, 784]);
        let hidden = self.linear(x, "first", 784, 128);
        let hidden = self.graph.relu(hidden);
        self.linear(hidden, "second", 128, CLASSES)
    }

    fn convolutional(&mut self, channels: usize, side: usize) -> NodeId {
        let features = 64 * (side / 4) * (side / 4);
        let x = self.graph.input("x", &[ROWS * channels * side * side]);
        let x = self.halve(x, "conv_1", [channels, 32, side]);
        let x = self.halve(x, "conv_2", [32, 64, side / 2]);
        let x = self.graph.reshape(x, &[ROWS, features]);
        let hidden = self.linear(x, "first", features, 128);
        let hidden = self.graph.relu(hidden);
        self.linear(hidden, "second", 128, CLASSES)
    }

    /// Compiles the graph of the loss and its gradients.
    fn session(mut self, logits: NodeId) -> Session {
        let labels = self.graph.input("labels", &[ROWS, CLASSES]);
        let loss = self.graph.cross_entropy_loss(logits, labels);
        self.graph.set_outputs(vec![loss]);
        let (mut session, _) = meganeura::build(&self.graph, SessionConfig::from_env());
        for (name, values) in &self.values {
            session.set_parameter(name, values);
        }
        session
    }
}

/// Says in a few words why there is nothing to time.
fn leave_out(why: &str) {
    println!("{{\"left_out\": \"{why}\"}}");
}

fn main() {
    let job = Job::from_args();
    let mut network = Network { graph: Graph::new(), weights: Weights::default(), values: Vec::new() };
    let logits = match job.workload.as_str() {
        "w1" => network.mlp(),
        "w2" => network.convolutional(1, 28),
        "w3" => return leave_out("SGD has no momentum"),
        _ => return leave_out("attention takes one sequence at a time"),
    };
    let mut session = network.session(logits);
    session.set_adam(RATE as f32, 0.9, 0.999, 1e-8);
    job.train(|batch, is_read| {
        let mut one_hot = vec![0.0; ROWS * CLASSES];
        batch.labels.iter().enumerate().for_each(|(row, &label)| one_hot[row * CLASSES + label as usize] = 1.0);
        session.set_input("x", &batch.values);
        session.set_input("labels", &one_hot);
        session.step();
        is_read.then(|| {
            session.wait();
            session.read_loss()
        })
    });
}
