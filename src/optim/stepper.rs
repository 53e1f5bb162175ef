//! Steppers: the part that all optimizers have in common.

use super::bucket::Bucket;
use super::gathered::{Gathered, check};
use super::hyper::{self, Hyper};
use super::norms::Norms;
use super::penalty::Penalty;
use super::rows::{RowBucket, Sparse};
use super::rule::{Now, Rule};
use super::shards::{self, Peers};
use super::slab::{self, Owned, Slab};
use super::{Decision, Ema, Optimizer, at_least_0, checked, checked_lr, for_groups, trained};
use crate::autograd::Grads;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Module, Parameter, StateDict, StateTensor, Values, distinct};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::sync::Arc;

/// The prefix of the rule's name in the name of a value of its state.
const RULE: &str = "rule.";

/// The name of the number of steps that the device gave up.
const SKIPPED: &str = "skipped";

/// An optimizer after a rule: [`Adam`](super::Adam) is `Stepper<AdamOptions>`.
#[doc(alias = "Optimizer")]
pub struct Stepper<R: Rule> {
    groups: Vec<Group<R>>,
    hyper: Hyper,
    /// The rates that were set last, not those of a loaded state.
    bases: Vec<f32>,
    penalty: Penalty,
    norms: Option<Norms>,
    max_norm: Option<f32>,
    /// The order of that norm.
    norm_type: f32,
    /// Whether gradients whose norm is no number move nothing.
    skips_nonfinite: bool,
    /// Whether the device decided about the last step.
    is_flagged: bool,
    /// The kernel that moves a bucket; else the rule's definition does.
    fused: Option<fn(&R, &Bucket)>,
    /// The same of a table's rows.
    fused_rows: Option<fn(&R, &RowBucket)>,
    /// The ranks that keep the moments, where these are dealt out.
    peers: Option<Arc<dyn Peers>>,
}

/// Changes to gradients between gathering and the update.
type Reduce<'a> = &'a mut dyn FnMut(&[Tensor]) -> Decision;

/// Parameters with the same options.
struct Group<R> {
    rule: R,
    slabs: Vec<Slab>,
}

impl<R: Rule> Stepper<R> {
    /// Takes over the parameters of `model`, which goes on to read them in place. A part of a model trains alone where the
    /// optimizer is made for that part; the rest then computes with [`Ctx::untracked`](crate::nn::Ctx::untracked), which
    /// spares its gradients. Several optimizers may step one parameter, each with moments of its own: its values lie with the one
    /// that was made last, from where the others fetch them at each step.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range.
    ///
    /// # Panics
    /// If the model has no parameters or they live on several devices.
    #[track_caller]
    pub fn new(model: &dyn Module, options: R) -> Result<Self> {
        Stepper::grouped(model, |_, _| options)
    }

    /// Like `new`, with options for each parameter by its path and shape. Those with equal options are a group, which has
    /// a learning rate of its own; groups are numbered in the order in which the model names their first members.
    ///
    /// ```
    /// use wgrad::nn::{Init, Linear};
    /// use wgrad::optim::{AdamW, AdamWOptions, Optimizer};
    /// let model = Linear::new(3, 2, &mut Init::new(0, &wgrad::Device::cpu()));
    /// // No decay on biases and norms, whose parameters are vectors.
    /// let optimizer = AdamW::grouped(&model, |_path, shape| match shape.rank() {
    ///     0 | 1 => AdamWOptions { weight_decay: 0.0, ..AdamWOptions::default() },
    ///     _ => AdamWOptions::default(),
    /// })?;
    /// assert_eq!(optimizer.lrs().len(), 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range.
    ///
    /// # Panics
    /// If the model has no parameters or they live on several devices.
    #[doc(alias("param_groups", "add_param_group"))]
    #[track_caller]
    pub fn grouped(model: &dyn Module, options: impl Fn(&str, Shape) -> R) -> Result<Self> {
        Stepper::of(model, options, None)
    }

