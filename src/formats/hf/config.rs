//! `config.json`, as far as it says how weights are stored.

use serde_json::Value;

/// `Null` for a folder without: its weights are then not quantised.
pub struct Config {
    pub json: Value,
}

impl Config {
    /// The object that describes the quantisation. MLX calls it otherwise than the rest.
    fn quantization(&self) -> Option<&Value> {
        let named = |name: &str| self.json.get(name).filter(|v| v.is_object());
        named("quantization_config").or_else(|| named("compression_config")).or_else(|| named("quantization"))
    }

    pub fn method(&self) -> Option<&str> {
        let named = self.quantization()?.get("quant_method").and_then(Value::as_str);
        named.or_else(|| self.size("bits").map(|_| "mlx"))
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.quantization()?.get(key)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    pub fn size(&self, key: &str) -> Option<usize> {
        size(self.get(key)?)
    }

    /// A number that one layer has otherwise than the rest.
    pub fn size_of(&self, layer: &str, key: &str) -> Option<usize> {
        self.get(layer).and_then(|own| size(own.get(key)?)).or_else(|| self.size(key))
    }
}

fn size(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}
