//! `fewbit bench matmul --device gpu` says of each product where it ran.
#![cfg(all(feature = "gpu", feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

/// A GPU has no stage for dual weights whose groups do not hold runs of eight.
#[test]
fn a_product_left_to_the_cpu_is_not_the_gpus() {
    let args =
        ["--m", "3", "--k", "64", "--n", "32", "--weights", "dual:group=12,palette:4", "--repeat", "1", "--json"];
    for more in [&["--alone"][..], &[]] {
        let command = ["bench", "matmul", "--device", "gpu"];
        let output =
            Command::new(env!("CARGO_BIN_EXE_fewbit")).args([&command[..], &args, more].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let [dual, palette]: [Value; 2] =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>().try_into().unwrap();
        let device = |row: &Value| row["device"].as_str().unwrap().to_string();
        assert!(device(&dual).starts_with("cpu") && device(&palette).starts_with("gpu: "), "{lines}");
        assert!(dual["left_to_cpu"].as_str().unwrap().contains("dual") && palette["left_to_cpu"].is_null());
        assert!(dual["of_copy"].is_null() && palette["of_copy"].is_null() == more.contains(&"--alone"), "{lines}");
        assert!(dual["kernel_ms"].is_null());
    }
}
