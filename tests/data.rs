//! The data floor: what files may do wrong, what loaders promise, and downloads from a server on loopback.

#[path = "data/download.rs"]
mod download;
#[path = "data/files.rs"]
mod files;
#[path = "data/loader.rs"]
mod loader;
#[path = "data/server.rs"]
mod server;
#[path = "data/sets.rs"]
mod sets;
#[path = "data/tables.rs"]
mod tables;
