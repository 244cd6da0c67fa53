//! A table of 256 values, read by bytes.

/// A byte cannot leave a table of 256: no checks.
#[inline(always)]
pub fn plain(codes: &[u8], table: &[f32; 256], out: &mut [f32]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        *out = table[usize::from(code)];
    }
}

/// The table's bytes by significance: plane `b` holds byte `b` of each of the first 16 values.
#[allow(dead_code)] // Only where shuffles work on bytes.
pub fn planes(table: &[f32]) -> [[u8; 16]; 4] {
    let mut planes = [[0; 16]; 4];
    for (i, value) in table.iter().take(16).enumerate() {
        for (plane, byte) in planes.iter_mut().zip(value.to_le_bytes()) {
            plane[i] = byte;
        }
    }
    planes
}
