//! Places of tokens in time, in height and in width (M-RoPE, Wang et al. 2024): a word is at the same place in all three,
//! one after the words before; a picture's tokens are at one time, in rows and columns. What follows a picture goes on
//! behind its longer side.

use crate::models::vision_language::Grid;

/// The place of each token. Ids from `vocabulary` on are tokens of pictures, which `grids` describe one after the other;
/// those beyond count as words.
pub fn places(tokens: &[u32], vocabulary: usize, grids: &[Grid]) -> Vec<[i64; 3]> {
    let mut next = 0;
    // Where the picture begins of which tokens come.
    let mut begin = 0;
    let mut places = Vec::with_capacity(tokens.len());
    for &id in tokens {
        let Some((row, column)) = (id as usize).checked_sub(vocabulary).and_then(|at| within(at, grids)) else {
            places.push([next; 3]);
            next += 1;
            continue;
        };
        if (row, column) == (0, 0) {
            begin = next;
        }
        places.push([begin, begin + row, begin + column]);
        next = next.max(begin + row.max(column) + 1);
    }
    places
}

/// Row and column of token `at` of all pictures.
fn within(mut at: usize, grids: &[Grid]) -> Option<(i64, i64)> {
    for grid in grids {
        let size = grid.rows * grid.columns;
        if at < size {
            return Some(((at / grid.columns) as i64, (at % grid.columns) as i64));
        }
        at -= size;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_among_words() {
        let grids = [Grid { rows: 2, columns: 3 }, Grid { rows: 2, columns: 1 }];
        let tokens = [4, 5, 10, 11, 12, 13, 14, 15, 6, 16, 17, 7];
        let columns: [Vec<i64>; 3] =
            std::array::from_fn(|i| places(&tokens, 10, &grids).iter().map(|p| p[i]).collect());
        assert_eq!(columns[0], [0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 6, 8]);
        assert_eq!(columns[1], [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 7, 8]);
        assert_eq!(columns[2], [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 6, 8]);
        assert_eq!(places(&[1, 2, 99], 10, &[]), [[0; 3], [1; 3], [2; 3]]);
    }
}
