//! The data floor: what files may do wrong, and what loaders promise.

#[path = "data/files.rs"]
mod files;
#[path = "data/loader.rs"]
mod loader;
