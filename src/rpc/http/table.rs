//! Who is connected, and who makes room for whom.
//!
//! A connection is in one of four phases, and its thread tells when it enters the next:
//!
//! ```text
//! Fresh ──> Receiving ──> Serving ──> Idle ──┐
//!                ^                           │
//!                └───────────────────────────┘
//! ```
//!
//! Peers never make room, and neither does anyone in `Serving`. Of the others, whoever has been
//! `Idle` for the longest goes first, or `Fresh` and silent for longer than the grace. When there is
//! none and strangers hold reserved places, one whose request has been `Receiving` for longer than
//! the grace goes. Otherwise the newcomer waits, and the first stranger whose reply is sent goes.
//!
//! Making room is asking: the table shuts the socket down, the connection's thread notices and
//! gives its place up, and only then is the place given away. So the number of connections is never
//! above the limit, not even for a moment.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The connections of one server.
pub(super) struct Table {
    state: Mutex<State>,
    /// Somebody has left, or has become idle, or the table is closed. Told only while `waiting`.
    changed: Condvar,
    /// Places in all.
    max: usize,
    /// Places that strangers hold without having to fear for a slow request.
    quota: usize,
    grace: Duration,
}

struct State {
    entries: BTreeMap<u64, Entry>,
    next_id: u64,
    /// Whether the accepting thread waits for a change.
    waiting: bool,
    closed: bool,
}

struct Entry {
    stream: Arc<TcpStream>,
    peer: bool,
    phase: Phase,
    /// When it entered the phase.
    since: Instant,
    /// Whether it has been asked to leave.
    leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No byte of a request yet.
    Fresh,
    /// A part of a request.
    Receiving,
    /// A whole request; its reply is being made or sent.
    Serving,
    /// The last reply has been sent.
    Idle,
}

/// A connection's place. Dropping it gives it up.
pub(super) struct Place {
    table: Arc<Table>,
    id: u64,
}

impl Table {
    pub(super) fn new(max: usize, reserved: usize, grace: Duration) -> Table {
        assert!(reserved < max, "somebody has to be served");
        Table {
            state: Mutex::new(State {
                entries: BTreeMap::new(),
                next_id: 0,
                waiting: false,
                closed: false,
            }),
            changed: Condvar::new(),
            max,
            quota: max - reserved,
            grace,
        }
    }

    /// A place for this connection, as soon as there is one; `None` when the table is closed.
    pub(super) fn admit(self: &Arc<Self>, stream: Arc<TcpStream>, peer: bool) -> Option<Place> {
        /// So that whatever is not told is noticed all the same.
        const STEP: Duration = Duration::from_millis(250);
        let mut state = self.lock();
        while !state.closed && state.entries.len() >= self.max {
            let now = Instant::now();
            let mut pause = STEP;
            if !state.entries.values().any(|entry| entry.leaving) {
                match self.candidate(&state, now) {
                    Ok(id) => state.ask_to_leave(id),
                    Err(Some(soon)) => pause = pause.min(soon.saturating_duration_since(now)),
                    Err(None) => {}
                }
            }
            state = self.wait(state, pause);
        }
        if state.closed {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.entries.insert(
            id,
            Entry {
                stream,
                peer,
                phase: Phase::Fresh,
                since: Instant::now(),
                leaving: false,
            },
        );
        Some(Place {
            table: Arc::clone(self),
            id,
        })
    }

    /// Who makes room now; or, when nobody does, when somebody might.
    fn candidate(&self, state: &State, now: Instant) -> Result<u64, Option<Instant>> {
        let strangers = || state.entries.iter().filter(|(_, entry)| !entry.peer);
        let borrowed = strangers().count() > self.quota;
        // From when on an entry makes room, and how willingly.
        let from = |entry: &Entry| match entry.phase {
            Phase::Idle => Some((0, entry.since)),
            Phase::Fresh => Some((0, entry.since + self.grace)),
            Phase::Receiving if borrowed => Some((1, entry.since + self.grace)),
            Phase::Receiving | Phase::Serving => None,
        };
        strangers()
            .filter_map(|(id, entry)| Some((from(entry)?, entry.since, id)))
            .filter(|((_, when), _, _)| *when <= now)
            .min_by_key(|((tier, _), since, _)| (*tier, *since))
            .map(|(_, _, id)| *id)
            .ok_or_else(|| {
                strangers()
                    .filter_map(|(_, entry)| from(entry))
                    .map(|(_, when)| when)
                    .min()
            })
    }

    /// Asks the longest-idle stranger to leave, if there is one.
    pub(super) fn make_room(&self) {
        let mut state = self.lock();
        if let Ok(id) = self.candidate(&state, Instant::now()) {
            state.ask_to_leave(id);
        }
    }

    /// Waits, but not beyond the closing of the table.
    pub(super) fn sleep(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        while !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
    }

    /// Ends every connection, and admits nobody any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for entry in state.entries.values_mut() {
            entry.leave();
        }
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        pause: Duration,
    ) -> MutexGuard<'a, State> {
        state.waiting = true;
        let (mut state, _) = self
            .changed
            .wait_timeout(state, pause)
            .expect("nothing panics while it holds the table");
        state.waiting = false;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the table")
    }
}

