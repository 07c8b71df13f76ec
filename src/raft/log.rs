//! The log: a gapless sequence of entries whose terms never decrease.
//!
//! It starts after a *base*, the last entry that is known but not kept: (0, 0) for a log that has
//! its first entry, and an entry that a snapshot covers once there are snapshots. The log knows nothing of
//! commitment; [`Raft`](super::Raft) guards what must never be truncated.

use super::message::Entry;

/// Entries after the base, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    base_index: u64,
    base_term: u64,
    entries: Vec<Entry>,
}

impl Log {
    /// A log that starts at index 1 with these entries.
    pub fn new(entries: Vec<Entry>) -> Log {
        Log::after(0, 0, entries)
    }

    /// A log whose entries follow the one at `base_index`, of `base_term`.
    pub fn after(base_index: u64, base_term: u64, entries: Vec<Entry>) -> Log {
        let mut log = Log {
            base_index,
            base_term,
            entries: Vec::with_capacity(entries.len()),
        };
        for entry in entries {
            log.append(entry);
        }
        log
    }

    /// Index of the last entry that is not kept any more; 0 where every entry is there.
    pub fn base_index(&self) -> u64 {
        self.base_index
    }

    /// Index of the last entry; the base's where there is none.
    pub fn last_index(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    /// Term of the last entry; the base's where there is none.
    pub fn last_term(&self) -> u64 {
        self.entries
            .last()
            .map_or(self.base_term, |entry| entry.term)
    }

    /// The entry at `index`.
    pub fn get(&self, index: u64) -> Option<&Entry> {
        let position = index.checked_sub(self.base_index + 1)?;
        self.entries.get(usize::try_from(position).ok()?)
    }

    /// The term at `index`: known for the base and every entry after it. Index 0 has term 0.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The entries from `first` on: at most `max_entries`, and after the first entry no more than
    /// fit into `max_bytes` when encoded.
    pub fn batch(&self, first: u64, max_entries: usize, max_bytes: usize) -> Vec<Entry> {
        let mut bytes = 0;
        self.from(first)
            .iter()
            .take(max_entries)
            .enumerate()
            .take_while(|(position, entry)| {
                bytes += entry.encoded_len();
                *position == 0 || bytes <= max_bytes
            })
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// The entries from `first` on.
    pub fn from(&self, first: u64) -> &[Entry] {
        let position = first.saturating_sub(self.base_index + 1) as usize;
        self.entries.get(position..).unwrap_or_default()
    }

    /// Adds the next entry.
    pub fn append(&mut self, entry: Entry) {
        check!(
            entry.index == self.last_index() + 1,
            "the log has no gaps and no entry twice"
        );
        check!(
            entry.term >= self.last_term(),
            "terms never decrease along the log"
        );
        self.entries.push(entry);
    }

    /// Drops the entry at `first` and all after it.
    pub fn truncate(&mut self, first: u64) {
        check!(first > self.base_index, "the base is never truncated");
        let kept = first.saturating_sub(self.base_index + 1);
        self.entries.truncate(kept as usize);
    }

    /// Forgets the entries up to `index`, which becomes the base.
    pub fn compact(&mut self, index: u64) {
        let Some(term) = self.term_at(index) else {
            panic!("a log is compacted up to an entry that it has");
        };
        self.entries.drain(..(index - self.base_index) as usize);
        // What a burst has taken is given back.
        self.entries.shrink_to(2 * self.entries.len());
        (self.base_index, self.base_term) = (index, term);
    }

    /// The first index that holds the same term as `index` does; the base counts as a term of its
    /// own.
    pub fn first_index_of_term_at(&self, index: u64) -> u64 {
        let Some(term) = self.get(index).map(|entry| entry.term) else {
            return index;
        };
        let before = self.entries.partition_point(|entry| entry.term < term);
        self.base_index + 1 + before as u64
    }

    /// The last index whose term is `term`.
    pub fn last_index_of_term(&self, term: u64) -> Option<u64> {
        let upto = self.entries.partition_point(|entry| entry.term <= term);
        let last = self.base_index + upto as u64;
        (self.term_at(last) == Some(term)).then_some(last)
    }
}

#[cfg(test)]
impl Log {
    /// No-ops of these terms, from index 1 on.
    pub fn of_terms(terms: &[u64]) -> Log {
        let entry = |(index, &term)| Entry {
            index,
            term,
            payload: super::message::Payload::Noop,
        };
        Log::new((1..).zip(terms).map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Payload;
    use super::*;

    fn log(terms: &[u64]) -> Log {
        Log::of_terms(terms)
    }

    #[test]
    fn an_empty_log_ends_at_index_0_of_term_0() {
        let log = log(&[]);
        assert_eq!((log.last_index(), log.last_term()), (0, 0));
        assert_eq!(log.term_at(0), Some(0));
        assert_eq!(log.term_at(1), None);
        assert!(log.from(1).is_empty());
    }

    #[test]
    fn the_edges_of_a_term_are_found() {
        let log = log(&[1, 1, 3, 3, 3, 6]);
        assert_eq!(log.first_index_of_term_at(5), 3);
        assert_eq!(log.first_index_of_term_at(2), 1);
        assert_eq!(log.first_index_of_term_at(6), 6);
        assert_eq!(log.last_index_of_term(3), Some(5));
        assert_eq!(log.last_index_of_term(1), Some(2));
        assert_eq!(log.last_index_of_term(2), None);
        assert_eq!(log.last_index_of_term(7), None);
    }

    #[test]
    fn a_batch_is_bounded_in_entries_and_bytes_and_never_empty_when_there_is_something() {
        let log = log(&[1; 10]);
        let one = log.get(1).unwrap().encoded_len();
        assert_eq!(log.batch(3, 4, usize::MAX).len(), 4);
        assert_eq!(log.batch(3, 4, 2 * one).len(), 2);
        assert_eq!(log.batch(3, 4, 0).len(), 1);
        assert_eq!(log.batch(11, 4, 0).len(), 0);
    }

    #[test]
    fn what_is_compacted_leaves_its_last_index_and_term_behind() {
        let mut log = log(&[1, 1, 3, 3, 3, 6]);
        log.compact(4);
        assert_eq!((log.base_index(), log.last_index()), (4, 6));
        assert_eq!(log.term_at(3), None);
        assert_eq!(log.term_at(4), Some(3));
        assert_eq!(log.get(4), None);
        assert_eq!(log.get(5).map(|entry| entry.index), Some(5));
        assert_eq!(log.from(1).len(), 2);
        assert_eq!(log.first_index_of_term_at(5), 5);
        assert_eq!(log.last_index_of_term(3), Some(5));
        assert_eq!(log.last_index_of_term(1), None);
        log.compact(6);
        assert_eq!((log.last_index(), log.last_term()), (6, 6));
    }

    #[test]
    #[should_panic(expected = "no gaps")]
    fn a_gap_is_refused() {
        let mut log = log(&[1]);
        log.append(Entry {
            index: 3,
            term: 1,
            payload: Payload::Noop,
        });
    }
}
