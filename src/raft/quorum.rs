//! Majorities.
//!
//! Nothing incremental and nothing clever: sort, and look at the right place.

/// How many of `n` voters are a majority.
pub fn majority(n: usize) -> usize {
    n / 2 + 1
}

/// The highest index that a majority of the voters has reached, given each voter's own.
pub fn reached(mut indexes: Vec<u64>) -> u64 {
    assert!(!indexes.is_empty(), "a cluster has voters");
    indexes.sort_unstable_by(|a, b| b.cmp(a));
    indexes[majority(indexes.len()) - 1]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }

    proptest! {
        #[test]
        fn reached_is_what_counting_finds(indexes in proptest::collection::vec(0u64..20, 1..9)) {
            let by_counting = (0..20)
                .filter(|&i| 2 * indexes.iter().filter(|&&at| at >= i).count() > indexes.len())
                .max();
            prop_assert_eq!(Some(reached(indexes)), by_counting);
        }
    }
}
