//! Sums of activations, for what weights have in common.

/// The sums of x over groups.
pub fn group_sums<'a>(x: &'a [f32], group: usize) -> impl Iterator<Item = f32> + 'a {
    x.chunks(group).map(|x| {
        // Eight sums: additions need not wait for each other.
        let mut sums = [0f32; 8];
        let (whole, rest) = x.as_chunks::<8>();
        for x in whole {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum += x;
            }
        }
        sums.iter().chain(rest).sum()
    })
}
