/// Eight neighbours along the columns of a row.
struct Eight { a: vec4f, b: vec4f }

/// Eight inputs of a product, their scaled form and their sum: what a stage needs of them for every row.
struct Inputs { x: Eight, sum: f32 }

fn dot_eight(w: Eight, x: Eight) -> f32 {
    return dot(w.a, x.a) + dot(w.b, x.b);
}
