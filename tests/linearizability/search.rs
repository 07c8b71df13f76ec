//! The search for an order, for one key.
//!
//! This is the algorithm of Wing and Gong ("Testing and Verifying Concurrent Objects") with Lowe's
//! memory ("Testing for linearizability"): build the order from its beginning, one operation after
//! the other, go back where it does not go on, and never enter a configuration twice. A
//! *configuration* is the set of operations that have been placed, and the state that they leave. What
//! can be placed next is any operation that was invoked before the first of the others returned.
//!
//! # A configuration is a few numbers
//!
//! Completed operations are sorted by their return. Those that have been placed are then all before
//! the *front*, the first one that has not, and some that were open when the front returned. Each
//! operation has a slot among those that are open at the same time as it, so a configuration needs the
//! front's number and one bit a slot ([`MOST_OPEN`] of them). No list of events has to be changed and
//! mended on the way back. The state is a few numbers too: see [`seen`](super::seen).
//!
//! # Operations whose outcome is unknown
//!
//! They need not be placed at all, and stay candidates for ever. Tried like the others, thirty of them
//! would make 2^30 sets of one. So:
//!
//! - An unknown get is left out. So is an unknown operation that would change nothing where it is.
//! - Several with the same effect are one *kind*, of which the earliest is used first. A configuration
//!   remembers how many of each kind were used.
//! - Of two configurations that differ in what was used, one that has used no more of any kind can do
//!   whatever the other can. If there is such a one, the other is *dominated* and not entered.
//! - An unknown operation is placed only where something looks at what it did: the next one must be
//!   neither put nor delete, and something that can be placed there with its right answer, or another
//!   unknown operation that changes something. (Otherwise the same goes without it, which uses less.)
//! - What has used less is tried first, or nothing would ever be dominated: a configuration counts as
//!   [`DEAR`] operations less deep for each unknown one that it has used, and the deepest goes first.
//!   Where nothing is unknown this is depth-first search.
//!
//! # What only looks goes first
//!
//! A get, a cas that answered no and a refusal change nothing, wherever they stand. If one of them can
//! be placed now, with its right answer, then nothing is lost by placing it now, and nothing else is
//! tried. (At the beginning of a part of a history the state may be open, and a get then settles it.
//! That is a choice, and is tried beside the others.)

use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::history::{Operation, Outcome, Time};
use super::model;
use super::seen::{Move, Output, Seen, State};

/// How many operations on one key may be open at the same time, those with unknown outcomes apart.
pub const MOST_OPEN: usize = 128;

/// How many operations deeper a configuration must be to be tried before one that has used one
/// unknown operation less.
const DEAR: i64 = 4;

/// What a search has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The places of the operations in this order; those with unknown outcomes that never took
    /// effect are not among them.
    Order(Vec<usize>),
    /// There is no order.
    None,
    /// The limit was reached.
    Limit,
    /// More than [`MOST_OPEN`] operations were open at the same time.
    TooWide,
}

/// One key's operations, ready to be searched.
pub struct Problem<'a> {
    seen: Seen<'a>,
    /// By return.
    known: Vec<Known>,
    /// For each front which ones can be placed while it has not been: itself and later ones.
    open: Vec<Vec<u32>>,
    kinds: Vec<Kind>,
    too_wide: bool,
    /// What there is before the first of them.
    start: State,
}

/// An operation that was completed.
struct Known {
    /// Its place among the operations.
    place: usize,
    invoked: Time,
    returned: Time,
    action: Move,
    output: Output,
    /// Whether it changes nothing, wherever it stands.
    only_looks: bool,
    /// Its bit, among those that are open with it.
    slot: u32,
}

/// Unknown operations that do the same.
struct Kind {
    action: Move,
    /// When each was invoked and its place among the operations, the earliest first.
    members: Vec<(Time, usize)>,
}

