//! What all optimizers have in common.

use super::hyper::{Hyper, Numbers};
use super::norms::Norms;
use super::penalty::Penalty;
use super::rule::{Now, Rule, Run};
use super::slab::{self, Owned, Slab, Stretch};
use super::{Ema, Optimizer, at_least_0, checked, checked_lr, share};
use crate::autograd::Grads;
use crate::error::{Error, Result};
use crate::nn::{Module, Parameter, StateDict, parameters};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::sync::Arc;

/// An optimizer after a rule: [`Adam`](super::Adam) is `Fused<AdamOptions>`.
pub struct Fused<R: Rule> {
    groups: Vec<Group<R>>,
    owned: Arc<Vec<Owned>>,
    hyper: Hyper,
    penalty: Penalty,
    norms: Option<Norms>,
    max_norm: Option<f32>,
}

/// Parameters with the same options.
struct Group<R> {
    rule: R,
    slabs: Vec<Slab>,
}

impl<R: Rule> Fused<R> {
    /// Takes over the parameters of `model`, which goes on to read them in place. A part of a model trains alone where the
    /// optimizer is made for that part; the rest then computes with [`Ctx::untracked`](crate::nn::Ctx::untracked), which
    /// spares its gradients. An optimizer that had a parameter before cannot step any more.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range.
    ///
    /// # Panics
    /// If the model has no parameters or they live on several devices.
    #[track_caller]
    pub fn new(model: &dyn Module, options: R) -> Result<Self> {
        Fused::grouped(model, |_, _| options)
    }

    /// Like `new`, with options for each parameter by its path and shape. Those with equal options are a group, which has
    /// a learning rate of its own; groups are numbered in the order in which the model names their first members.
    ///
    /// ```
    /// use wgrad::nn::{Init, Linear};
    /// use wgrad::optim::{Adam, AdamOptions, Optimizer, WeightDecay};
    /// let model = Linear::new(3, 2, &mut Init::new(0, &wgrad::Device::cpu()));
    /// let decaying = AdamOptions { weight_decay: WeightDecay::Decoupled(0.1), ..AdamOptions::default() };
    /// // No decay on biases and norms, whose parameters are vectors.
    /// let optimizer = Adam::grouped(&model, |_path, shape| match shape.rank() {
    ///     0 | 1 => AdamOptions::default(),
    ///     _ => decaying,
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
    #[track_caller]
    pub fn grouped(model: &dyn Module, options: impl Fn(&str, Shape) -> R) -> Result<Self> {
        let mut named: Vec<(R, Vec<(String, Parameter)>)> = Vec::new();
        for (path, parameter) in parameters(model) {
            if named.iter().flat_map(|(_, members)| members).any(|(_, other)| other.is(&parameter)) {
                continue;
            }
            let rule = options(&path, parameter.shape());
            rule.check()?;
            match named.iter_mut().find(|(other, _)| *other == rule) {
                Some((_, members)) => members.push((path, parameter)),
                None => named.push((rule, vec![(path, parameter)])),
            }
        }
        let device = slab::device(named.iter().flat_map(|(_, members)| members));
        let group = |(rule, members): (R, Vec<(String, Parameter)>)| Group {
            rule,
            slabs: Slab::of(members, &rule.firsts(), &device),
        };
        let groups: Vec<Group<R>> = named.into_iter().map(group).collect();
        let start = |rule: &R| Now { lr: rule.lr(), momentum: rule.momentum().unwrap_or(0.0), steps: 0 };
        let numbers = groups.iter().map(|group| {
            let rule = group.rule;
            Box::new(move |now| rule.numbers(now)) as Numbers
        });
        let hyper = Hyper::new(&device, groups.iter().map(|group| start(&group.rule)).collect(), numbers.collect());
        let owned = Arc::new(groups.iter().flat_map(|group| &group.slabs).map(Slab::owned).collect());
        let mut out = Fused { groups, owned, hyper, penalty: Penalty::default(), norms: None, max_norm: None };
        if R::needs_norms() {
            out.measure();
        }
        Ok(out)
    }

