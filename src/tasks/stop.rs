//! Texts that end a stream of text.

/// Passes text on until a stop text begins; what may be the beginning of one waits for more.
pub struct Stops<'a> {
    stops: Vec<&'a str>,
    waiting: String,
    found: bool,
}

impl<'a> Stops<'a> {
    /// Empty texts stop nothing.
    pub fn new(stops: &'a [String]) -> Self {
        let stops = stops.iter().map(String::as_str).filter(|stop| !stop.is_empty()).collect();
        Stops { stops, waiting: String::new(), found: false }
    }

    /// What can be passed on with this new text.
    pub fn push(&mut self, new: &str) -> String {
        if self.found {
            return String::new();
        }
        self.waiting += new;
        if let Some(at) = self.stops.iter().filter_map(|stop| self.waiting.find(stop)).min() {
            self.found = true;
            self.waiting.truncate(at);
            return std::mem::take(&mut self.waiting);
        }
        let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.waiting[*at..]));
        let starts = self.waiting.char_indices().map(|(at, _)| at);
        let held = starts.filter(|at| begins(at)).min().unwrap_or(self.waiting.len());
        let rest = self.waiting.split_off(held);
        std::mem::replace(&mut self.waiting, rest)
    }

    /// Whether a stop text has come: nothing more is passed on.
    pub fn found(&self) -> bool {
        self.found
    }

    /// What still waits when the text ends without a stop text.
    pub fn finish(self) -> String {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool, String) {
        let list: Vec<String> = stops.iter().map(|s| s.to_string()).collect();
        let mut stops = Stops::new(&list);
        let out = pieces.iter().map(|piece| stops.push(piece)).collect();
        (out, stops.found(), stops.finish())
    }

    #[test]
    fn beginnings_wait() {
        let (out, found, rest) = passed(&["END", "éa"], &["aE", "N", "x é", "b E"]);
        assert_eq!((out.concat() + &rest, found), ("aENx éb E".to_string(), false));
        assert_eq!(out, ["a", "", "ENx ", "éb "]);
        assert_eq!(rest, "E");
    }

    #[test]
    fn the_first_stop_ends() {
        let (out, found, rest) = passed(&["lo w", "wor", ""], &["hel", "lo", " wor", "ld"]);
        assert_eq!((out.concat().as_str(), found, rest.as_str()), ("hel", true, ""));
    }

    #[test]
    fn without_stops_nothing_waits() {
        let (out, found, rest) = passed(&[], &["a", "", "b"]);
        assert_eq!((out.concat().as_str(), found, rest.as_str()), ("ab", false, ""));
    }
}
