//! Training the same model on all ranks of a group.

use super::line::{self, ASKED, Averaged, Job, Kind, agree};
use super::{Compression, Group};
use crate::autograd::Grads;
use crate::backend::Pending;
use crate::checkpoint;
use crate::data::{Batch, DataLoader, Dataset, Item};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::{Buffer, Ctx, Entry, Module, Strictness, Visitor, generators, load_state, state};
use crate::rng::{NO_HASH, hashed};
use crate::tensor::Tensor;
use std::fmt::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The same model on every rank of a group, taught by parts of the same batches.
///
/// Gradients are averaged over the group in *buckets*, late layers first: a bucket goes on its way as soon as backward has filled it,
/// and backward goes on meanwhile. So does a step that is [replayed](crate::plan::Replay). What clips or scales gradients
/// afterwards sees the means, which are the same bits on each rank, and so are the weights.
///
/// Batch normalisation normalises by each rank's own part of a batch, unless the pass is [`synced`](DataParallel::synced); its running
/// statistics are averaged at each step. Dropout
/// and other draws have a sequence of their own on each rank.
#[doc(alias("DistributedDataParallel", "DDP"))]
pub struct DataParallel {
    shared: Arc<Shared>,
    /// Statistics that layers keep.
    buffers: Vec<Buffer>,
    bucket_bytes: usize,
    compression: Compression,
    /// Whether all ranks have devices of one kind, which compute the same bits.
    alike: bool,
}

struct Shared {
    group: Arc<dyn Group>,
    /// None where there is but one rank.
    line: Option<Sender<Job>>,
    state: Mutex<State>,
}

/// What the host says at each step.
struct State {
    weight: f32,
    asks: [bool; ASKED],
    asked: [bool; ASKED],
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataParallel {
    /// Of a model, which becomes that of rank 0 on every rank. An optimizer may be made before or after.
    ///
    /// # Errors
    /// [`Error::Group`] if the ranks have models of other names or shapes, or another version of the crate, or a rank is gone;
    /// the device's first failure.
    pub fn new(model: &dyn Module, group: impl Group + 'static) -> Result<DataParallel> {
        let (mut own, models) = (DataParallel::of(Arc::new(group)), [("model", model)]);
        own.meet(&models)?;
        own.share(&models)?;
        own.check(&models)?;
        Ok(own)
    }

    /// Of no model yet.
    pub(crate) fn of(group: Arc<dyn Group>) -> DataParallel {
        let line = (group.size() > 1).then(|| line::start(group.clone()));
        let state = Mutex::new(State { weight: 1.0, asks: [false; ASKED], asked: [false; ASKED] });
        let shared = Arc::new(Shared { group, line, state });
        let compression = Compression::None;
        DataParallel { shared, buffers: Vec::new(), bucket_bytes: 4 << 20, compression, alike: true }
    }

    /// The bytes of gradients that go on their way together; 4 MiB. Smaller buckets start sooner, and cost a wait of the host
    /// each.
    #[must_use]
    pub fn bucket_bytes(self, bytes: usize) -> DataParallel {
        DataParallel { bucket_bytes: bytes, ..self }
    }

    /// The form in which gradients go from rank to rank; the same on all of them. [`Compression::None`].
    #[doc(alias("register_comm_hook", "fp16_compress_hook"))]
    #[must_use]
    pub fn compress(self, compression: Compression) -> DataParallel {
        DataParallel { compression, ..self }
    }

    /// The group.
    pub fn group(&self) -> &dyn Group {
        &*self.shared.group
    }

    /// Whether this is rank 0, which writes what is written once: checkpoints, logs.
    pub fn is_first(&self) -> bool {
        self.group().rank() == 0
    }

    /// Looks whether all ranks have the same models, and has each draw from a sequence of its own.
    pub(crate) fn meet(&mut self, models: &[(&str, &dyn Module)]) -> Result<()> {
        let mut likeness = format!("wgrad {}\n", env!("CARGO_PKG_VERSION"));
        let mut device = String::new();
        self.buffers.clear();
        for (name, model) in models {
            let mut each = |path: &str, entry: Entry| {
                let tensor = entry.tensor();
                device = tensor.device().to_string();
                let _ = writeln!(likeness, "{name}.{path} of {} {}", tensor.dtype(), tensor.shape());
                match entry {
                    Entry::Buffer(buffer) if tensor.dtype().is_float() => self.buffers.push(buffer.clone()),
                    _ => {}
                }
            };
            model.visit(&mut Visitor::new(&mut each));
            for generator in generators(*model) {
                let _ = writeln!(likeness, "{name} drawing from the seed {}", generator.seed());
                generator.set_rank(self.group().rank());
            }
        }
        if self.shared.line.is_some() {
            self.agree("options", self.compression.sends())?;
            self.agree("models", &likeness)?;
            let devices = self.group().all_gather(device.as_bytes())?;
            self.alike = devices.iter().all(|other| *other == devices[0]);
        }
        Ok(())
    }

    /// Keeps the models the same: where all devices are of one kind they are, and else they may drift apart by rounding.
    pub(crate) fn keep(&self, models: &[(&str, &dyn Module)]) -> Result<()> {
        if self.alike { self.check(models) } else { self.share(models) }
    }

    /// Puts the values of rank 0 in the place of all others'.
    fn share(&self, models: &[(&str, &dyn Module)]) -> Result<()> {
        if self.shared.line.is_none() {
            return Ok(());
        }
        for (_, model) in models {
            let own = if self.is_first() { checkpoint::to_bytes(&state(*model)?)? } else { Vec::new() };
            let first = self.group().broadcast(0, own)?;
            if !self.is_first() {
                load_state(*model, &checkpoint::from_bytes(&first)?, Strictness::Strict)?;
            }
        }
        Ok(())
    }

    /// Holds the values of all ranks against each other, by a hash.
    pub(crate) fn check(&self, models: &[(&str, &dyn Module)]) -> Result<()> {
        if self.shared.line.is_none() {
            return Ok(());
        }
        let mut hashes = String::new();
        for (name, model) in models {
            for (path, value) in state(*model)? {
                let hash = value.values.bytes().iter().fold(NO_HASH, |hash, byte| hashed(hash, *byte));
                let _ = writeln!(hashes, "{name}.{path} with the hash {hash:016x}");
            }
        }
        self.agree("weights", &hashes)
    }

    /// Whether all ranks say the same.
    pub(crate) fn agree(&self, what: &str, own: &str) -> Result<()> {
        agree(self.group(), what, own)
    }

    /// Whether any rank says yes.
    pub(crate) fn any<const N: usize>(&self, own: [bool; N]) -> Result<[bool; N]> {
        let all = self.group().all_gather(&own.map(u8::from))?;
        Ok(std::array::from_fn(|at| all.iter().any(|one| <[u8]>::get(one, at) == Some(&1))))
    }

    /// The values of all ranks after one another, or their sums.
    pub(crate) fn gather(&self, own: &[f64], sums: bool) -> Result<Vec<f64>> {
        let all = self.group().all_gather(bytemuck::cast_slice(own))?;
        let all = all.iter().map(|bytes| bytemuck::pod_collect_to_vec::<u8, f64>(bytes));
        if !sums {
            return Ok(all.flatten().collect());
        }
        let mut sum = vec![0.0; own.len()];
        all.for_each(|values| sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value));
        Ok(sum)
    }

