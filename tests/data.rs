//! The data floor: what files may do wrong.

#[path = "data/files.rs"]
mod files;
