/// Scales and offsets of four neighbouring rows.
struct Spans { scale: vec4f, offset: vec4f }
