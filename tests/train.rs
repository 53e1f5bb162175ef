//! The examples in small: the same run on every backend, the same bits twice, no waste per step, and what training
//! refuses.
//!
//! `cargo test --test library train -- --nocapture` shows how near the curves are.

#[path = "train/again.rs"]
mod again;
#[path = "train/around.rs"]
mod around;
#[path = "train/averages.rs"]
mod averages;
#[path = "train/better.rs"]
mod better;
#[path = "train/bf16_state.rs"]
mod bf16_state;
#[path = "train/board.rs"]
mod board;
#[path = "train/broken.rs"]
mod broken;
#[path = "train/chance.rs"]
mod chance;
#[path = "train/compiles.rs"]
mod compiles;
#[path = "train/compressed.rs"]
mod compressed;
#[path = "train/conventions.rs"]
mod conventions;
#[path = "train/counters.rs"]
mod counters;
#[path = "train/counts.rs"]
mod counts;
#[path = "train/curves.rs"]
mod curves;
#[path = "train/diloco.rs"]
mod diloco;
#[path = "train/drawn.rs"]
mod drawn;
#[path = "train/edges.rs"]
mod edges;
#[path = "train/fitted.rs"]
mod fitted;
#[path = "train/frozen.rs"]
mod frozen;
#[path = "train/goes_on.rs"]
mod goes_on;
#[path = "train/grads.rs"]
mod grads;
#[path = "train/graph.rs"]
mod graph;
#[path = "train/guide.rs"]
mod guide;
#[path = "train/half_sums.rs"]
mod half_sums;
#[path = "train/halved.rs"]
mod halved;
#[path = "train/halves.rs"]
mod halves;
#[path = "train/huge.rs"]
mod huge;
#[path = "train/in_place.rs"]
mod in_place;
#[path = "train/int8.rs"]
mod int8;
#[path = "train/judged.rs"]
mod judged;
#[path = "train/layers.rs"]
mod layers;
#[path = "train/limits.rs"]
mod limits;
#[path = "train/lines.rs"]
mod lines;
#[path = "train/logs.rs"]
mod logs;
#[path = "train/long.rs"]
mod long;
#[path = "train/memory.rs"]
mod memory;
#[path = "train/merged.rs"]
mod merged;
#[path = "train/metrics.rs"]
mod metrics;
#[path = "train/mixed.rs"]
mod mixed;
#[path = "../examples/mnist/model.rs"]
mod model;
#[path = "train/modules.rs"]
mod modules;
#[path = "train/moved.rs"]
mod moved;
#[path = "train/numbers.rs"]
mod numbers;
#[path = "train/once.rs"]
mod once;
#[path = "train/options.rs"]
mod options;
#[path = "train/orders.rs"]
mod orders;
#[path = "train/over.rs"]
mod over;
#[path = "train/own_rule.rs"]
mod own_rule;
#[path = "train/parallel.rs"]
mod parallel;
#[path = "train/rates.rs"]
mod rates;
#[path = "train/reads.rs"]
mod reads;
#[path = "train/recipes.rs"]
mod recipes;
#[path = "train/recompute.rs"]
mod recompute;
#[path = "train/refusals.rs"]
mod refusals;
#[path = "train/replay.rs"]
mod replay;
#[path = "train/report.rs"]
mod report;
#[path = "train/resident.rs"]
mod resident;
#[path = "train/resume.rs"]
mod resume;
#[path = "train/rewrites.rs"]
mod rewrites;
mod rounded;
#[path = "train/rows.rs"]
mod rows;
#[path = "train/rules.rs"]
mod rules;
#[path = "train/same_as_one.rs"]
mod same_as_one;
#[path = "train/searches.rs"]
mod searches;
#[path = "train/second.rs"]
mod second;
#[path = "train/seeds.rs"]
mod seeds;
#[path = "train/sequences.rs"]
mod sequences;
#[path = "train/sharded.rs"]
mod sharded;
#[path = "train/shared.rs"]
mod shared;
#[path = "train/threads.rs"]
mod threads;
#[path = "train/traced.rs"]
mod traced;
#[path = "train/trainer.rs"]
mod trainer;
#[path = "train/transforms.rs"]
mod transforms;
#[path = "train/types.rs"]
mod types;
