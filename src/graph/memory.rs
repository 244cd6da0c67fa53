//! Memory plan: which values share a buffer.

use crate::tensor::order;

/// A value's bytes and the steps between which it must live, inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    pub bytes: usize,
    pub first: usize,
    pub last: usize,
}

/// Slots and who sits in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryPlan {
    /// Bytes of each slot.
    pub slots: Vec<usize>,
    /// The slot of each value, in the order given.
    pub assignment: Vec<usize>,
}

impl MemoryPlan {
    /// Sum of all slots: the arena's peak.
    pub fn bytes(&self) -> usize {
        self.slots.iter().sum()
    }
}

/// Greedy by size, largest first: a value takes the smallest slot that is free for its whole life, else opens a new one.
/// (The "greedy by size" strategy of Pisarchyk & Lee 2020, for shared objects.)
pub fn plan(lifetimes: &[Lifetime]) -> MemoryPlan {
    let n = lifetimes.len();
    let order = order::first(n, n, &|a, b| {
        let (a, b) = (&lifetimes[a], &lifetimes[b]);
        b.bytes.cmp(&a.bytes).then(a.first.cmp(&b.first))
    });

    let mut slots: Vec<(usize, Vec<(usize, usize)>)> = Vec::new();
    let mut assignment = vec![0; lifetimes.len()];
    for i in order {
        let Lifetime { bytes, first, last } = lifetimes[i];
        let free = |(_, users): &&(usize, Vec<(usize, usize)>)| users.iter().all(|&(f, l)| last < f || l < first);
        let best = slots.iter().enumerate().filter(|(_, s)| free(s)).min_by_key(|(_, s)| s.0).map(|(k, _)| k);
        let slot = best.unwrap_or_else(|| {
            slots.push((bytes, Vec::new()));
            slots.len() - 1
        });
        slots[slot].1.push((first, last));
        assignment[i] = slot;
    }
    MemoryPlan { slots: slots.into_iter().map(|(bytes, _)| bytes).collect(), assignment }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_live_together_never_share() {
        let mut state = 7u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        let lives: Vec<Lifetime> = (0..200)
            .map(|_| {
                let first = next(50) as usize;
                Lifetime { bytes: next(1000) as usize, first, last: first + next(8) as usize }
            })
            .collect();
        let plan = plan(&lives);
        for (i, a) in lives.iter().enumerate() {
            assert!(plan.slots[plan.assignment[i]] >= a.bytes);
            for (j, b) in lives.iter().enumerate().skip(i + 1) {
                let overlap = a.first <= b.last && b.first <= a.last;
                assert!(!overlap || plan.assignment[i] != plan.assignment[j], "{i} and {j} share");
            }
        }
        assert!(plan.bytes() < lives.iter().map(|l| l.bytes).sum::<usize>() / 2);
    }
}