impl<'a> Problem<'a> {
    /// Of operations on one key.
    pub fn new(start: State, operations: &[&'a Operation]) -> Problem<'a> {
        let mut completed = Vec::new();
        let mut unknown = Vec::new();
        for (place, operation) in operations.iter().enumerate() {
            let action = &operation.action;
            match &operation.outcome {
                Outcome::Completed { returned, answer } => {
                    completed.push((*returned, place, answer));
                }
                Outcome::Unknown if *action == model::Action::Get => {}
                Outcome::Unknown => unknown.push((operation.invoked, place)),
                Outcome::Failed => {}
            }
        }
        completed.sort_by_key(|&(returned, place, _)| (returned, place));
        unknown.sort_unstable();
        let action = |place: usize| -> &'a model::Action { &operations[place].action };
        let answered = completed.iter().map(|c| (action(c.1), Some(c.2)));
        let unanswered = unknown.iter().map(|u| (action(u.1), None));
        let seen = Seen::new(answered.chain(unanswered));

        let known = completed.iter().map(|&(returned, place, answer)| Known {
            place,
            invoked: operations[place].invoked,
            returned,
            action: seen.known(action(place)),
            output: seen.answer(answer),
            only_looks: model::changed_nothing(action(place), answer),
            slot: 0,
        });
        let known: Vec<Known> = known.collect();
        let mut kinds: Vec<Kind> = Vec::new();
        let mut numbers: HashMap<Move, usize> = HashMap::new();
        for (invoked, place) in unknown {
            let action = seen.unknown(action(place));
            let number = *numbers.entry(action).or_insert(kinds.len());
            if number == kinds.len() {
                kinds.push(Kind {
                    action,
                    members: Vec::new(),
                });
            }
            kinds[number].members.push((invoked, place));
        }
        let mut problem = Problem {
            seen,
            known,
            open: Vec::new(),
            kinds,
            too_wide: false,
            start,
        };
        problem.find_open();
        problem
    }

    /// Goes through the fronts in their order. An operation is open from the first front that
    /// returned no earlier than it was invoked until it is the front itself.
    fn find_open(&mut self) {
        let mut by_invocation: Vec<u32> = (0..self.known.len() as u32).collect();
        by_invocation.sort_by_key(|&i| (self.known[i as usize].invoked, i));
        let mut next = by_invocation.into_iter().peekable();
        let mut open: BTreeSet<u32> = BTreeSet::new();
        let mut free: BTreeSet<u32> = (0..MOST_OPEN as u32).collect();
        for front in 0..self.known.len() {
            let returned = self.known[front].returned;
            let invoked = |i: u32| self.known[i as usize].invoked;
            let mut opened = Vec::new();
            while let Some(i) = next.next_if(|&i| invoked(i) <= returned) {
                opened.push(i);
            }
            for i in opened {
                open.insert(i);
                match free.pop_first() {
                    Some(slot) => self.known[i as usize].slot = slot,
                    None => {
                        self.too_wide = true;
                        return;
                    }
                }
            }
            self.open.push(open.iter().copied().collect());
            open.remove(&(front as u32));
            free.insert(self.known[front].slot);
        }
    }

    /// A search that has not begun.
    pub fn search(&self) -> Search<'_> {
        let mut search = Search {
            problem: self,
            entered: Vec::new(),
            latest: HashMap::new(),
            sets: Sets::new(),
            frontier: BinaryHeap::new(),
            steps: 0,
            passed: 0,
        };
        let start = Position {
            front: 0,
            placed: 0,
            state: self.start,
        };
        search.enter(start, Sets::EMPTY, 0, Last::Nothing);
        search
    }
}

/// Which operations have been placed, those with unknown outcomes apart, and what they leave.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Position {
    front: u32,
    /// The slots of those that were placed before the front.
    placed: u128,
    state: State,
}

/// A position, and which unknown operations have been used on the way.
struct Configuration {
    position: Position,
    used: SetId,
    /// Where it comes from.
    parent: u32,
    last: Last,
    /// The next one with the same position.
    next: Option<u32>,
    /// Another one can do whatever this one can.
    dominated: bool,
}

/// What was placed last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Known(u32),
    /// By its place among the operations.
    Unknown(u32),
}

/// A search under way.
pub struct Search<'a> {
    problem: &'a Problem<'a>,
    /// Every configuration that was ever met.
    entered: Vec<Configuration>,
    /// The latest with each position. The others follow as a list.
    latest: HashMap<Position, u32>,
    sets: Sets,
    /// Where the search can go on: how promising, and which. Of equals the latest.
    frontier: BinaryHeap<(i64, u32)>,
    steps: u64,
    /// The furthest front.
    passed: u32,
}

