//! What the plans of a session share: packed weights (there is a plan per input shape, and each would pack its own), keys
//! and values.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Work done once per plan, e.g. packed weight panels.
pub type Prepared = Arc<dyn Any + Send + Sync>;

/// Packed weights that some plan still uses, and what attention keeps between runs.
#[derive(Default)]
pub struct Packs {
    #[cfg(feature = "full")]
    pub caches: super::caches::Caches,
    known: Mutex<HashMap<Key, Weak<dyn Any + Send + Sync>>>,
}

/// What a packed weight was made from: address and number of the values, and the sizes it was packed for. An entry that is
/// alive belongs to a plan, which holds the weight too, so its address is not used again meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    address: usize,
    len: usize,
    n: usize,
    k: usize,
    transposed: bool,
}

impl Key {
    /// A weight of `n` outputs and sums over `k`, stored `[n, k]` if `transposed`, else `[k, n]`.
    pub fn new(weight: &[f32], n: usize, k: usize, transposed: bool) -> Self {
        Key { address: weight.as_ptr() as usize, len: weight.len(), n, k, transposed }
    }
}

impl Packs {
    /// Packs beside which attention keeps keys and values of this kind.
    #[cfg(feature = "full")]
    pub fn keeping(kind: crate::ops::cached_attention::KvKind) -> Self {
        Packs { caches: super::caches::Caches::new(kind), ..Packs::default() }
    }

    /// The packed weight, made by `pack` unless a plan has it.
    pub fn get(&self, key: Key, pack: impl FnOnce() -> Option<Prepared>) -> Option<Prepared> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packed) = known.get(&key).and_then(Weak::upgrade) {
            return Some(packed);
        }
        known.retain(|_, packed| packed.strong_count() > 0);
        let packed = pack()?;
        known.insert(key, Arc::downgrade(&packed));
        Some(packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_once_while_in_use() {
        let packs = Packs::default();
        let (a, b) = ([1f32; 6], [1f32; 6]);
        let first = packs.get(Key::new(&a, 2, 3, true), || Some(Arc::new(1))).unwrap();
        let again = packs.get(Key::new(&a, 2, 3, true), || Some(Arc::new(2))).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        for key in [Key::new(&a, 2, 3, false), Key::new(&a, 3, 2, true), Key::new(&b, 2, 3, true)] {
            let other = packs.get(key, || Some(Arc::new(3))).unwrap();
            assert!(!Arc::ptr_eq(&first, &other));
        }
        drop((first, again));
        let anew = packs.get(Key::new(&a, 2, 3, true), || Some(Arc::new(4))).unwrap();
        assert_eq!(anew.downcast_ref(), Some(&4));
    }
}
