//! Was it linearizable? A checker for what clients saw of a replicated map of registers.
//!
//! Several clients ask a store for something at the same time, and each notes what it asked for, when
//! it asked, and what it was told. Such a history is *linearizable* if there is one order of all
//! operations that gives these very answers, in which each operation stands somewhere between its
//! invocation and its return: as if there were a single copy, and each operation happened at one
//! moment (Herlihy and Wing, "Linearizability: A Correctness Condition for Concurrent Objects").
//!
//! ```text
//!  history   what clients saw, and a recorder that writes it down
//!  model     what one register does: the only place that knows it
//!  checker   check(history): key by key, with a proof for a yes and a picture for a no
//!   ├ search   the search for an order
//!   │  └ seen     what anybody can still find out about a register's value
//!   └ shrink   the smallest part of a history that shows the violation
//! ```
//!
//! A test includes it with
//!
//! ```text
//! #[path = "linearizability/mod.rs"]
//! mod linearizability;
//! ```
//!
//! and says
//!
//! ```text
//! let recorder = Recorder::new();
//! let call = recorder.invoke(client, "x", Action::Incr);       // in each client's thread
//! recorder.completed(call, Answer::Number(1));                 // or unknown(call), failed(call)
//! check(&recorder.history()).unwrap();                         // when all have finished
//! ```
//!
//! How far an answer can be trusted:
//! - A yes is proven. The order that was found is carried out on the model and compared with the
//!   history's answers and times, by code that knows nothing of the search.
//! - A no rests on the search. It is compared with two slow and simple checkers, on a great many
//!   small histories, in `tests/linearizability.rs`.
//! - There is a third answer: *undecided*. The question is NP-complete, so the search has a limit. It
//!   is an error like a violation, and never a pass.
//!
//! Caveats: every register starts without a value. Nothing is said about progress: a history in which
//! every outcome is unknown is linearizable.

// Each test binary uses a part of this.
#![allow(dead_code, unused_imports)]

mod checker;
mod history;
mod model;
mod search;
mod seen;
mod shrink;

pub use checker::{Failure, Linearizable, STEPS, Undecided, Violation, Why, check, check_within};
pub use history::{Call, Operation, Outcome, Recorder, Time, timeline};
pub use model::{Action, Answer, Register, Value, apply, changed_nothing};
