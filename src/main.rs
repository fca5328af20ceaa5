//! The `opsctl` binary.

fn main() -> std::process::ExitCode {
    opsctl::cli::main()
}
