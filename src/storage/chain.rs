//! What the store remembers of the log: of each entry its term and its digest.

/// The log without what its entries say.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    base_index: u64,
    base: Link,
    links: Vec<Link>,
}

/// What stands for an entry and all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub term: u64,
    pub digest: u64,
}

impl Chain {
    pub fn after(base_index: u64, base: Link) -> Chain {
        Chain {
            base_index,
            base,
            links: Vec::new(),
        }
    }

    pub fn last_index(&self) -> u64 {
        self.base_index + self.links.len() as u64
    }

    pub fn last(&self) -> Link {
        self.links.last().copied().unwrap_or(self.base)
    }

    pub fn at(&self, index: u64) -> Option<Link> {
        if index == self.base_index {
            return Some(self.base);
        }
        let position = index.checked_sub(self.base_index + 1)?;
        self.links.get(usize::try_from(position).ok()?).copied()
    }

    /// Puts an entry at `index`, in place of all that is there and after it.
    pub fn put(&mut self, index: u64, link: Link) {
        self.links.truncate((index - self.base_index - 1) as usize);
        self.links.push(link);
    }

    /// Forgets the entries up to `index`.
    pub fn compact(&mut self, index: u64) {
        if let Some(base) = self.at(index) {
            self.links.drain(..(index - self.base_index) as usize);
            self.links.shrink_to(2 * self.links.len());
            (self.base_index, self.base) = (index, base);
        }
    }
}