impl Search<'_> {
    /// Looks for an order until so many steps have been made in all. If they are not enough, it can
    /// be asked to go on.
    pub fn run(&mut self, limit: u64) -> End {
        if self.problem.too_wide {
            return End::TooWide;
        }
        while let Some(&(_, at)) = self.frontier.peek() {
            let configuration = &self.entered[at as usize];
            if configuration.position.front as usize == self.problem.known.len() {
                return End::Order(self.order(at));
            }
            if self.steps >= limit {
                return End::Limit;
            }
            let is_dominated = configuration.dominated;
            self.frontier.pop();
            if !is_dominated {
                self.expand(at);
            }
        }
        End::None
    }

    /// How many steps have been made: one for each operation that was tried on a state, and for each
    /// two configurations that were compared.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How many of the completed operations, by return, have an order.
    pub fn passed(&self) -> usize {
        self.passed as usize
    }

    /// Enters whatever can come next.
    fn expand(&mut self, at: u32) {
        let problem = self.problem;
        let Configuration {
            position,
            used,
            last,
            ..
        } = self.entered[at as usize];
        let front = position.front as usize;
        let is_open = |i: &&u32| position.placed & problem.known[**i as usize].bit() == 0;

        // What only looks goes first, and alone.
        for &i in problem.open[front].iter().filter(is_open) {
            let known = &problem.known[i as usize];
            if known.only_looks && self.next(position.state, known) == Some(position.state) {
                self.enter(position.after(problem, i), used, at, Last::Known(i));
                return;
            }
        }

        // Somebody must look at what an unknown operation did.
        let must_look = matches!(last, Last::Unknown(_));
        for number in 0..problem.kinds.len() {
            let action = problem.kinds[number].action;
            let Some(place) = self.unused(number, used, front) else {
                continue;
            };
            if must_look && action.is_blind() {
                continue;
            }
            self.steps += 1;
            let state = problem.seen.after_unknown(position.state, action);
            if state == position.state {
                continue;
            }
            let position = Position { state, ..position };
            let used = self.sets.with(used, number);
            if self.is_looked_at(position, used) {
                self.enter(position, used, at, Last::Unknown(place as u32));
            }
        }
        // Backwards, so that the one that returned first is tried first.
        for &i in problem.open[front].iter().rev().filter(is_open) {
            let known = &problem.known[i as usize];
            if must_look && known.action.is_blind() {
                continue;
            }
            if let Some(state) = self.next(position.state, known) {
                let position = Position { state, ..position };
                self.enter(position.after(problem, i), used, at, Last::Known(i));
            }
        }
    }

    /// Whether anything can come next that is neither put nor delete.
    fn is_looked_at(&mut self, position: Position, used: SetId) -> bool {
        let problem = self.problem;
        let front = position.front as usize;
        for &i in &problem.open[front] {
            let known = &problem.known[i as usize];
            let is_open = position.placed & known.bit() == 0;
            if is_open && !known.action.is_blind() && self.next(position.state, known).is_some() {
                return true;
            }
        }
        for number in 0..problem.kinds.len() {
            let action = problem.kinds[number].action;
            if action.is_blind() || self.unused(number, used, front).is_none() {
                continue;
            }
            self.steps += 1;
            if problem.seen.after_unknown(position.state, action) != position.state {
                return true;
            }
        }
        false
    }

    /// The state after an operation, if it gives its answer there.
    fn next(&mut self, state: State, known: &Known) -> Option<State> {
        self.steps += 1;
        let seen = &self.problem.seen;
        seen.after_known(state, known.action, known.output)
    }

    /// The next one of a kind, by its place, if it was invoked early enough.
    fn unused(&self, number: usize, used: SetId, front: usize) -> Option<usize> {
        let count = self.sets.count(used, number);
        let (invoked, place) = *self.problem.kinds[number].members.get(count)?;
        (invoked <= self.problem.known[front].returned).then_some(place)
    }

    /// Remembers a configuration, and that the search can go on there, unless another one can do
    /// whatever it can.
    fn enter(&mut self, position: Position, used: SetId, parent: u32, last: Last) {
        let this = self.entered.len() as u32;
        let first = self.latest.get(&position).copied();
        let mut other = first;
        while let Some(at) = other {
            self.steps += 1;
            let configuration = &mut self.entered[at as usize];
            if self.sets.is_within(configuration.used, used) {
                return;
            }
            if self.sets.is_within(used, configuration.used) {
                configuration.dominated = true;
            }
            other = configuration.next;
        }
        // The dominated are forgotten as far as they stand at the beginning of the list.
        let mut next = first;
        while let Some(at) = next.filter(|&at| self.entered[at as usize].dominated) {
            next = self.entered[at as usize].next;
        }
        self.latest.insert(position, this);
        self.passed = self.passed.max(position.front);
        self.entered.push(Configuration {
            position,
            used,
            parent,
            last,
            next,
            dominated: false,
        });
        let depth = i64::from(position.front) + i64::from(position.placed.count_ones());
        let promise = depth - DEAR * self.sets.size(used) as i64;
        self.frontier.push((promise, this));
    }

    /// How a configuration was reached.
    fn order(&self, mut at: u32) -> Vec<usize> {
        let mut order = Vec::new();
        loop {
            let configuration = &self.entered[at as usize];
            match configuration.last {
                Last::Nothing => break,
                Last::Known(i) => order.push(self.problem.known[i as usize].place),
                Last::Unknown(place) => order.push(place as usize),
            }
            at = configuration.parent;
        }
        order.reverse();
        order
    }
}

