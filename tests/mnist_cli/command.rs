//! Running the MNIST example.

use crate::program::{Said, run};
use std::ffi::OsStr;

pub fn mnist_under(variables: &[(&str, &str)], args: &[&dyn AsRef<OsStr>]) -> Said {
    run("mnist", variables, args)
}

pub fn mnist(args: &[&dyn AsRef<OsStr>]) -> Said {
    mnist_under(&[], args)
}
