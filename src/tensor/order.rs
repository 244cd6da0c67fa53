//! Sorting, in one copy of code. The standard library's sorts are compiled anew for every type and every comparison, and
//! are large: in a browser they would be a twentieth of the download. They may also panic where a comparison is not a
//! total order, as one of NaN easily is; these do not.

use std::cmp::Ordering;

/// The first `k` of the indices `0..n` in the order of `compare`, which takes two indices; equal ones in index order.
/// O(n log k).
pub fn first(k: usize, n: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    // A heap with the last of those kept at its root.
    let after = |a: usize, b: usize| compare(a, b).then(a.cmp(&b)) == Ordering::Greater;
    let sink = |heap: &mut [usize], mut at: usize| {
        loop {
            let mut child = 2 * at + 1;
            if child + 1 < heap.len() && after(heap[child + 1], heap[child]) {
                child += 1;
            }
            if child >= heap.len() || !after(heap[child], heap[at]) {
                return;
            }
            heap.swap(at, child);
            at = child;
        }
    };
    let mut heap: Vec<usize> = (0..k.min(n)).collect();
    for at in (0..heap.len() / 2).rev() {
        sink(&mut heap, at);
    }
    for index in heap.len()..n {
        if heap.first().is_some_and(|&last| after(last, index)) {
            heap[0] = index;
            sink(&mut heap, 0);
        }
    }
    for end in (1..heap.len()).rev() {
        heap.swap(0, end);
        sink(&mut heap[..end], 0);
    }
    heap
}

/// Sorts in place; equal items keep their order.
pub fn sort<T>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let order = first(items.len(), items.len(), &|a, b| compare(&items[a], &items[b]));
    let mut place = vec![0; items.len()];
    for (to, from) in order.into_iter().enumerate() {
        place[from] = to;
    }
    for at in 0..items.len() {
        while place[at] != at {
            let to = place[at];
            items.swap(at, to);
            place.swap(at, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers below 7 in no order.
    fn numbers(n: usize) -> Vec<(usize, usize)> {
        (0..n).map(|i| (i * 7919 % 101 % 7, i)).collect()
    }

    #[test]
    fn sorts_as_the_stable_sort_does() {
        for n in [0, 1, 2, 3, 10, 100, 1000] {
            let (mut own, mut std) = (numbers(n), numbers(n));
            sort(&mut own, &|a, b| b.0.cmp(&a.0));
            std.sort_by_key(|item| std::cmp::Reverse(item.0));
            assert_eq!(own, std);
        }
    }

    #[test]
    fn the_first_are_those_of_all() {
        let items = numbers(500);
        let compare = |a: usize, b: usize| items[a].0.cmp(&items[b].0);
        let all = first(500, 500, &compare);
        for k in [0, 1, 2, 77, 499, 900] {
            assert_eq!(first(k, 500, &compare), all[..k.min(500)]);
        }
    }

    #[test]
    fn a_comparison_without_order_gives_every_item_once() {
        let mut found = first(100, 100, &|a, b| (a * 31 % 7).cmp(&(b * 17 % 5)));
        found.sort();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
    }
}
