//! Models that load without the program that made them: a file with the weights and a description of what is computed.
//!
//! ```
//! use wgrad::deploy::Description;
//! use wgrad::nn::{Init, Linear, Relu, Sequential};
//! use wgrad::{DType, Device, Tensor};
//!
//! # let folder = std::env::temp_dir().join(format!("wgrad-deploy-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).map_err(|error| wgrad::Error::file(&folder, error))?;
//! # let path = folder.join("pets.safetensors");
//! // Where it was trained: the pass begins with the pixels as they come, and ends with what is asked for.
//! let device = Device::cpu();
//! let mut init = Init::new(0, &device);
//! let model = Sequential::new().push(Linear::new(4, 8, &mut init)).push(Relu::new()).push(Linear::new(8, 2, &mut init));
//! let pixels = Tensor::from_slice(&[10u8, 20, 30, 40], [1, 4], &device);
//! Description::of_pass(&model, [&pixels], |[x], ctx| {
//!     use wgrad::nn::Layer;
//!     model.forward(&x.cast(DType::F32).affine(1.0 / 255.0, 0.0), ctx).softmax(-1)
//! })?
//! .classes(["cat", "dog"])?
//! .save(&path)?;
//!
//! // In another program, which knows nothing of it.
//! let pets = wgrad::load(&path)?;
//! let four = Tensor::from_vec(vec![7u8; 16], [4, 4], pets.device());
//! assert_eq!(*pets.predict(&four)?.shape(), [4, 2]);
//! let (class, share) = &pets.classify(&four)?[0];
//! assert!(["cat", "dog"].contains(&class.as_str()) && *share >= 0.5);
//! # std::fs::remove_dir_all(&folder).map_err(|error| wgrad::Error::file(&folder, error))?;
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! The description is a list of operations under the names of [`Tensor`]'s methods, as a pass in evaluation called them. Two
//! passes, over batches of two and of three items, tell which sizes grow with the batch; a third, of five other items, is held
//! against the description before it is given out, so that what it leaves out is told where it is made. Other sizes than that of
//! the batch, the length of a sequence say, are those of the example.

mod apply;
mod describe;
mod program;

use crate::checkpoint::{self, Notes};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::{Buffer, Ctx, Layer, Module, Parameter, StateDict, Visitor, state};
use crate::tensor::Tensor;
use program::{Input, Program};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The name of the description among a file's notes.
const NOTE: &str = "wgrad.model";

/// What a model computes, to be saved with its weights.
#[derive(Debug, Clone)]
#[doc(alias("torch.export", "torch.jit.trace", "ONNX"))]
pub struct Description {
    program: Program,
    weights: StateDict,
    classes: Vec<String>,
}

impl Description {
    /// Of a layer in evaluation, by an example of its input `[batch, ..]`, whose values do not matter but where they are indices.
    ///
    /// # Errors
    /// [`Error::Option`] if it does what cannot be described: chance, or an operation that depends on the batch otherwise than by
    /// its size. The device's first failure.
    #[track_caller]
    pub fn of(model: &impl Layer, example: &Tensor) -> Result<Description> {
        Description::of_pass(model, [example], |[x], ctx| model.forward(x, ctx))
    }

    /// Of a pass of any kind: with what comes before a model and behind it, or with several inputs, each `[batch, ..]`. What the
    /// pass reads of `model` is saved under its path; other tensors that it reads are constants.
    ///
    /// # Errors
    /// As [`Description::of`].
    #[track_caller]
    pub fn of_pass<const N: usize>(
        model: &dyn Module,
        example: [&Tensor; N],
        pass: impl Fn([&Tensor; N], &Ctx) -> Tensor,
    ) -> Result<Description> {
        let program = describe::program(model, example, pass)?;
        Ok(Description { program, weights: state(model)?, classes: Vec::new() })
    }

    /// With the names of classes, in the order of the last dimension of what it gives.
    ///
    /// # Errors
    /// [`Error::Option`] if there are more or fewer than that.
    pub fn classes<S: Into<String>>(self, classes: impl IntoIterator<Item = S>) -> Result<Description> {
        let classes: Vec<String> = classes.into_iter().map(Into::into).collect();
        match self.program.last_size {
            Some(size) if size == classes.len() => Ok(Description { classes, ..self }),
            size => {
                let size = size.map_or("a single number".into(), |size| size.to_string());
                let (got, s) = (classes.len(), if classes.len() == 1 { "" } else { "s" });
                Err(Error::Option(format!("classes: got {got} name{s}; the model gives {size} for each item")))
            }
        }
    }

    /// Writes weights and description, as [`checkpoint::write`] does. The file is one of weights as well:
    /// [`checkpoint::load`] takes it.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let notes = Notes::from([(NOTE.to_string(), self.program.to_json(&self.classes).to_string())]);
        checkpoint::write_with_notes(&self.weights, &notes, path)
    }
}

/// The operations, one a line.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program)
    }
}

/// Loads a model that was saved with its [`Description`], onto the best device there is.
///
/// # Errors
/// [`Error::File`] if the file cannot be read, holds weights alone, or its description does not fit them.
pub fn load(path: impl AsRef<Path>) -> Result<Model> {
    load_on(path, &Device::best())
}

