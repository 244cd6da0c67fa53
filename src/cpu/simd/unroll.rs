//! Loops that are unrolled in every build.

/// `for i in 0..n { body }` for a constant `n`, as one block per step: of 2 to 4 steps, or of a named constant's, at most
/// those behind the comma. The browser build is optimised for size and keeps loops, and an array that a loop indexes
/// cannot stay in registers. Blocks that `n` leaves out cost the compiler time: the bound is a close one.
#[allow(unused_macros)] // on a processor without vector instructions
macro_rules! unroll {
    ($i:ident in 2 => $body:block) => { unroll!(@ $i 2, $body, 0 1) };
    ($i:ident in 3 => $body:block) => { unroll!(@ $i 3, $body, 0 1 2) };
    ($i:ident in 4 => $body:block) => { unroll!(@ $i 4, $body, 0 1 2 3) };
    ($i:ident in $n:expr, 2 => $body:block) => { unroll!(@ $i $n, $body, 0 1) };
    ($i:ident in $n:expr, 4 => $body:block) => { unroll!(@ $i $n, $body, 0 1 2 3) };
    ($i:ident in $n:expr, 5 => $body:block) => { unroll!(@ $i $n, $body, 0 1 2 3 4) };
    ($i:ident in $n:expr, 8 => $body:block) => { unroll!(@ $i $n, $body, 0 1 2 3 4 5 6 7) };
    ($i:ident in $n:expr, 12 => $body:block) => { unroll!(@ $i $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11) };
    (@ $i:ident $n:expr, $body:block, $($step:literal)*) => {
        const { assert!($n <= [$($step),*].len()) };
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
