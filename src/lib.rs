//! Windlass, a platform orchestrator in one binary.
#![allow(
    dead_code,
    missing_docs,
    unused_imports,
    reason = "while the rooms are being built"
)]

mod api;
mod catalog;
mod cli;
mod deploy;
mod graph;
mod hcl;
mod manifest;
mod model;
mod placeholder;
mod runner;
mod score;
mod seal;
mod sources;
mod store;
mod text;
mod ui;
mod wire;
