//! `fewbit bench matmul --device gpu` says of each product where it ran.
#![cfg(all(feature = "gpu", feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

/// A GPU has no kernel for sparse weights.
#[test]
fn a_product_left_to_the_cpu_is_not_the_gpus() {
    let args = ["--m", "3", "--k", "64", "--n", "32", "--weights", "sparse:2of4,palette:4", "--repeat", "1", "--json"];
    for more in [&["--alone"][..], &[]] {
        let command = ["bench", "matmul", "--device", "gpu"];
        let output =
            Command::new(env!("CARGO_BIN_EXE_fewbit")).args([&command[..], &args, more].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let [sparse, palette]: [Value; 2] =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>().try_into().unwrap();
        let device = |row: &Value| row["device"].as_str().unwrap().to_string();
        assert!(device(&sparse).starts_with("cpu") && device(&palette).starts_with("gpu: "), "{lines}");
        assert!(sparse["left_to_cpu"].as_str().unwrap().contains("sparse") && palette["left_to_cpu"].is_null());
        assert!(sparse["of_copy"].is_null() && palette["of_copy"].is_null() == more.contains(&"--alone"), "{lines}");
        assert!(sparse["kernel_ms"].is_null());
    }
}
