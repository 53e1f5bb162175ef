//! The library as its users meet it: training runs, files, data, plans and the choice of variants.
//!
//! Tests whose names begin with `gpu` need a GPU or a software adapter.

#[path = "../benches/step/batches.rs"]
mod batches;
mod checkpoint;
mod data;
#[expect(dead_code, reason = "the cases use more of it")]
mod defined;
mod deploy;
#[expect(dead_code, reason = "the last test binary says what was not run")]
mod devices;
#[path = "../benches/step/gpt.rs"]
mod gpt;
#[path = "../benches/step/models.rs"]
mod models;
#[path = "../benches/step/networks.rs"]
mod networks;
mod plans;
mod train;
mod tuning;
#[path = "../benches/step/workload.rs"]
mod workload;
