//! Which tokens a cache of 8 bits has in half precision too, by a ring of places that is written to token after token.

/// Places, and the positions up to its own that a token looks for there.
const PLACES: usize = 160;
const RECENT: usize = 128;

#[derive(Default)]
pub struct Ring {
    /// The position that was written last to each place.
    places: Vec<Option<usize>>,
    /// For each token that was fed the first of the positions up to its own that are all there.
    pub from: Vec<usize>,
}

impl Ring {
    pub fn run(&mut self, first: usize, count: usize) {
        self.places.resize(PLACES, None);
        (first..first + count).for_each(|p| self.places[p % PLACES] = Some(p));
        self.from.truncate(first);
        for token in first..first + count {
            let there = |&p: &usize| p + RECENT > token && self.places[p % PLACES] == Some(p);
            self.from.push(token + 1 - (0..=token).rev().take_while(there).count());
        }
    }
}
