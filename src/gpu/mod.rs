//! Floor 4: the GPU backend.
pub struct GpuDevice;
impl GpuDevice {
    pub async fn new() -> crate::Result<Self> {
        Err(crate::Error::Device("no adapter".into()))
    }
    pub fn is_software(&self) -> bool {
        true
    }
    pub fn name(&self) -> String {
        String::new()
    }
}
