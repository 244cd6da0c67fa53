// The decode stage of the permutation that is being built: an encoding is named here once for all kernels.

@if(dense) import package::decode::dense::decode4;
@if(palette) import package::decode::palette::decode4;
@if(affine) import package::decode::affine::decode4;
@if(half_float) import package::decode::half_float::decode4;

/// Weights `col … col + 3` of `row`; `col` is a multiple of 4. `form` is the stage's own.
fn weights4(form: vec4u, row: u32, col: u32) -> vec4f {
    return decode4(form, row, col);
}
