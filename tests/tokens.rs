//! Reduced tokens of small vision transformers (pkg-scripts/token_cases.py), on the CPU or, with `FEWBIT_TEST_DEVICE=gpu`, on the
//! adapter whose name contains `FEWBIT_TEST_ADAPTER`.

#[path = "tokens/classifier.rs"]
mod classifier;
#[path = "tokens/clca.rs"]
mod clca;
#[path = "tokens/golden.rs"]
mod golden;
#[path = "tokens/kernels.rs"]
mod kernels;
#[path = "tokens/misuse.rs"]
mod misuse;
#[path = "tokens/published.rs"]
mod published;
#[path = "tokens/search.rs"]
mod search;

use fewbit::runtime::Device;

fn on_gpu() -> bool {
    std::env::var("FEWBIT_TEST_DEVICE").as_deref() == Ok("gpu")
}

fn device() -> Device {
    if !on_gpu() {
        return Device::cpu(2).unwrap();
    }
    let device = Device::gpu().expect("a GPU run needs an adapter");
    let wanted = std::env::var("FEWBIT_TEST_ADAPTER").unwrap_or_default();
    assert!(device.describe().contains(&wanted), "ran on `{}`, not on `{wanted}`", device.describe());
    device
}
