//! The command line. All of it lives in `fewbit::cli`.

fn main() -> std::process::ExitCode {
    fewbit::cli::main()
}