    /// The same for this rank of several.
    #[track_caller]
    pub(crate) fn of(
        model: &dyn Module,
        options: impl Fn(&str, Shape) -> R,
        peers: Option<Arc<dyn Peers>>,
    ) -> Result<Self> {
        let mut named: Vec<(R, Vec<(String, Parameter)>)> = Vec::new();
        for (path, parameter) in distinct(model) {
            trained(R::NAME, &path, &parameter)?;
            let rule = options(&path, parameter.shape());
            checked_lr(rule.lr())?;
            rule.check()?;
            rule.takes(&path, parameter.shape())?;
            let names: Vec<&str> = rule.moments().iter().map(|(name, _)| *name).collect();
            for (at, name) in names.iter().enumerate() {
                let is_taken = slab::RESERVED.contains(name) || names[..at].contains(name);
                let own = R::NAME;
                assert!(
                    !is_taken && !name.contains('.'),
                    "{own}: expected another name for the moment `{name}`, without a dot"
                );
            }
            match named.iter_mut().find(|(other, _)| *other == rule) {
                Some((_, members)) => members.push((path, parameter)),
                None => named.push((rule, vec![(path, parameter)])),
            }
        }
        let device = slab::device(named.iter().flat_map(|(_, members)| members));
        let mut groups = dealt(named, peers.as_deref(), &device)?;
        let start = |rule: &R| Now { lr: rule.lr(), momentum: rule.momentum().unwrap_or(0.0), steps: 1 };
        let numbered = |&Group { rule, ref slabs }: &Group<R>| hyper::Group {
            now: start(&rule),
            numbers: Box::new(move |now| rule.numbers(now)),
            members: slabs.iter().map(Slab::members).sum(),
            counts: rule.counts(),
        };
        let hyper = Hyper::new(&device, groups.iter().map(numbered).collect());
        for (group, own) in groups.iter_mut().zip(&hyper.own) {
            let Some((mut first, each)) = *own else { continue };
            for slab in &mut group.slabs {
                slab.count(first, each);
                first += each * slab.members();
            }
        }
        let bases = hyper.now().iter().map(|now| now.lr).collect();
        let mut out = Stepper {
            groups,
            hyper,
            bases,
            penalty: Penalty::default(),
            norms: None,
            max_norm: None,
            norm_type: 2.0,
            skips_nonfinite: false,
            is_flagged: false,
            fused: R::FUSED,
            fused_rows: R::FUSED_ROWS,
            peers,
        };
        let moves_rows = |group: &Group<R>| !matches!(group.rule.sparse(), Sparse::Refused | Sparse::Whole);
        let is_defined = R::FUSED_ROWS.is_none() && out.groups.iter().any(moves_rows);
        if R::FUSED.is_none() && R::FUSED_ROWS.is_none() {
            out = out.by_definition();
        } else if R::needs_norms() {
            out.measure();
        }
        if is_defined || R::FUSED.is_none() {
            out.hyper.tell_apart();
        }
        Ok(out)
    }

    /// Steps by the rule's definition, where there is a fused kernel too: for tests, and to look for a fault.
    #[must_use]
    pub fn by_definition(mut self) -> Self {
        (self.fused, self.fused_rows) = (None, None);
        self.hyper.tell_apart();
        self
    }

    /// Holds the global norm of all gradients under a bound, as `torch.nn.utils.clip_grad_norm_` does: where it is larger,
    /// all are scaled down; where it is NaN, all become NaN. The norm stays on the device.
    ///
    /// # Errors
    /// [`Error::Option`] if the bound is negative or NaN.
    #[doc(alias = "clip_grad_norm_")]
    pub fn clip_grad_norm(self, max_norm: f32) -> Result<Self> {
        self.clip_grad_norm_of(max_norm, 2.0)
    }

    /// [`Stepper::clip_grad_norm`] by a norm of another order, `norm_type`: 1, 0.5, infinity for the largest element. It takes some
    /// kernels for each parameter.
    ///
    /// # Errors
    /// [`Error::Option`] if the bound or the order is negative or NaN.
    pub fn clip_grad_norm_of(mut self, max_norm: f32, norm_type: f32) -> Result<Self> {
        self.norm_type = checked("norm type", norm_type, |v| v >= 0.0, "a number from 0 up")?;
        self.max_norm = Some(checked("max norm", max_norm, |v| v >= 0.0, "a number from 0 up")?);
        self.measure();
        Ok(self)
    }