impl State {
    fn ask_to_leave(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.leave();
        }
    }
}

impl Entry {
    fn leave(&mut self) {
        self.leaving = true;
        // It fails when the other end has gone, which is what is wanted.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Place {
    /// A part of a request has come.
    pub(super) fn receiving(&self) {
        self.enter(Phase::Receiving);
    }

    /// A whole request has come. False: the connection has to end without serving it.
    pub(super) fn serving(&self) -> bool {
        self.enter(Phase::Serving)
    }

    /// The reply has gone. False: the connection has to end.
    pub(super) fn idle(&self) -> bool {
        self.enter(Phase::Idle)
    }

    /// This is a peer's connection, if there is a reserved place left for it. There is for every
    /// real peer; whoever merely calls like one cannot take more than those.
    pub(super) fn mark_peer(&self) {
        let mut state = self.table.lock();
        let peers = state.entries.values().filter(|entry| entry.peer).count();
        if peers < self.table.max - self.table.quota
            && let Some(entry) = state.entries.get_mut(&self.id)
        {
            entry.peer = true;
        }
    }

    fn enter(&self, phase: Phase) -> bool {
        let mut state = self.table.lock();
        let waiting = state.waiting;
        let full = state.entries.len() >= self.table.max;
        let entry = state
            .entries
            .get_mut(&self.id)
            .expect("an entry lives as long as its place");
        if entry.phase != phase {
            entry.phase = phase;
            entry.since = Instant::now();
        }
        if waiting && phase == Phase::Idle {
            // At once, or a client that calls again and again would never be found idle.
            if full && !entry.peer {
                entry.leave();
            }
            self.table.changed.notify_all();
        }
        !entry.leaving
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        state.entries.remove(&self.id);
        if state.waiting {
            self.table.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// A place in the table and the other end of its connection.
    struct Guest {
        place: Place,
        far: TcpStream,
    }

    impl Guest {
        /// Whether it is asked to leave, sooner or later.
        fn has_to_leave(&self) -> bool {
            self.far
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            matches!((&self.far).read(&mut [0]), Ok(0))
        }

        /// Has been served until just now.
        fn is_served(&self) {
            let now = Instant::now();
            while Instant::now() == now {}
            assert!(self.place.serving() && self.place.idle());
        }
    }

    fn table(max: usize, reserved: usize, grace: Duration) -> (Arc<Table>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (Arc::new(Table::new(max, reserved, grace)), listener)
    }

    fn admit((table, listener): &(Arc<Table>, TcpListener)) -> Guest {
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        let place = table.admit(Arc::new(near), false).unwrap();
        Guest { place, far }
    }

    /// A newcomer comes when the table is full; `expected` is the one that makes room.
    fn makes_room(house: &(Arc<Table>, TcpListener), guests: &mut Vec<Guest>, expected: usize) {
        let newcomer = thread::scope(|scope| {
            let newcomer = scope.spawn(|| admit(house));
            assert!(guests[expected].has_to_leave());
            assert!(!newcomer.is_finished(), "the place is still taken");
            drop(guests.remove(expected));
            newcomer.join().unwrap()
        });
        guests.push(newcomer);
        assert_eq!(house.0.len(), guests.len());
    }

    #[test]
    fn the_longest_idle_makes_room() {
        let house = table(4, 0, LONG);
        let mut guests: Vec<_> = (0..4).map(|_| admit(&house)).collect();
        for i in [2, 0, 3, 1, 2] {
            guests[i].is_served();
        }
        // In the order 0, 3, 1, 2: each is found at its place among those that are left.
        for place in [0, 2, 0, 0] {
            makes_room(&house, &mut guests, place);
        }
    }

    #[test]
    fn neither_peers_nor_calls_nor_newcomers_make_room() {
        let house = table(4, 0, LONG);
        let mut guests: Vec<_> = (0..4).map(|_| admit(&house)).collect();
        guests[0].is_served();
        guests[0]
            .place
            .table
            .lock()
            .entries
            .get_mut(&0)
            .unwrap()
            .peer = true;
        assert!(guests[1].place.serving());
        guests[2].is_served();
        // The last one is new. So the one that was served goes, though others came before it.
        makes_room(&house, &mut guests, 2);
        assert!(house.0.candidate(&house.0.lock(), Instant::now()).is_err());
    }

    #[test]
    fn silence_and_slowness_on_borrowed_places_end_with_the_grace() {
        let house = table(3, 1, Duration::ZERO);
        let mut guests: Vec<_> = (0..3).map(|_| admit(&house)).collect();
        for guest in &guests {
            guest.place.receiving();
        }
        makes_room(&house, &mut guests, 0);
        // The newcomer, silent from the start, goes before those that send slowly.
        makes_room(&house, &mut guests, 2);
        guests[2].place.mark_peer();
        // Now strangers hold no more than their own places, where they may be slow.
        assert!(house.0.candidate(&house.0.lock(), Instant::now()).is_err());
    }
}
