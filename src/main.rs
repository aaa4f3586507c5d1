//! Parses, runs, prints one error, returns the exit code: all of it in `cli`, so that tests can reach it.

fn main() -> std::process::ExitCode {
    windlass::main()
}
