//! What clients saw: operations with their times, and who writes them down.
//!
//! An operation ends in one of three ways, and the difference matters more than anything else here:
//!
//! - *Completed*: the client has its answer. The operation took effect between invocation and return.
//! - *Unknown*: the client gave up, or lost its connection. The operation may have taken effect, may
//!   do so at any later time, or never. It stays open for ever.
//! - *Failed*: it is certain that it never took effect and never will. A client may say so only if it
//!   knows; for instance because nobody took its connection. In doubt an outcome is unknown: one that
//!   is called failed by mistake makes a violation of what is none.
//!
//! A time is a number, in microseconds from any beginning. Only the order of times matters: one
//! operation comes before another if it returned before the other was invoked, at an earlier time.
//! Equal times say nothing, so operations that touch are concurrent. A [`Recorder`] never gives the
//! same time twice.
//!
//! The client's number is for the reader of a timeline. Nothing is concluded from it, so a client may
//! go on under its own number after an unknown outcome.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::model::{Action, Answer};

/// Microseconds.
pub type Time = u64;

/// What a client asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub client: u64,
    pub key: String,
    pub action: Action,
    pub invoked: Time,
    pub outcome: Outcome,
}

/// What became of an operation, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed {
        returned: Time,
        answer: Answer,
    },
    /// It takes effect at some time after its invocation, or never.
    Unknown,
    /// It never takes effect.
    Failed,
}

/// Writes a history down while it happens. Clients share it.
pub struct Recorder {
    start: Instant,
    written: Mutex<Written>,
}

struct Written {
    operations: Vec<Operation>,
    last: Time,
}

/// An operation that has been invoked.
#[derive(Debug)]
#[must_use = "an operation whose outcome nobody tells is unknown"]
pub struct Call(usize);

impl Recorder {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Recorder {
        Recorder {
            start: Instant::now(),
            written: Mutex::new(Written {
                operations: Vec::new(),
                last: 0,
            }),
        }
    }

    /// To be called before anything is sent. What is never ended is unknown.
    pub fn invoke(&self, client: u64, key: &str, action: Action) -> Call {
        let mut written = self.lock();
        let invoked = self.now(&mut written);
        written.operations.push(Operation {
            client,
            key: key.to_string(),
            action,
            invoked,
            outcome: Outcome::Unknown,
        });
        Call(written.operations.len() - 1)
    }

    /// To be called when the answer is there.
    pub fn completed(&self, call: Call, answer: Answer) {
        let mut written = self.lock();
        let returned = self.now(&mut written);
        written.operations[call.0].outcome = Outcome::Completed { returned, answer };
    }

    /// Nobody knows what became of it.
    pub fn unknown(&self, call: Call) {
        self.lock().operations[call.0].outcome = Outcome::Unknown;
    }

    /// It is certain that it will never have taken effect.
    pub fn failed(&self, call: Call) {
        self.lock().operations[call.0].outcome = Outcome::Failed;
    }

    /// What has been written so far, in the order of invocations.
    pub fn history(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Later than any time before, so that what happened in one microsecond is in order, too.
    fn now(&self, written: &mut Written) -> Time {
        let elapsed = Time::try_from(self.start.elapsed().as_micros()).unwrap_or(Time::MAX);
        written.last = elapsed.max(written.last + 1);
        written.last
    }
}

/// One line an operation, sorted by invocation.
pub fn timeline(operations: &[&Operation]) -> String {
    let mut sorted = operations.to_vec();
    sorted.sort_by_key(|operation| (operation.invoked, operation.client));
    let mut rows = vec![["client", "invoked", "returned", "operation", "answer"].map(String::from)];
    for operation in sorted {
        let (returned, answer) = match &operation.outcome {
            Outcome::Completed { returned, answer } => (returned.to_string(), answer.to_string()),
            Outcome::Unknown => ("?".to_string(), "unknown".to_string()),
            Outcome::Failed => ("-".to_string(), "failed".to_string()),
        };
        rows.push([
            operation.client.to_string(),
            operation.invoked.to_string(),
            returned,
            operation.action.to_string(),
            answer,
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for [client, invoked, returned, action, answer] in &rows {
        text += &format!(
            "{client:>c$}  {invoked:>i$}  {returned:>r$}  {action:<a$}  {answer}\n",
            c = widths[0],
            i = widths[1],
            r = widths[2],
            a = widths[3],
        );
    }
    text
}