    /// A step whose gradients have a norm that is infinite or NaN moves nothing and counts nothing: what PyTorch's
    /// `error_if_nonfinite` is there for, without a wait for the device, and in replayed steps too.
    /// [`Optimizer::grad_norm`] tells such a norm. Where nothing clips by a norm, nothing is clipped now either.
    #[doc(alias = "error_if_nonfinite")]
    #[must_use]
    pub fn skip_nonfinite(mut self) -> Self {
        self.skips_nonfinite = true;
        self.max_norm = self.max_norm.or(Some(f32::INFINITY));
        self.measure();
        self
    }

    /// Holds each element of the gradients between `-value` and `value`, as `torch.nn.utils.clip_grad_value_` does; before
    /// their norm is taken.
    ///
    /// # Errors
    /// [`Error::Option`] if the bound is negative or NaN.
    #[doc(alias = "clip_grad_value_")]
    pub fn clip_grad_value(mut self, value: f32) -> Result<Self> {
        self.penalty.bound = checked("clip value", value, |v| v >= 0.0, "a number from 0 up")?;
        Ok(self)
    }

    /// Adds the gradient of `factor` times the sum of all parameters' absolute values, before any clipping.
    ///
    /// # Errors
    /// [`Error::Option`] if the factor is negative.
    pub fn l1_penalty(mut self, factor: f32) -> Result<Self> {
        self.penalty.l1 = at_least_0("L1 penalty", factor)?;
        Ok(self)
    }

    /// Adds the gradient of `factor` times the sum of all parameters' squares, before any clipping. PyTorch's
    /// `weight_decay` is twice such a factor, and comes after clipping.
    ///
    /// # Errors
    /// [`Error::Option`] if the factor is negative.
    pub fn l2_penalty(mut self, factor: f32) -> Result<Self> {
        self.penalty.l2 = 2.0 * at_least_0("L2 penalty", factor)?;
        Ok(self)
    }

    /// Moves along the gradients and not against them: PyTorch's `maximize`. Penalties still draw values towards 0.
    #[must_use]
    pub fn maximize(mut self) -> Self {
        self.penalty.factor = -1.0;
        self
    }

    /// An average of the weights from now on: see [`Ema`].
    ///
    /// # Errors
    /// [`Error::Option`] if `decay` is not in 0..=1.
    pub fn ema(&self, decay: f32) -> Result<Ema> {
        Ema::of(self.slabs(), decay)
    }

    /// The bytes of moments that this device keeps: all of them, or of a [sharded](Stepper::sharded) optimizer this rank's part.
    pub fn state_bytes(&self) -> u64 {
        self.slabs().flat_map(|slab| &slab.moments).map(|moment| (moment.dtype().bytes() * moment.numel()) as u64).sum()
    }

    /// Which rank keeps what, for all ranks to compare.
    pub(crate) fn shares(&self) -> String {
        let of = |(group, slab): (usize, &Slab)| -> String {
            let line = |(name, shape, _): (&str, Shape, _)| {
                format!("{} of {name} {shape} in group {group} on rank {}\n", R::NAME, slab.owner)
            };
            slab.entries().map(line).collect()
        };
        let slabs =
            self.groups.iter().enumerate().flat_map(|(at, group)| group.slabs.iter().map(move |slab| (at, slab)));
        slabs.map(of).collect()
    }

