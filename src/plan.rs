//! Lists of kernels: what a piece of work ran, as data.

use crate::kernel::{Cost, Dispatch};
use std::fmt;

/// The kernels of a piece of work in the order they ran. Printed, one line a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    dispatches: Vec<Dispatch>,
}

impl Plan {
    pub(crate) fn new(dispatches: Vec<Dispatch>) -> Plan {
        Plan { dispatches }
    }

    /// The kernels.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Operations and bytes of all kernels together.
    pub fn cost(&self) -> Cost {
        self.dispatches.iter().fold(Cost::default(), |sum, d| {
            let cost = (d.kernel.cost)(d);
            Cost { flops: sum.flops + cost.flops, bytes: sum.bytes + cost.bytes }
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dispatch in &self.dispatches {
            let sizes: Vec<String> = dispatch.bindings.iter().map(|b| (b.bytes / 4).to_string()).collect();
            writeln!(f, "{} [{}]", dispatch.title(), sizes.join(" "))?;
        }
        Ok(())
    }
}
