// What a gated convolution computes (conv.wgsl, `gated`), from masks.
//
// feature: full
// Layout   filters: [batch, outputs], channels: [batch, inputs], 0 where one is left out; bias: [outputs]. gate: [batch, words] with
//          the count of filters that stay; the filters, those that stay first, both in their order; the bits of their biases by
//          filter; for every channel and the end the first channel from there on that stays, or `inputs`.
// Tiling   a workgroup an image; an invocation a run of filters and of channels. Cost: reads and writes of the masks, a scan in
//          workgroup memory.

/// Without a mask all stay.
override FILTERS: bool = false;
override CHANNELS: bool = false;
override BIAS: bool = false;

struct Params { outputs: u32, inputs: u32, pad0: u32, pad1: u32 }

// By their bits: devices may take the smallest numbers for zeros.
@group(0) @binding(0) var<storage, read> filters: array<u32>;
@group(0) @binding(1) var<storage, read> channels: array<u32>;
@group(0) @binding(2) var<storage, read> bias: array<u32>;
@group(0) @binding(3) var<storage, read_write> gate: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

const LANES = 64u;

/// Of each run how many filters stay, and its first channel that stays.
var<workgroup> counts: array<u32, LANES>;
var<workgroup> firsts: array<u32, LANES>;

fn is_zero(bits: u32) -> bool {
    return (bits & 0x7fffffffu) == 0u;
}

fn filter_stays(image: u32, number: u32) -> bool {
    if !FILTERS { return true; }
    return !is_zero(filters[image * params.outputs + number]);
}

fn channel_stays(image: u32, channel: u32) -> bool {
    if !CHANNELS { return true; }
    return !is_zero(channels[image * params.inputs + channel]);
}

fn choose(image: u32, lane: u32, at: u32) {
    let run = (params.outputs + LANES - 1u) / LANES;
    let begin = min(lane * run, params.outputs);
    let end = min(begin + run, params.outputs);
    var count = 0u;
    for (var i = begin; i < end; i++) { count += u32(filter_stays(image, i)); }
    counts[lane] = count;
    workgroupBarrier();
    var before = 0u;
    var all = 0u;
    for (var other = 0u; other < LANES; other++) {
        if other < lane { before += counts[other]; }
        all += counts[other];
    }
    if lane == 0u { gate[at] = all; }
    // Those left out lie behind all that stay.
    var left_out = all + begin - before;
    for (var i = begin; i < end; i++) {
        let stays = filter_stays(image, i);
        gate[at + 1u + select(left_out, before, stays)] = i;
        before += u32(stays);
        left_out += u32(!stays);
        if BIAS { gate[at + 1u + params.outputs + i] = bias[i]; }
    }
}

fn link(image: u32, lane: u32, at: u32) {
    let run = (params.inputs + LANES - 1u) / LANES;
    let begin = min(lane * run, params.inputs);
    let end = min(begin + run, params.inputs);
    var first = params.inputs;
    for (var i = end; i > begin; i--) {
        if channel_stays(image, i - 1u) { first = i - 1u; }
    }
    firsts[lane] = first;
    workgroupBarrier();
    var next = params.inputs;
    for (var other = lane + 1u; other < LANES; other++) { next = min(next, firsts[other]); }
    for (var i = end; i > begin; i--) {
        if channel_stays(image, i - 1u) { next = i - 1u; }
        gate[at + i - 1u] = next;
    }
    if lane == 0u { gate[at + params.inputs] = params.inputs; }
}

@compute @workgroup_size(64)
fn choose_filters(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let image = group.x;
    let at = image * (2u * params.outputs + params.inputs + 2u);
    choose(image, lane, at);
    link(image, lane, at + 1u + 2u * params.outputs);
}