    /// Asks something of all ranks with the next exchange of gradients.
    pub(crate) fn ask(&self, asks: [bool; ASKED]) {
        self.shared.state().asks = asks;
    }

    /// What any rank asked by the last one.
    pub(crate) fn asked(&self) -> [bool; ASKED] {
        let state = self.shared.state();
        if self.shared.line.is_some() { state.asked } else { state.asks }
    }

    /// The batches of an epoch: of each, this rank's part (see [`DataLoader::dealt`]), which [weighs](DataParallel::weigh) as
    /// much as it has items.
    pub fn epoch<'a, D: Dataset + 'static>(
        &'a self,
        loader: &DataLoader<D>,
        number: u64,
    ) -> impl Iterator<Item = Result<Batch<<D::Item as Item>::Columns>>> + 'a {
        let epoch = loader.clone().dealt(self.group().rank(), self.group().size()).epoch(number);
        epoch.inspect(|batch| batch.iter().for_each(|batch| self.weigh(batch.rows.len())))
    }

    /// The items that the gradients of this rank are means of, from now on: a mean over the group weighs each rank by them. By
    /// default all weigh the same. Where all ranks have none, a step is an error.
    pub fn weigh(&self, items: usize) {
        self.shared.state().weight = items as f32;
    }

    /// A pass of training in which batch normalisation takes its statistics over the parts of all ranks, as
    /// [`Ctx::train`] does of one: several ranks then compute what one would. It costs each such layer four waits for the others.
    #[doc(alias = "convert_sync_batchnorm")]
    pub fn synced(&self) -> Ctx {
        let shared = self.shared.clone();
        if shared.line.is_none() { Ctx::train() } else { Ctx::train().synced(move |x| sum(&shared, x)) }
    }

    /// The gradients of this loss, which is a mean over items, as means over the group: [`Tensor::backward`] for several ranks.
    ///
    /// # Errors
    /// [`Error::Group`] if a rank is gone, or has gradients of other tensors; in a step that is replayed, its run tells it.
    ///
    /// # Panics
    /// As [`Tensor::backward`].
    #[track_caller]
    pub fn backward(&self, loss: &Tensor) -> Result<Grads> {
        self.backward_after(Grads::new(), loss)
    }

    /// The same of the last part of a batch, after the gradients of those before it, which are added and need no exchange of their
    /// own: all go on their way while this last backward runs.
    ///
    /// ```
    /// # use wgrad::{Device, Tensor, nn::{Ctx, Init, Layer, Linear}, parallel::{Alone, DataParallel}};
    /// # let device = Device::cpu();
    /// # let (model, batch) = (Linear::new(2, 1, &mut Init::new(0, &device)), Tensor::ones([8, 2], &device));
    /// let parallel = DataParallel::new(&model, Alone)?;
    /// let loss = |from| model.forward(&batch.narrow(0, from, 4), &Ctx::train()).square().mean() * 0.5;
    /// let earlier = loss(0).backward();
    /// let grads = parallel.backward_after(earlier, &loss(4))?;
    /// # assert_eq!(grads.len(), 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`backward`](DataParallel::backward).
    ///
    /// # Panics
    /// As [`Tensor::backward`].
    #[doc(alias = "no_sync")]
    #[track_caller]
    pub fn backward_after(&self, mut earlier: Grads, loss: &Tensor) -> Result<Grads> {
        let mut exchange = Exchange::new(self, loss.device());
        loss.backward_each(|tensor, gradient| {
            let sum = match earlier.remove(tensor) {
                Some(earlier) => earlier + gradient,
                None => gradient,
            };
            exchange.add(tensor, sum);
        });
        // What the last part does not depend on.
        earlier.iter().for_each(|(tensor, gradient)| exchange.add(&tensor, gradient.clone()));
        exchange.ended()
    }

    /// The same of gradients that are there already.
    ///
    /// # Errors
    /// As [`backward`](DataParallel::backward).
    #[track_caller]
    pub fn average(&self, grads: Grads) -> Result<Grads> {
        let Some(device) = grads.iter().next().map(|(_, gradient)| gradient.device().clone()) else { return Ok(grads) };
        let mut exchange = Exchange::new(self, &device);
        grads.iter().for_each(|(tensor, gradient)| exchange.add(&tensor, gradient.clone()));
        exchange.ended()
    }
}

