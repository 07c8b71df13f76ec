//! Two checkers that are too slow for anything but small histories, and too simple to be wrong in the
//! same way as the one that is tested. Neither looks at one key alone: the state is the whole map.

use std::collections::{BTreeMap, BTreeSet};

use crate::linearizability::{Answer, Operation, Outcome, Register, apply};

type Map = BTreeMap<String, Register>;

/// What an operation is answered, and what the map is then.
fn after(map: &Map, operation: &Operation) -> (Map, Answer) {
    let mut map = map.clone();
    let register = map.entry(operation.key.clone()).or_default();
    let answer = apply(register, &operation.action);
    (map, answer)
}

/// Whether this must stand before that.
fn precedes(this: &Operation, that: &Operation) -> bool {
    matches!(this.outcome, Outcome::Completed { returned, .. } if returned < that.invoked)
}

/// Tries each order of all completed operations and any of the unknown ones.
pub fn by_permutation(history: &[Operation]) -> bool {
    let can_happen = |o: &&Operation| o.outcome != Outcome::Failed;
    let operations: Vec<&Operation> = history.iter().filter(can_happen).collect();
    permute(&mut Vec::new(), &operations)
}

fn permute(order: &mut Vec<usize>, operations: &[&Operation]) -> bool {
    let is_complete = operations
        .iter()
        .enumerate()
        .all(|(i, operation)| operation.outcome == Outcome::Unknown || order.contains(&i));
    if is_complete && is_right(order, operations) {
        return true;
    }
    for next in 0..operations.len() {
        if !order.contains(&next) {
            order.push(next);
            // The rest can make no wrong beginning right.
            if is_right(order, operations) && permute(order, operations) {
                return true;
            }
            order.pop();
        }
    }
    false
}

fn is_right(order: &[usize], operations: &[&Operation]) -> bool {
    let mut map = Map::new();
    for (at, &i) in order.iter().enumerate() {
        let operation = operations[i];
        if order[..at]
            .iter()
            .any(|&e| precedes(operation, operations[e]))
        {
            return false;
        }
        let (next, given) = after(&map, operation);
        map = next;
        if let Outcome::Completed { answer, .. } = &operation.outcome
            && given != *answer
        {
            return false;
        }
    }
    true
}

/// Finds each set of operations that can have taken effect, with each map that it can leave.
pub fn by_sets(history: &[Operation]) -> bool {
    by_sets_if(history, |_| true)
}

/// The same if only some completed operations count. Of each other one nobody knows whether it ever
/// took effect, and what it was answered; but if it did, it did so between invocation and return.
pub fn by_sets_if(history: &[Operation], counts: impl Fn(&Operation) -> bool) -> bool {
    let can_happen = |o: &&Operation| o.outcome != Outcome::Failed;
    let operations: Vec<&Operation> = history.iter().filter(can_happen).collect();
    let bits = |wanted: &dyn Fn(&Operation) -> bool| -> u32 {
        let wanted = (0..operations.len()).filter(|&i| wanted(operations[i]));
        wanted.map(|i| 1 << i).sum()
    };
    let required = bits(&|operation| operation.outcome != Outcome::Unknown && counts(operation));
    let mut reached = BTreeSet::from([(0_u32, Map::new())]);
    while !reached.is_empty() {
        if reached.iter().any(|(set, _)| required & !set == 0) {
            return true;
        }
        let mut next = BTreeSet::new();
        for (i, operation) in operations.iter().enumerate() {
            let earlier = bits(&|other| precedes(other, operation));
            let later = bits(&|other| precedes(operation, other));
            for (set, map) in &reached {
                if set & (1 << i | later) != 0 || required & earlier & !set != 0 {
                    continue;
                }
                let (map, given) = after(map, operation);
                match &operation.outcome {
                    Outcome::Completed { answer, .. }
                        if required & 1 << i != 0 && given != *answer => {}
                    _ => {
                        next.insert((set | 1 << i, map));
                    }
                }
            }
        }
        reached = next;
    }
    false
}