    /// Holds the global norm of all gradients under a bound, as `torch.nn.utils.clip_grad_norm_` does: where it is larger,
    /// all are scaled down. The norm stays on the device.
    ///
    /// # Errors
    /// [`Error::Option`] if the bound is not positive.
    pub fn clip_grad_norm(mut self, max_norm: f32) -> Result<Self> {
        self.max_norm = Some(checked("max norm", max_norm, |v| v > 0.0, "a number above 0")?);
        self.measure();
        Ok(self)
    }

    /// Holds each element of the gradients between `-value` and `value`, as `torch.nn.utils.clip_grad_value_` does; before
    /// their norm is taken.
    ///
    /// # Errors
    /// [`Error::Option`] if the bound is not positive.
    pub fn clip_grad_value(mut self, value: f32) -> Result<Self> {
        self.penalty.bound = checked("clip value", value, |v| v > 0.0, "a number above 0")?;
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

    fn measure(&mut self) {
        if self.norms.is_none() {
            self.norms = Some(Norms::new(self.groups.iter_mut().flat_map(|group| &mut group.slabs)));
        }
    }

    fn slabs(&self) -> impl Iterator<Item = &Slab> {
        self.groups.iter().flat_map(|group| &group.slabs)
    }

    fn states(&self) -> impl Iterator<Item = (&Slab, &'static [(&'static str, f32)])> {
        self.groups.iter().flat_map(|group| group.slabs.iter().map(|slab| (slab, group.rule.moments())))
    }
}

impl<R: Rule> Optimizer for Fused<R> {
    #[track_caller]
    fn step(&mut self, grads: &Grads) {
        let owned = self.owned.clone();
        for owned in owned.iter() {
            owned.check();
        }
        self.hyper.tensor.device().before_replays(move || owned.iter().for_each(Owned::check));
        self.hyper.advance();
        let mut gathered: Vec<(&Slab, Vec<Stretch>)> = Vec::new();
        for slab in self.slabs() {
            gathered.push((slab, slab.gather(grads)));
        }
        let moved = gathered.iter().any(|(_, stretches)| !stretches.is_empty());
        assert!(moved, "{}: there is no gradient for any of its parameters", R::NAME);
        self.penalty.apply(&gathered);
        if let (Some(norms), Some(max_norm)) = (&self.norms, self.max_norm) {
            norms.clip(&gathered, &self.hyper.tensor, max_norm);
        }
        let mut gathered = gathered.into_iter();
        for (group, &at) in self.groups.iter().zip(&self.hyper.starts) {
            for (slab, stretches) in gathered.by_ref().take(group.slabs.len()) {
                for stretch in &stretches {
                    group.rule.step(&Run { slab, stretch, numbers: &self.hyper.tensor, at });
                }
            }
        }
    }

    fn lrs(&self) -> Vec<f32> {
        self.hyper.now().iter().map(|now| now.lr).collect()
    }

    fn set_lrs(&mut self, lrs: &[f32]) -> Result<()> {
        if lrs.len() != self.groups.len() {
            let (have, want) = (lrs.len(), self.groups.len());
            return Err(Error::Option(format!("{have} learning rates for {want} groups: one for each group is due")));
        }
        lrs.iter().try_for_each(|lr| checked_lr(*lr).map(drop))?;
        self.hyper.set_lrs(lrs);
        Ok(())
    }

    fn momentum(&self) -> Option<f32> {
        self.groups[0].rule.momentum().map(|_| self.hyper.now()[0].momentum)
    }

    fn set_momentum(&mut self, momentum: f32) -> Result<()> {
        if self.groups.iter().any(|group| group.rule.momentum().is_none()) {
            return Err(Error::Option(format!("momentum: {} has none here, so {momentum} cannot be set", R::NAME)));
        }
        self.hyper.set_momentum(share("momentum", momentum)?);
        Ok(())
    }

    fn grad_norm(&self) -> Option<Tensor> {
        self.max_norm.map(|_| self.hyper.tensor.narrow(0, 1, 1).squeeze(0).copy())
    }

    fn ema(&self, decay: f32) -> Result<Ema> {
        Ema::new(self.slabs(), decay)
    }

    fn state(&self) -> Result<StateDict> {
        slab::state(self.states(), self.hyper.steps())
    }

    fn load_state(&mut self, saved: &StateDict) -> Result<()> {
        self.hyper.set_steps(slab::load_state(self.states(), saved)?);
        Ok(())
    }
}