impl fmt::Debug for DataParallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataParallel(rank {} of {})", self.group().rank(), self.group().size())
    }
}

/// The exchanges of a step.
struct Exchange<'p> {
    parallel: &'p DataParallel,
    device: Device,
    /// The bucket that is being filled, and its bytes.
    open: Vec<(Tensor, Tensor)>,
    bytes: usize,
    sent: Vec<Bucket>,
    grads: Grads,
    error: Option<Error>,
}

/// Tensors on their way, side by side in one.
struct Bucket {
    all: Tensor,
    reply: Reply,
    /// Those whose gradients they are.
    of: Vec<Tensor>,
}

impl<'p> Exchange<'p> {
    fn new(parallel: &'p DataParallel, device: &Device) -> Exchange<'p> {
        let (device, grads) = (device.clone(), Grads::new());
        Exchange { parallel, device, open: Vec::new(), bytes: 0, sent: Vec::new(), grads, error: None }
    }

    fn add(&mut self, tensor: &Tensor, gradient: Tensor) {
        if self.parallel.shared.line.is_none() || gradient.numel() == 0 {
            self.grads.set(tensor, gradient);
            return;
        }
        self.bytes += 4 * gradient.numel();
        self.open.push((tensor.clone(), gradient));
        if self.bytes >= self.parallel.bucket_bytes {
            self.close();
        }
    }

    /// Sends what is in the open bucket.
    fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.bytes = 0;
        if !open.is_empty() {
            let (of, values): (Vec<Tensor>, Vec<Tensor>) = open.into_iter().unzip();
            match send(self.parallel, &self.device, self.parallel.compression, of, &values) {
                Ok(bucket) => self.sent.push(bucket),
                Err(error) => drop(self.error.get_or_insert(error)),
            }
        }
    }

