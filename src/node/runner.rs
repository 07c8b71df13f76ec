//! The driver's thread: tells the driver what happens and carries out what it decides.
//!
//! It blocks on its inbox and nowhere else. The deadline is looked at before each receive, so that
//! a flood of requests cannot keep a follower from campaigning or a leader from its heartbeats.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

use tracing::{debug, error};

use crate::orders_log::OrdersLog;
use crate::raft::Save;

use super::driver::Driver;
use super::event::{Action, Event, Refusal, Response};
use super::peer::Pool;
use super::queues::{Orders, Update};

/// Who waits for an answer. It has room for exactly one, so answering never blocks.
pub type Responder = SyncSender<Result<Response, Refusal>>;

/// What arrives in the driver's inbox.
pub enum Input {
    /// Something for the driver.
    Event(Event<Responder>),
    /// The node is to stop, and whoever leads hands over before. Told when that is done, or will
    /// not be.
    Retire(SyncSender<()>),
    /// The node is to stop.
    Stop,
    /// Its disk has failed: it must not promise anything any more.
    Failed(String),
}

impl Input {
    /// The player of this node wants something.
    pub fn wanted(text: String) -> Input {
        Input::Event(Event::Wanted(text))
    }
}

/// The driver's clock, which stands still while the process does.
///
/// A process that was stopped (a signal, a debugger, a machine with too much to do) wakes up with
/// its deadline long past, and with the leader's heartbeats unread. By the time of day a follower
/// would campaign before it reads them, and so depose a leader that was never gone.
#[derive(Debug)]
struct Clock {
    /// The start, later by all the time that did not count.
    zero: Instant,
    /// The last wait did not count.
    stood_still: bool,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            zero: Instant::now(),
            stood_still: false,
        }
    }
}

impl Clock {
    /// Who waits for so much longer than they wanted has not been running.
    const STALL: Duration = Duration::from_millis(100);

    fn now(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.zero).as_millis() as u64
    }

    /// A wait that was to take `wanted` took `took`. Never are two waits in a row left out: on a
    /// machine on which every wait is late, time must go on.
    fn waited(&mut self, wanted: Duration, took: Duration) {
        self.stood_still = !self.stood_still && took > wanted.saturating_add(Clock::STALL);
        if self.stood_still {
            self.zero += took;
        }
    }
}

/// The driver and the ends of everything that it feeds.
pub struct Runner {
    driver: Driver<Responder>,
    peers: Pool,
    saves: Sender<(u64, Save)>,
    view: Option<Box<dyn Orders>>,
    orders_log: OrdersLog,
    /// Who waits until this node has handed over.
    retiring: Option<SyncSender<()>>,
    /// orders.log has lines that are not written yet.
    unwritten: bool,
    /// What was last said of orders.log's trouble.
    told_problem: Option<String>,
    clock: Clock,
}

impl Runner {
    /// A runner whose clock starts now.
    pub fn new(
        driver: Driver<Responder>,
        peers: Pool,
        saves: Sender<(u64, Save)>,
        view: Option<Box<dyn Orders>>,
        orders_log: OrdersLog,
    ) -> Runner {
        Runner {
            driver,
            peers,
            saves,
            view,
            orders_log,
            retiring: None,
            unwritten: false,
            told_problem: None,
            clock: Clock::default(),
        }
    }

    /// Runs until it is told to stop, nobody is left to tell it anything, or its disk has failed;
    /// then returns why.
    pub fn run(mut self, inbox: &Receiver<Input>) -> Option<String> {
        let failure = loop {
            let now = self.now();
            if now >= self.driver.deadline() {
                let actions = self.driver.tick(now);
                self.carry_out(actions);
            }
            let wait = Duration::from_millis(self.driver.deadline().saturating_sub(self.now()));
            let begun = Instant::now();
            let input = inbox.recv_timeout(wait);
            self.clock.waited(wait, begun.elapsed());
            match input {
                Ok(Input::Event(event)) => {
                    let now = self.now();
                    let actions = self.driver.handle(now, event);
                    self.carry_out(actions);
                }
                Ok(Input::Retire(done)) => {
                    self.retiring = Some(done);
                    let now = self.now();
                    let actions = self.driver.handle(now, Event::Retire);
                    self.carry_out(actions);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Input::Failed(reason)) => break Some(reason),
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => break None,
            }
            if let Some(done) = self.retiring.take_if(|_| self.driver.has_retired()) {
                // Whoever waited may have lost patience.
                let _ = done.try_send(());
            }
        };
        self.write_lines();
        if let Some(view) = &self.view {
            let reason = failure.as_deref().unwrap_or("it was stopped");
            view.offer(Update::Stopped(reason.to_string()));
        }
        failure
    }

    /// Milliseconds since the start, as far as this node was awake.
    fn now(&self) -> u64 {
        self.clock.now(Instant::now())
    }

    fn carry_out(&mut self, actions: Vec<Action<Responder>>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            if let Some(lost) = self.act(action) {
                let now = self.now();
                actions.extend(self.driver.handle(now, lost));
            }
        }
        if self.unwritten {
            self.write_lines();
        }
    }

    /// Carries one action out. A call that cannot even be handed over is lost at once.
    fn act(&mut self, action: Action<Responder>) -> Option<Event<Responder>> {
        match action {
            Action::Save(number, save) => {
                // The disk thread outlives this one, unless it has panicked and the process ends.
                let _ = self.saves.send((number, save));
            }
            Action::Send { to, call, request } => {
                if !self.peers.call(to, call, request) {
                    debug!("nobody is free to call node {to}");
                    return Some(Event::Lost {
                        to,
                        call,
                        reached: false,
                    });
                }
            }
            Action::Meet { id, name, address } => self.peers.meet(id, name, address),
            Action::Part(id) => self.peers.part(id),
            Action::Answer(responder, answer) => {
                if self.unwritten {
                    self.write_lines();
                }
                // Whoever asked may have gone.
                let _ = responder.try_send(answer);
            }
            Action::Record(order) => {
                self.orders_log.append(&order);
                self.unwritten = true;
            }
            Action::Show(update) => {
                if let Some(view) = &self.view {
                    view.offer(update);
                }
            }
        }
        None
    }

    /// Writes the lines of orders.log, and tells the player once when that does not work.
    fn write_lines(&mut self) {
        self.orders_log.flush();
        self.unwritten = false;
        let problem = self.orders_log.problem();
        if problem == self.told_problem.as_deref() {
            return;
        }
        self.told_problem = problem.map(str::to_string);
        if let Some(problem) = problem {
            error!("{problem}");
            if let Some(view) = &self.view {
                view.offer(Update::Notice(problem.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_still_while_the_process_does_but_not_twice_in_a_row() {
        let ms = Duration::from_millis;
        let mut clock = Clock::default();
        let mut real = clock.zero;
        let mut wait = |wanted, took| {
            real += ms(took);
            clock.waited(ms(wanted), ms(took));
            clock.now(real)
        };
        assert_eq!(wait(50, 51), 51);
        assert_eq!(wait(50, 3), 54);
        assert_eq!(wait(50, 150), 204);
        assert_eq!(wait(200, 4_000), 204);
        assert_eq!(wait(200, 4_000), 4_204);
        assert_eq!(wait(200, 4_000), 4_204);
        assert_eq!(wait(u64::MAX, 1_000), 5_204);
    }
}