    /// Whether this rank keeps a slab's moments.
    fn is_own(&self, slab: &Slab) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.rank() == slab.owner)
    }

    /// The tables of which this rank moves some rows.
    fn own_rows<'a>(&'a self, gathered: &'a Gathered) -> impl Iterator<Item = &'a RowBucket<'a>> {
        gathered.rows.iter().filter(|bucket| !bucket.is_empty() && self.is_own(bucket.slab))
    }

    fn measure(&mut self) {
        if self.norms.is_none() {
            self.norms = Some(Norms::new(self.groups.iter_mut().flat_map(|group| &mut group.slabs)));
        }
    }

    fn has_momentum(&self) -> bool {
        self.groups.iter().all(|group| group.rule.momentum().is_some())
    }

    fn slabs(&self) -> impl Iterator<Item = &Slab> {
        self.groups.iter().flat_map(|group| &group.slabs)
    }

    fn states(&self) -> impl Iterator<Item = (&Slab, Vec<&'static str>)> {
        let names = |group: &Group<R>| group.rule.moments().iter().map(|(name, _)| *name).collect::<Vec<_>>();
        self.groups.iter().flat_map(move |group| group.slabs.iter().map(move |slab| (slab, names(group))))
    }

    /// A step, in three acts.
    #[track_caller]
    fn act(&mut self, grads: &Grads, reduce: Option<Reduce>) {
        let Some(gathered) = self.gather(grads) else { return };
        let decision = self.reduce(&gathered, reduce);
        let is_flagged = matches!(decision, Decision::UpdateIf(_));
        match decision {
            Decision::Skip => (),
            Decision::Update => self.update(&gathered),
            Decision::UpdateIf(flag) => self.update_if(&gathered, &flag),
        }
        self.is_flagged = is_flagged;
        self.slabs().for_each(Slab::give_back);
    }

    /// Has all ranks hold what each has moved.
    fn share(&self) {
        if let Some(peers) = &self.peers {
            // The next read tells it; where a step is replayed, its run does.
            shards::share(peers, self.slabs()).unwrap_or_else(|error| self.hyper.tensor.device().missed(&error));
        }
    }

    /// Copies the gradients into the slabs, if all of them could be computed.
    #[track_caller]
    fn gather(&self, grads: &Grads) -> Option<Gathered<'_>> {
        // Of a slab that is another rank's, the values come from there.
        let is_dealt = self.peers.is_some();
        for slab in self.slabs() {
            if is_dealt { slab.owned().check() } else { slab.fetch() }
        }
        if let Some(error) = grads.lost() {
            // Nothing moves, rather than a part of the parameters; the next read tells why.
            self.hyper.tensor.device().missed(&error);
            return None;
        }
        let device = self.hyper.tensor.device();
        if device.is_capturing() {
            let placed: Vec<Owned> = self.slabs().map(Slab::placed).collect();
            device.guard_replays(move || placed.iter().find_map(Owned::lost));
        }
        let mut gathered = Gathered::default();
        for (number, group) in self.groups.iter().enumerate() {
            let sparse = group.rule.sparse();
            for slab in &group.slabs {
                check(R::NAME, sparse, &self.penalty, slab, grads);
                let rows_of = |tensor: &Tensor| grads.rows(tensor).filter(|_| sparse != Sparse::Whole);
                gathered.slabs.push((slab, slab.gather(grads, |tensor| rows_of(tensor).is_some())));
                for (at, tensor) in slab.tensors().enumerate() {
                    let rows = rows_of(&tensor).map(|rows| RowBucket::new(slab, (number, at), &self.hyper, rows));
                    gathered.rows.extend(rows);
                }
            }
        }
        assert!(!gathered.is_empty(), "{}: there is no gradient for any of its parameters", R::NAME);
        Some(gathered)
    }

    /// Looks at all gradients before anything moves: a user's exchange or decision, then penalties and clipping.
    #[track_caller]
    fn reduce(&self, gathered: &Gathered, reduce: Option<Reduce>) -> Decision {
        let mut decision = reduce.map_or(Decision::Update, |reduce| reduce(&gathered.buckets()));
        if matches!(decision, Decision::Skip) {
            return decision;
        }
        // What a step is counted by, its norm may decide.
        let mut norm = None;
        if self.skips_nonfinite {
            self.penalty.apply(gathered);
            let found = norm.insert(Norms::of_order(gathered, self.norm_type));
            let finite = found.isfinite();
            decision = Decision::UpdateIf(match decision {
                Decision::UpdateIf(flag) => flag.ne(flag.zeros_like()).mul(&finite),
                _ => finite,
            });
        }
        let flag = if let Decision::UpdateIf(flag) = &decision { Some(flag) } else { None };
        let moved = |(at, group): (usize, &Group<R>)| gathered.moved(at, group.slabs.iter());
        self.hyper.advance(self.groups.iter().enumerate().map(moved).collect(), flag);
        if !self.skips_nonfinite {
            self.penalty.apply(gathered);
        }
        if let (Some(norms), Some(max_norm)) = (&self.norms, self.max_norm) {
            if norm.is_none() && self.norm_type != 2.0 {
                norm = Some(Norms::of_order(gathered, self.norm_type));
            }
            match norm {
                Some(norm) => Norms::clip_by(&norm, &self.hyper.tensor, max_norm),
                None => norms.clip(gathered, &self.hyper.tensor, max_norm),
            }
        }
        decision
    }

    /// Moves all that has a gradient.
    #[track_caller]
    fn update(&self, gathered: &Gathered) {
        self.move_own(gathered);
        self.share();
    }

    /// The same of what this rank moves.
    #[track_caller]
    fn move_own(&self, gathered: &Gathered) {
        let mut slabs = gathered.slabs.iter();
        for (at, group) in self.groups.iter().enumerate() {
            for (slab, stretches) in slabs.by_ref().take(group.slabs.len()) {
                for stretch in stretches.iter().filter(|_| self.is_own(slab)) {
                    let Hyper { tensor: numbers, starts, counted, .. } = &self.hyper;
                    let bucket = Bucket { slab, stretch, numbers, at: starts[at], count: counted[at] };
                    match self.fused {
                        Some(fused) => fused(&group.rule, &bucket),
                        None => bucket.define(&group.rule, self.max_norm.is_some()),
                    }
                }
            }
        }
        for bucket in self.own_rows(gathered) {
            let rule = &self.groups[bucket.group].rule;
            match self.fused_rows {
                Some(fused) => fused(rule, bucket),
                None => bucket.define(rule, self.max_norm.is_some()),
            }
        }
    }

    /// The same, unless `flag` is 0: the crate's kernels find that among the numbers; what others move is taken back.
    #[track_caller]
    fn update_if(&self, gathered: &Gathered, flag: &Tensor) {
        if R::SKIPS && (self.fused.is_some() || self.fused_rows.is_some()) {
            return self.update(gathered);
        }
        let kept = gathered.kept(|slab| self.is_own(slab));
        let rows: Vec<_> = self.own_rows(gathered).map(|bucket| (bucket, bucket.now())).collect();
        self.move_own(gathered);
        for (before, place) in kept {
            place.assign(&Tensor::where_(flag, &place, &before));
        }
        for (bucket, before) in rows {
            let held = |(now, before): (Tensor, Tensor)| Tensor::where_(flag, &now, &before);
            bucket.put(bucket.now().into_iter().zip(before).map(held).collect());
        }
        self.share();
    }
}