/// [`load`] onto a device.
///
/// # Errors
/// As [`load`].
pub fn load_on(path: impl AsRef<Path>, device: &Device) -> Result<Model> {
    let path = path.as_ref();
    let (values, notes) = checkpoint::read_with_notes(path)?;
    let Some(note) = notes.get(NOTE) else {
        return Err(Error::file(
            path,
            "holds weights and no description of a model: make the model and load them by checkpoint::load, or save it by \
             deploy::Description",
        ));
    };
    let (program, classes) = Program::from_json(note).map_err(|problem| Error::file(path, problem))?;
    program.check(&values, &classes).map_err(|problem| {
        Error::file(
            path,
            format!("the description of the model does not fit its weights, so the file is damaged: {problem}"),
        )
    })?;
    let entry = |(name, value): (&String, &crate::nn::StateTensor)| {
        let tensor = value.to(device);
        let is_parameter = tensor.dtype().is_float() && program.trains(name);
        (
            name.clone(),
            if is_parameter { Weight::Parameter(Parameter::new(tensor)) } else { Weight::Buffer(Buffer::new(tensor)) },
        )
    };
    let weights = values.iter().map(entry).collect();
    let model = Model { program, weights, classes, device: device.clone() };
    // They learn their paths.
    crate::nn::parameters(&model);
    Ok(model)
}

enum Weight {
    Parameter(Parameter),
    Buffer(Buffer),
}

/// A model from a file, with its own description: a [`Layer`] like others, which can be trained further and saved.
pub struct Model {
    program: Program,
    weights: BTreeMap<String, Weight>,
    classes: Vec<String>,
    device: Device,
}

impl Model {
    /// What it gives for a batch of items. A tensor of another device is brought to the model's.
    ///
    /// # Errors
    /// [`Error::Data`] if the batch is of another shape or type than the model takes; the device's first failure.
    pub fn predict(&self, x: &Tensor) -> Result<Tensor> {
        self.predict_from(&[x])
    }

    /// [`Model::predict`] of a model that takes several tensors.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn predict_from(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shapes: Vec<_> = inputs.iter().map(|x| (x.shape(), x.dtype())).collect();
        if let Some(problem) = self.program.misfit(&shapes) {
            return Err(Error::Data(format!("predict: {problem}")));
        }
        let inputs = inputs.iter().map(|x| x.detach().to(&self.device)).collect::<Result<Vec<_>>>()?;
        Ok(self.pass(&inputs, &Ctx::eval()))
    }

    /// The name of the class with the largest output for each item of a batch, and that output. Where it has no names for
    /// classes, their numbers.
    ///
    /// # Errors
    /// As [`Model::predict`], or [`Error::Data`] if what the model gives is not `[batch, classes]`.
    pub fn classify(&self, x: &Tensor) -> Result<Vec<(String, f32)>> {
        let y = self.predict(x)?;
        let [items, classes] = y.shape()[..] else {
            return Err(Error::Data(format!("classify: the model gives {}, not [batch, classes]", y.shape())));
        };
        let values = y.cast(DType::F32).to_vec::<f32>()?;
        let best = |item: usize| {
            let row = &values[item * classes..][..classes];
            let at = (0..classes).fold(0, |best, at| if row[at] > row[best] { at } else { best });
            (self.classes.get(at).cloned().unwrap_or_else(|| at.to_string()), row.get(at).copied().unwrap_or(f32::NAN))
        };
        Ok((0..items).map(best).collect())
    }

    /// The names of classes, if it was saved with any.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The shape and type of each input: without the batch, which comes first.
    pub fn inputs(&self) -> &[Input] {
        &self.program.inputs
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Writes its weights as they are now, its description and the names of its classes, to be [loaded](load) again.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be written; the device's first failure.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (program, classes) = (self.program.clone(), self.classes.clone());
        Description { program, weights: state(self)?, classes }.save(path)
    }

    #[track_caller]
    fn pass(&self, inputs: &[Tensor], ctx: &Ctx) -> Tensor {
        let weight = |name: &str| {
            Some(match self.weights.get(name)? {
                Weight::Parameter(parameter) => ctx.param(parameter),
                Weight::Buffer(buffer) => buffer.tensor(),
            })
        };
        self.program.run(inputs, &weight, &self.device)
    }
}

impl Module for Model {
    fn visit(&self, visitor: &mut Visitor) {
        for (path, weight) in &self.weights {
            match weight {
                Weight::Parameter(parameter) => visitor.parameter(path, parameter),
                Weight::Buffer(buffer) => visitor.buffer(path, buffer),
            }
        }
    }
}

/// In training as in evaluation: that is what was described.
impl Layer for Model {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.pass(std::slice::from_ref(x), ctx)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        self.program.misfit(&[(x.shape(), x.dtype())])
    }

    fn title(&self) -> String {
        format!("Model of {} operations", self.program.operations())
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.weights.keys().collect::<Vec<_>>();
        f.debug_struct("Model")
            .field("inputs", &self.program.inputs)
            .field("classes", &self.classes)
            .field("weights", &names)
            .finish()
    }
}

/// The operations, one a line.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program)
    }
}
