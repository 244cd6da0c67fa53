//! Loops that are unrolled in every build.

/// `for i in 0..n { body }` for a constant `n` of at most 12, as one block per step. The browser build is optimised for
/// size and keeps loops, and an array that a loop indexes cannot stay in registers.
#[allow(unused_macros)] // on a processor without vector instructions
macro_rules! unroll {
    ($i:ident in $n:expr => $body:block) => {
        unroll!(@ $i $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    // For arrays of 5 and 8 elements, of which `n` are used.
    ($i:ident in $n:expr, 5 => $body:block) => {
        unroll!(@ $i $n, $body, 0 1 2 3 4)
    };
    ($i:ident in $n:expr, 8 => $body:block) => {
        unroll!(@ $i $n, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $i:ident $n:expr, $body:block, $($step:literal)*) => {
        $(
            if $step < $n {
                let $i: usize = $step;
                $body
            }
        )*
    };
}
#[allow(unused_imports)] // likewise
pub(super) use unroll;