/// The parameters of each group in slabs: of all, or of each rank its own.
fn dealt<R: Rule>(
    named: Vec<(R, Vec<(String, Parameter)>)>,
    peers: Option<&dyn Peers>,
    device: &Device,
) -> Result<Vec<Group<R>>> {
    let Some(peers) = peers else {
        let group = |(rule, members): (R, _)| Group {
            rule,
            slabs: Slab::of(members, &rule.moments(), rule.state_dtype(), device),
        };
        return Ok(named.into_iter().map(group).collect());
    };
    let bytes = |(rule, members): &(R, Vec<(String, Parameter)>)| -> Vec<usize> {
        let moments = rule.moments().len().max(1);
        members.iter().map(|(_, parameter)| 4 * moments * parameter.shape().numel()).collect()
    };
    let bytes: Vec<usize> = named.iter().flat_map(bytes).collect();
    if bytes.len() < peers.size() {
        return Err(Error::Option(format!(
            "{}: {} parameters cannot be dealt out to {} ranks: expected one for each at least",
            R::NAME,
            bytes.len(),
            peers.size()
        )));
    }
    let mut owners = shards::owners(&bytes, peers.size()).into_iter();
    let mut groups = Vec::with_capacity(named.len());
    for (rule, members) in named {
        let mut parts: Vec<Vec<(String, Parameter)>> = (0..peers.size()).map(|_| Vec::new()).collect();
        members.into_iter().zip(&mut owners).for_each(|(member, owner)| parts[owner].push(member));
        let mut slabs = Vec::new();
        for (owner, part) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            let moments = if owner == peers.rank() { rule.moments() } else { Vec::new() };
            let first = slabs.len();
            slabs.extend(Slab::of(part, &moments, rule.state_dtype(), device));
            slabs[first..].iter_mut().for_each(|slab| slab.owner = owner);
        }
        groups.push(Group { rule, slabs });
    }
    Ok(groups)
}

