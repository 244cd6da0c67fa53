//! Gather of rows from few-bit tables.

use super::*;

/// Every encoding, ragged rows, indices from both ends and twice.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, (rows, cols)) in [(1, 1), (5, 31), (40, 520)].into_iter().enumerate() {
        let len = rows as i64;
        let indices = Tensor::new([2, 3], &[0, len - 1, -1, -len, len / 2, len / 2]).unwrap();
        for (name, table) in encodings(rows, cols, seed as u64) {
            let all = wide(&table.to_dense().unwrap());
            let row = |i: &i64| if *i < 0 { i + len } else { *i } as usize;
            let picked = indices.slice::<i64>().unwrap().iter().map(row);
            cases.push(Case {
                name: format!("gather {name}"),
                op: "Gather",
                attrs: Attrs::default(),
                expected: picked.flat_map(|r| all[r * cols..(r + 1) * cols].to_vec()).collect(),
                inputs: vec![encoded(table), Some(Weight::Dense(indices.clone()))],
            });
        }
    }
    cases
}