    /// Waits for all that was sent.
    #[track_caller]
    fn ended(mut self) -> Result<Grads> {
        self.close();
        let parallel = self.parallel;
        let buffers: Vec<Tensor> = match &parallel.shared.line {
            Some(_) => parallel.buffers.iter().map(Buffer::tensor).collect(),
            None => Vec::new(),
        };
        let statistics = match buffers.is_empty() {
            true => None,
            false => Some(send(parallel, &self.device, None, buffers.clone(), &buffers)?),
        };
        self.error.take().map_or(Ok(()), Err)?;
        for bucket in &self.sent {
            for (tensor, gradient) in bucket.averaged(parallel, &self.device)? {
                self.grads.set(tensor, gradient);
            }
        }
        if let Some(statistics) = statistics {
            for (buffer, mean) in statistics.averaged(parallel, &self.device)? {
                buffer.assign(&mean);
            }
        }
        Ok(self.grads)
    }
}

/// The answer to what a seam has given, for the seam that takes it.
type Reply = Arc<Mutex<Option<Receiver<Result<Averaged>>>>>;

/// Has the host send a tensor's values, where the device has come so far.
fn give(shared: &Arc<Shared>, device: &Device, kind: Kind, what: Arc<str>, from: &Tensor) -> Result<Reply> {
    let reply = Reply::default();
    let (slot, shared, beside) = (reply.clone(), shared.clone(), device.beside());
    device.give(from, move |values: Pending<Vec<f32>>| {
        let (answer, answered) = channel();
        let State { weight, asks, .. } = *shared.state();
        let (what, beside) = (what.clone(), beside.clone());
        let job = Job { kind, values, what, weight, asks, beside, reply: answer };
        // A line that has ended is told by the answer that does not come.
        if let Some(line) = &shared.line {
            drop(line.send(job));
        }
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
    })?;
    Ok(reply)
}

/// Puts what has come of them in their place.
fn take(shared: &Arc<Shared>, device: &Device, slot: Reply, to: &Tensor) -> Result<()> {
    let shared = shared.clone();
    device.take(to, move || {
        let answered = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let answer = answered.and_then(|answered| answered.recv().ok());
        let ended = || Error::Group("the group panicked in an exchange".into());
        let Averaged { values, asked } = answer.ok_or_else(ended)??;
        shared.state().asked = asked;
        Ok(values)
    })
}

/// The sum of a tensor over the group; its gradient is one as well.
fn sum(shared: &Arc<Shared>, x: &Tensor) -> Tensor {
    let over = |shared: &Arc<Shared>, kind: Kind, x: &Tensor| {
        let (all, device) = (x.detach().copy(), x.device());
        let what = format!("statistics of {}", x.shape()).into();
        let summed = give(shared, device, kind, what, &all).and_then(|reply| take(shared, device, reply, &all));
        // The next read tells it.
        summed.unwrap_or_else(|error| device.missed(&error));
        all
    };
    let (y, shared) = (over(shared, Kind::Sum, x), shared.clone());
    y.tracked("all_reduce", &[x], move |dy, _| vec![Some(over(&shared, Kind::Slope, dy))])
}

/// Puts values side by side and has the host send them, where the device has come so far: gradients so compressed, or statistics.
fn send(
    parallel: &DataParallel,
    device: &Device,
    gradients: impl Into<Option<Compression>>,
    of: Vec<Tensor>,
    values: &[Tensor],
) -> Result<Bucket> {
    let gradients = gradients.into();
    let mut likeness = gradients.map_or_else(String::new, |compression| format!("{}\n", compression.sends()));
    let what = if gradients.is_some() { "gradients of" } else { "statistics of" };
    for tensor in &of {
        let _ = writeln!(likeness, "{what} {} {}", tensor.name().unwrap_or("a tensor"), tensor.shape());
    }
    let flat: Vec<Tensor> = values.iter().map(|v| v.detach().cast(DType::F32).reshape([v.numel()])).collect();
    let all = Tensor::cat(&flat, 0);
    let kind = Kind::Mean(gradients.unwrap_or_default());
    let reply = give(&parallel.shared, device, kind, likeness.into(), &all)?;
    Ok(Bucket { all, reply, of })
}

impl Bucket {
    /// The means over the group, each in its tensor's shape and type.
    fn averaged(&self, parallel: &DataParallel, device: &Device) -> Result<Vec<(&Tensor, Tensor)>> {
        take(&parallel.shared, device, self.reply.clone(), &self.all)?;
        let mut at = 0;
        let mut means = Vec::with_capacity(self.of.len());
        for tensor in &self.of {
            let part = self.all.narrow(0, at, tensor.numel()).reshape_to(tensor.shape());
            means.push((tensor, part.cast(tensor.dtype())));
            at += tensor.numel();
        }
        Ok(means)
    }
}
