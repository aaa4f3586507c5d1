//! Windlass: an open, self-hosted platform orchestrator in one binary.
//!
//! A developer writes what a workload needs (a manifest, or a Score file). The platform team says once how each need
//! is met (modules, and the rules that pick one by context). Windlass expands the manifest into a resource graph,
//! compiles the graph to HCL, runs OpenTofu or Terraform in an isolated runner, and returns outputs and logs that
//! only the requester can read.
//!
//! # The rooms
//!
//! Each folder (or file) below `src` is a room: its module doc says what it does and what it never does. Rooms stand on
//! floors, and **an import goes to a lower floor only**; `tests/it/layers.rs` holds the same table and fails otherwise.
//!
//! | floor | room | what it does |
//! | --- | --- | --- |
//! | 0 | `model` | the words: ids, checked names, phases with one pure transition function, diagnostics |
//! | 1 | `text`, `placeholder`, `seal` | YAML and JSON with places; the placeholder language; sealed bytes |
//! | 2 | `manifest`, `catalog` | what was asked; what is offered |
//! | 3 | `score`, `wire` | Score to manifest; the JSON of the API |
//! | 4 | `graph` | manifest and catalogue to resource graph; the difference of two graphs |
//! | 5 | `hcl` | graph to bundle: path to bytes, sorted, with a digest |
//! | 6 | `runner`, `store`, `sources` | one run in one container; what outlives the process; module code, the provider mirror, kits |
//! | 7 | `deploy` | the use cases: submit, queue, follow, cancel, roll back, destroy |
//! | 8 | `api`, `ui` | the HTTP door; the pages |
//! | 9 | `cli` | the terminal door, and the wiring |
//!
//! # Never
//!
//! - Floors 0 to 5 read no file, no clock, no environment and no chance (`seal` draws its own keys): same input, same bytes.
//! - No value of an output and no line of a log is held in clear outside the runner: sealed where it appears, opened by
//!   the client with a key that never leaves it.
//! - `store` does not know what a bundle, a graph or a sealed stream means; `runner` does not know a database.
//! - User text reaches HCL through one escaper in `hcl` and nowhere else.
//! - Only `cli` prints. Only `runner::docker` speaks to a container engine, only `store` speaks SQL.
//! - A dropped future, a killed client or a killed worker never ends a run: what was started is adopted by the next command.
//!
//! # A manifest becomes a running database
//!
//! 1. `cli` reads the file, finds the recipients' keys, shows the difference to the last deployment and asks.
//! 2. It sends a `wire` body to `api`, in its own process (local mode) or over HTTP; both are the same router.
//! 3. `deploy::compile`, one pure function, checks the manifest against the catalogue, expands it into a `graph`,
//!    picks a module for each node and prints the `hcl` bundle. Every problem comes back at once, with its place.
//! 4. `deploy` records the deployment in `store` and leaves it in line. A detached `windlass work` claims it, compiles it
//!    again against the state of that moment, and hands the job to a launcher of `runner`.
//! 5. The launcher starts the supervisor, `windlass inside`, as process 1 of a container (or as a child process) and
//!    writes the job to its standard input.
//! 6. The supervisor lays out the bundle, guards the state file, starts the engine, and reports events numbered from 1;
//!    each is in the spool before it is sent, so any transport may drop and resume.
//! 7. The worker stores the events and ends the deployment; the container goes only after its end is stored.
//!
//! # A log line is written, sealed, stored, read
//!
//! 1. The engine prints a line of JSON; the supervisor reads it from a pipe.
//! 2. What is safe in clear (counts, addresses, classes of failure) becomes an event. The line itself goes into the log
//!    stream of `seal`: a fresh key per stream, wrapped to each recipient, a frame at 64 KiB or after 50 ms.
//! 3. The frame travels as an event to `store`, which keeps bytes.
//! 4. The client follows the events, fetches new frames, opens them with its own key and prints the line.

// The fuzz program reaches no floor above 6, and takes less than half as long to build without them.
#![cfg_attr(
    feature = "fuzz",
    expect(dead_code, unused_imports, reason = "what uses it is left out")
)]

#[cfg(not(feature = "fuzz"))]
mod api;
mod catalog;
#[cfg(not(feature = "fuzz"))]
#[expect(
    clippy::disallowed_methods,
    reason = "floor 9: reads files, settings and the clock for everybody below, and starts the worker"
)]
mod cli;
#[cfg(not(feature = "fuzz"))]
mod deploy;
mod graph;
mod hcl;
mod manifest;
mod model;
mod placeholder;
#[expect(
    clippy::disallowed_methods,
    reason = "floor 6: starts processes and containers, and is the supervisor inside them"
)]
mod runner;
mod score;
mod seal;
#[expect(
    clippy::disallowed_methods,
    reason = "floor 6: runs git and keeps module code by digest"
)]
mod sources;
#[cfg(not(feature = "fuzz"))]
#[expect(
    clippy::disallowed_methods,
    reason = "floor 6: the data directory, the database and its clock"
)]
mod store;
mod text;
#[cfg(not(feature = "fuzz"))]
mod ui;
mod wire;

#[doc(hidden)]
#[cfg(not(feature = "fuzz"))]
pub use self::deploy::door::{BenchCase, BenchShape, CompileContext, bench_manifest, compile_text};
#[doc(hidden)]
pub use self::seal::Exercise as SealExercise;

#[doc(hidden)]
#[cfg(not(feature = "fuzz"))]
pub use self::api::over as api_over;

/// What `bash tests/run --fuzz` calls; `cargo test` tries each target with what it starts from.
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
#[path = "../tests/fuzz/targets/mod.rs"]
pub mod fuzz;

#[cfg(not(feature = "fuzz"))]
pub use self::cli::main;