impl<R: Rule> Optimizer for Stepper<R> {
    #[track_caller]
    fn step(&mut self, grads: &Grads) {
        self.act(grads, None);
    }

    #[track_caller]
    fn step_with(&mut self, grads: &Grads, reduce: &mut dyn FnMut(&[Tensor]) -> Decision) {
        self.act(grads, Some(reduce));
    }

    fn lrs(&self) -> Vec<f32> {
        self.hyper.now().iter().map(|now| now.lr).collect()
    }

    fn base_lrs(&self) -> Vec<f32> {
        self.bases.clone()
    }

    fn set_lrs(&mut self, lrs: &[f32]) -> Result<()> {
        for_groups(lrs, self.groups.len())?;
        lrs.iter().try_for_each(|lr| checked_lr(*lr).map(drop))?;
        self.hyper.settable("rate")?;
        self.hyper.set_lrs(lrs);
        self.bases = lrs.to_vec();
        Ok(())
    }

    fn momentum(&self) -> Option<f32> {
        self.groups[0].rule.momentum().map(|_| self.hyper.now()[0].momentum)
    }

    fn set_momentum(&mut self, momentum: f32) -> Result<()> {
        if !self.has_momentum() {
            return Err(Error::Option(format!("momentum: {} has none here, so {momentum} cannot be set", R::NAME)));
        }
        self.groups.iter().try_for_each(|group| group.rule.takes_momentum(momentum))?;
        self.hyper.settable("momentum")?;
        self.hyper.set_momenta(&vec![momentum; self.groups.len()]);
        Ok(())
    }

    fn grad_norm(&self) -> Option<Tensor> {
        self.max_norm.map(|_| self.hyper.tensor.narrow(0, 1, 1).squeeze(0).copy())
    }

    fn made(&self) -> Option<Tensor> {
        self.is_flagged.then(|| self.hyper.made())
    }

    fn state(&self) -> Result<StateDict> {
        let skipped = self.hyper.skipped()?;
        let mut state = slab::state(self.states(), &self.hyper.counts(&skipped))?;
        if skipped.iter().any(|skipped| *skipped > 0) {
            state.insert(SKIPPED.into(), slab::told(&skipped));
        }
        let now = self.hyper.now();
        let values = |of: fn(&Now) -> f32| Values::F32(now.iter().map(of).collect());
        let rates = |of| StateTensor { shape: vec![now.len()], values: values(of) };
        state.insert("lr".into(), rates(|now| now.lr));
        if self.has_momentum() {
            state.insert("momentum".into(), rates(|now| now.momentum));
        }
        state.insert(format!("{RULE}{}", R::NAME), StateTensor { shape: vec![], values: Values::I64(vec![1]) });
        if let Some(peers) = &self.peers {
            shards::gather(&**peers, self.states(), &mut state)?;
        }
        Ok(state)
    }

    fn is_sharded(&self) -> bool {
        self.peers.is_some()
    }

    fn load_state(&mut self, saved: &StateDict) -> Result<()> {
        self.hyper.settable("state")?;
        let rule = saved.keys().find_map(|name| name.strip_prefix(RULE));
        if let Some(rule) = rule.filter(|rule| *rule != R::NAME) {
            return Err(Error::Weights(format!("the optimizer's state is {rule}'s, not {}'s", R::NAME)));
        }
        let found = slab::find(R::NAME, self.states(), saved)?;
        let lrs = slab::rates(saved, "lr", self.groups.len(), |lr| checked_lr(lr).is_ok())?;
        let taken = |momentum| self.groups.iter().all(|group| group.rule.takes_momentum(momentum).is_ok());
        let momenta = slab::rates(saved, "momentum", self.groups.len(), taken)?;
        let skipped = slab::each(saved.get(SKIPPED), found.counts.len());
        found.write();
        self.hyper.set_counts(&found.counts, &skipped);
        lrs.iter().for_each(|lrs| self.hyper.set_lrs(lrs));
        momenta.iter().filter(|_| self.has_momentum()).for_each(|momenta| self.hyper.set_momenta(momenta));
        Ok(())
    }
}