impl Known {
    fn bit(&self) -> u128 {
        1 << self.slot
    }
}

impl Position {
    /// With that operation placed as well. The front moves on past all that were placed before it.
    fn after(mut self, problem: &Problem, i: u32) -> Position {
        self.placed |= problem.known[i as usize].bit();
        while let Some(known) = problem.known.get(self.front as usize)
            && self.placed & known.bit() != 0
        {
            self.placed &= !known.bit();
            self.front += 1;
        }
        self
    }
}

/// A set of unknown operations: how many of each kind.
type SetId = u32;

/// The sets that occur, each once. Most are small and occur often.
struct Sets {
    /// Kind and count, by kind; kinds of which none was used are left out.
    sets: Vec<Box<[(u32, u32)]>>,
    ids: HashMap<Box<[(u32, u32)]>, SetId>,
}

impl Sets {
    const EMPTY: SetId = 0;

    fn new() -> Sets {
        let empty: Box<[(u32, u32)]> = Box::default();
        Sets {
            sets: vec![empty.clone()],
            ids: HashMap::from([(empty, Sets::EMPTY)]),
        }
    }

    fn count(&self, set: SetId, kind: usize) -> usize {
        let counts = &self.sets[set as usize];
        let place = counts.binary_search_by_key(&(kind as u32), |&(kind, _)| kind);
        place.map_or(0, |place| counts[place].1 as usize)
    }

    fn size(&self, set: SetId) -> u64 {
        let counts = self.sets[set as usize].iter();
        counts.map(|&(_, count)| u64::from(count)).sum()
    }

    /// One more of that kind.
    fn with(&mut self, set: SetId, kind: usize) -> SetId {
        let mut counts = self.sets[set as usize].to_vec();
        match counts.binary_search_by_key(&(kind as u32), |&(kind, _)| kind) {
            Ok(place) => counts[place].1 += 1,
            Err(place) => counts.insert(place, (kind as u32, 1)),
        }
        let counts = counts.into_boxed_slice();
        *self.ids.entry(counts).or_insert_with_key(|counts| {
            self.sets.push(counts.clone());
            self.sets.len() as SetId - 1
        })
    }

    /// Whether the one has no more of any kind than the other.
    fn is_within(&self, one: SetId, other: SetId) -> bool {
        if one == other || one == Sets::EMPTY {
            return true;
        }
        let mut others = self.sets[other as usize].iter();
        let mut in_other = |kind, count| {
            let found = others.find(|&&(k, _)| k >= kind);
            found.is_some_and(|&(k, c)| k == kind && c >= count)
        };
        let mut ones = self.sets[one as usize].iter();
        ones.all(|&(kind, count)| in_other(kind, count))
    }
}
