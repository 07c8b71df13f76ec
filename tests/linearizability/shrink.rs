//! The smallest part of a history that shows a violation.
//!
//! To leave an operation out of a history is not to forget it. Without the put, the get that found its
//! value is a violation, and was none before. So an operation that is left out loses what it *says*,
//! its answer and the time of its return, and keeps what it may have *done*: a write may have taken
//! effect at any time after its invocation, or never, like one whose outcome is unknown. Only what
//! changed nothing is really gone. Every order for the whole history is an order for what is left, so
//! what is left is a violation only if the whole is one, and only because of the operations that
//! are kept.
//!
//! First the end is cut off: whatever returned later than it must. Then the beginning, and then pieces
//! in the middle, down to single operations. What is undecided counts as no violation. As leaving
//! more out never makes a violation of what is none, an operation that could not be spared once need
//! not be tried again.

use super::history::{Operation, Outcome};
use super::search::{End, Problem};

/// One attempt gets this share of all steps.
const SHARE: u64 = 20;

/// Which operations show the violation, of one key's operations that are one; and whether it is
/// certain that none of them can be spared.
pub fn smallest(operations: &[&Operation], limit: u64) -> (Vec<bool>, bool) {
    let mut completed: Vec<usize> = (0..operations.len()).collect();
    completed.retain(|&i| returned(operations[i]).is_some());
    completed.sort_by_key(|&i| returned(operations[i]));

    let mut steps_left = limit;
    let mut certain = true;
    let mut is_violation = |chosen: &[usize]| {
        let mut kept = vec![false; operations.len()];
        for &i in chosen {
            kept[i] = true;
        }
        let steps = steps_left.min((limit / SHARE).max(1));
        let (end, steps) = Problem::new(operations, &kept).search(steps);
        steps_left = steps_left.saturating_sub(steps);
        certain &= matches!(end, End::None | End::Order(_));
        end == End::None
    };

    let end = least(completed.len(), |end| is_violation(&completed[..end]));
    completed.truncate(end);
    let cut = least(end, |rest| is_violation(&completed[end - rest..]));
    let mut kept = completed.split_off(end - cut);

    let mut piece = kept.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + piece).min(kept.len()));
            if is_violation(&fewer) {
                kept = fewer;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    let mut chosen = vec![false; operations.len()];
    for i in kept {
        chosen[i] = true;
    }
    (chosen, certain)
}

fn returned(operation: &Operation) -> Option<u64> {
    match operation.outcome {
        Outcome::Completed { returned, .. } => Some(returned),
        Outcome::Unknown | Outcome::Failed => None,
    }
}

/// The least number up to `most` for which it holds, where it holds for all that are greater. It is
/// known to hold for `most`.
fn least(most: usize, mut holds: impl FnMut(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    high
}
