// Attention of the first token to all, mean over heads: softmax(scale · q₀·kᵀ + sizes).
//
// feature: full
// Layout   q, k: f32, heads found by strides; sizes: [batch, tokens] f32; y: [batch, tokens] f32.
// Tiling   a workgroup a picture, head after head: a lane takes every LANES-th key, keeps a running greatest score and sum,
//          and computes its scores again once the workgroup's are known.
//          One that is not finite makes all of y so, and is told by the word of faults.
// Cost     2 · heads · tokens · width operations: one row of what attention itself computes for all.

struct Params {
    tokens: u32, heads: u32, shared_by: u32, width: u32,
    q_batch: u32, q_head: u32, k_batch: u32, k_head: u32,
    k_token: u32, scale: f32, fault: u32, pad0: u32,
}

override SIZED: u32 = 0u;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> sizes: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> faults: array<atomic<u32>>;
@group(0) @binding(5) var<uniform> params: Params;

const LANES = 128u;
const LOWEST = -3.4028234e38;

var<workgroup> tops: array<f32, LANES>;
var<workgroup> sums: array<f32, LANES>;

fn score(batch: u32, head: u32, token: u32) -> f32 {
    let query = batch * params.q_batch + head * params.q_head;
    let key = batch * params.k_batch + head / params.shared_by * params.k_head + token * params.k_token;
    var sum = 0.0;
    for (var i = 0u; i < params.width; i += 1u) { sum += q[query + i] * k[key + i]; }
    sum *= params.scale;
    if SIZED == 1u { sum += sizes[batch * params.tokens + token]; }
    return sum;
}

@compute @workgroup_size(128)
fn class_attention(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let batch = group.x;
    let row = batch * params.tokens;
    for (var head = 0u; head < params.heads; head += 1u) {
        var top = LOWEST;
        var sum = 0.0;
        for (var token = lane; token < params.tokens; token += LANES) {
            let s = score(batch, head, token);
            if s > top {
                sum *= exp(top - s);
                top = s;
            }
            sum += exp(s - top);
        }
        tops[lane] = top;
        sums[lane] = sum;
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if lane < half {
                let greatest = max(tops[lane], tops[lane + half]);
                sums[lane] = sums[lane] * exp(tops[lane] - greatest) + sums[lane + half] * exp(tops[lane + half] - greatest);
                tops[lane] = greatest;
            }
        }
        workgroupBarrier();
        let share = 1.0 / (sums[0] * f32(params.heads));
        for (var token = lane; token < params.tokens; token += LANES) {
            let weight = exp(score(batch, head, token) - tops[0]) * share;
            if head == 0u { y[row + token] = weight; } else { y[row + token] += weight; }
        }
        workgroupBarrier();
    }
    for (var token = lane; token < params.tokens; token += LANES) {
        // By its bits: shaders may take it for granted that no float is infinite or no number.
        if (bitcast<u32>(y[row + token]) & 0x7f800000u) == 0x7f800000u { atomicStore(&faults[0], params.fault); }
    }
}
