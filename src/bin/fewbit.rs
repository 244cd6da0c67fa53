//! The command line. All of it lives in `fewbit::cli`.

/// The classifier that ships with fewbit (`pkg-scripts/default-model` makes it).
const CLASSIFIER: &[u8] = include_bytes!("../../www/models/efficientnet-lite0-4bit.fewbit");

fn main() -> std::process::ExitCode {
    fewbit::cli::main(CLASSIFIER)
}
