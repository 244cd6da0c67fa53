// Flat indices over grids that wrap from x into y (a grid dimension ends at 65 535).

/// Number of this workgroup.
fn flat_group(group: vec3u, grid: vec3u) -> u32 {
    return group.y * grid.x + group.x;
}

/// Number of this invocation over all workgroups of `size` invocations.
fn flat_index(group: vec3u, grid: vec3u, size: u32, lane: u32) -> u32 {
    return flat_group(group, grid) * size + lane;
}
