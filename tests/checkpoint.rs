//! Weights in files: what goes out comes back, what does not belong is told, and an older file outlives every failure.

#[path = "checkpoint/broken.rs"]
mod broken;
#[path = "checkpoint/round_trip.rs"]
mod round_trip;
#[path = "checkpoint/torch.rs"]
mod torch;
#[path = "checkpoint/writing.rs"]
mod writing;
