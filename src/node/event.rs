//! What happens to a node, and what it does about it.
//!
//! [`Event`]s go into the [`Driver`](super::driver::Driver), [`Action`]s come out. Between them
//! they are the whole interface of a node with its surroundings, which is why the simulator can
//! stand in for threads, sockets and disks. `T` is whatever the surroundings use to find the one
//! who waits for an answer: the sending end of a channel in a real node, a number in the simulator.

use std::fmt;
use std::sync::Arc;

use crate::application::Kind;
use crate::command::Command;
use crate::game::{Player, Ruin};
use crate::kv::{Datum, Outcome};
use crate::machine::{Answer, Order, WINDOW};
use crate::raft::{CallId, Change, NodeId, Rejected, Reply, Request, Save, Standing};
use crate::status::Status;

use super::queues::Update;
use super::submissions::{LEADER_WITHIN, OUTCOME_WITHIN};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event<T> {
    /// Someone asks, and waits for the answer.
    Asked(T, Question),
    /// This node's own player wants something, such as `attack 3`.
    Wanted(String),
    /// A peer has answered the call, after that many milliseconds where they were measured.
    Answered {
        /// The peer.
        from: NodeId,
        /// Which call.
        call: CallId,
        /// Its answer.
        reply: PeerReply,
        /// The round trip.
        rtt_ms: Option<f64>,
    },
    /// A call has ended without an answer.
    Lost {
        /// The peer.
        to: NodeId,
        /// Which call.
        call: CallId,
        /// The peer may have processed it.
        reached: bool,
    },
    /// The save of that number, and every one before it, is on disk.
    Saved(u64),
    /// The node is about to stop: whoever leads hands over.
    Retire,
    /// The disk has no room for all that waits. Term and vote of the save of that number, and of
    /// every one before it, are on disk all the same.
    DiskFull(u64),
}

/// What a node can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// By a peer: Raft's own business.
    Raft(Request),
    /// By a peer: its players' commands, for the leader.
    Forward(Forward),
    /// By a client: apply this and tell me the outcome.
    Submit(Command),
    /// By a client without an identity of its own: the node lends its own.
    Attack(NodeId),
    /// By a client: apply this operation of the store and tell me what came of it.
    Write(Command),
    /// By a client: how things stand.
    Read {
        /// What is to be seen.
        query: Query,
        /// As this node has it, which may be behind; if not, as it is now.
        stale: bool,
    },
    /// How this node stands.
    Status,
    /// Who belongs to the cluster, as this node knows it.
    Members,
    /// By a client: change the members, or hand the leadership over.
    Do(Errand),
    /// By a peer: the same, or an index to read at, for the leader.
    Errand {
        /// The peer.
        sender_id: NodeId,
        /// What it asks for on somebody's behalf.
        errand: Errand,
    },
}

/// What can be seen of a state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The players and their hit points.
    State,
    /// Who stands where.
    Board,
    /// The value of a key.
    Get(String),
    /// The keys that begin with `prefix`, as many as fit into an answer.
    List {
        /// The beginning.
        prefix: String,
        /// Only keys after this one.
        after: Option<String>,
    },
}

impl Query {
    /// Which machine has an answer.
    pub fn of(&self) -> Kind {
        match self {
            Query::State | Query::Board => Kind::Game,
            Query::Get(_) | Query::List { .. } => Kind::Kv,
        }
    }
}

/// What only the leader can do, and what is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Change the members.
    Change(Change),
    /// Hand the leadership over to this node, or to whoever is best.
    Transfer(Option<NodeId>),
    /// Say at which index a read is linearizable.
    Read,
}

/// The leader's answer to an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrandReply {
    /// The change is appended at `index` in `term`. It is done when it is committed and, where
    /// voters change, the configuration after it as well.
    Placed {
        /// The leader's term.
        term: u64,
        /// Where the change stands in the log.
        index: u64,
    },
    /// The leader of this term hands over. It has worked when another one leads a later term.
    HandingOver {
        /// The leader's term.
        term: u64,
    },
    /// Reads are linearizable once this index has been applied.
    ReadAt {
        /// The read index.
        index: u64,
    },
    /// This node does not lead, or not firmly enough yet.
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// It cannot be done: one sentence.
    Refused(String),
}

/// Who belongs to the cluster, and what whoever wants to join it must know.
#[derive(Clone, Debug, PartialEq)]
pub struct Members {
    /// The cluster's name.
    pub cluster: String,
    /// What it replicates.
    pub machine: Kind,
    /// The node that answers.
    pub id: NodeId,
    /// Whom it follows.
    pub leader: Option<NodeId>,
    /// Its term.
    pub term: u64,
    /// The entry that says so; 0: none, but the node's own configuration.
    pub index: u64,
    /// Whether that entry is known to be committed.
    pub committed: bool,
    /// Whether voters are changing.
    pub joint: bool,
    /// Every member, in the order of their ids.
    pub members: Vec<MemberStatus>,
    /// How often a leader speaks, in milliseconds.
    pub heartbeat_ms: u64,
    /// Shortest and longest election timeout, in milliseconds.
    pub election_timeout_ms: (u64, u64),
    /// After how many entries a snapshot is taken.
    pub snapshot_entries: u64,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Where the node that answers calls it.
    pub address: String,
    /// Whether it votes.
    pub standing: Standing,
    /// The last index known to be the same there; known to a leader only.
    pub match_index: Option<u64>,
}

/// A follower's request to the leader: append these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The follower.
    pub sender_id: NodeId,
    /// In the order in which they are to be appended; not empty.
    pub commands: Vec<Arc<Command>>,
}

/// What a question is answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To [`Question::Raft`].
    Raft(Reply),
    /// To [`Question::Forward`].
    Forward(ForwardReply),
    /// To [`Question::Submit`] and [`Question::Attack`].
    Applied(Answer),
    /// To [`Query::State`].
    State(State),
    /// To [`Query::Board`].
    Board(State),
    /// To [`Query::Get`].
    Value(Option<Datum>),
    /// To [`Query::List`].
    Keys(Vec<String>),
    /// To [`Question::Write`]; never a refusal.
    Written(Outcome),
    /// To [`Question::Status`].
    Status(Status),
    /// To [`Question::Members`], and to a change that is done.
    Members(Members),
    /// To a transfer that has worked: who leads now, and since which term.
    Leads {
        /// The leader.
        leader: NodeId,
        /// Its term.
        term: u64,
    },
    /// To [`Question::Errand`].
    Errand(ErrandReply),
}

/// The leader's answer to a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardReply {
    /// Appended at `index`, `index + 1`, ... in `term`. Not committed: whoever forwarded waits
    /// until it has applied these very entries itself.
    Appended {
        /// The leader's term.
        term: u64,
        /// Index of the first command.
        index: u64,
    },
    /// Nothing was appended, because this node does not lead or its log is full.
    NotAppended {
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
}

/// The board, and which order it is the result of.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Every player, in the order of their ids.
    pub players: Vec<Player>,
    /// What is left of those who have gone, oldest first.
    pub ruins: Vec<Ruin>,
    /// The last index applied.
    pub index: u64,
    /// The digest after it.
    pub digest: String,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A peer's request that the core refused.
    Rejected(Rejected),
    /// The command can't be applied, or could not; nothing was changed.
    Invalid(String),
    /// This node runs that machine, and the question is for the other one.
    OtherMachine(Kind),
    /// No leader was found in time; nothing was appended.
    NoLeader,
    /// The command was sent on its way and nothing came back in time.
    OutcomeUnknown,
    /// The serial has fallen out of the client's window.
    SerialTooOld,
    /// Too many commands wait.
    Full,
    /// This node has no room to save anything.
    DiskFull,
    /// What was asked of the leader cannot be done, and nothing was changed: one sentence.
    NotDone(String),
    /// A change of the members was sent on its way, and what came of it is not known.
    ChangeUnknown,
    /// Nobody could say in time what is committed.
    NotConfirmed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Rejected(rejected) => rejected.fmt(f),
            Refusal::Invalid(reason) => f.write_str(reason),
            Refusal::OtherMachine(kind) => write!(
                f,
                "this node runs {kind} (machine = \"{}\"), which has no such method",
                kind.as_str()
            ),
            Refusal::NoLeader => write!(
                f,
                "no leader within {} s, nothing was appended: try again later",
                LEADER_WITHIN / 1000
            ),
            Refusal::OutcomeUnknown => write!(
                f,
                "outcome unknown after {} s: repeat with the same client and serial",
                OUTCOME_WITHIN / 1000
            ),
            Refusal::SerialTooOld => write!(
                f,
                "the serial is {WINDOW} or more behind the client's latest, whether it was \
                 applied is not known any more: use a new serial"
            ),
            Refusal::Full => write!(
                f,
                "too many commands wait to be committed, nothing was appended: try again later"
            ),
            Refusal::DiskFull => write!(
                f,
                "this node's disk is full, nothing was appended: make room there, or ask another \
                 node"
            ),
            Refusal::NotDone(reason) => write!(f, "{reason}; nothing was changed"),
            Refusal::ChangeUnknown => write!(
                f,
                "outcome unknown after {} s: see cluster.members",
                OUTCOME_WITHIN / 1000
            ),
            Refusal::NotConfirmed => write!(
                f,
                "no majority has confirmed within {} s what is committed: try again later",
                OUTCOME_WITHIN / 1000
            ),
        }
    }
}

/// Something to do. Actions are carried out in the order given.
#[derive(Clone, Debug)]
pub enum Action<T> {
    /// From now on this node may call that peer: be ready to.
    Meet {
        /// The peer.
        id: NodeId,
        /// Its name.
        name: String,
        /// Where it is.
        address: String,
    },
    /// This node calls that peer no more. What is under way ends as always.
    Part(NodeId),
    /// Hand this to the disk; [`Event::Saved`] with the number when it is there.
    Save(u64, Save),
    /// Call a peer. Ends in one [`Event::Answered`] or [`Event::Lost`] with the same call.
    Send {
        /// The peer.
        to: NodeId,
        /// Names the call.
        call: CallId,
        /// What to ask.
        request: PeerRequest,
    },
    /// Answer whoever waits.
    Answer(T, Result<Response, Refusal>),
    /// An entry was applied: write its line.
    Record(Order),
    /// Tell the view.
    Show(Update),
}

/// What a node asks of a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerRequest {
    /// Raft's own business.
    Raft(Request),
    /// Commands for the leader.
    Forward(Forward),
    /// How the peer stands, for this node's view.
    Status,
    /// Who belongs to the cluster.
    Members,
    /// An errand for the leader.
    Errand {
        /// This node.
        sender_id: NodeId,
        /// What is asked for.
        errand: Errand,
    },
}

/// What a peer answers.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerReply {
    /// To [`PeerRequest::Raft`].
    Raft(Reply),
    /// To [`PeerRequest::Forward`].
    Forward(ForwardReply),
    /// To [`PeerRequest::Status`].
    Status(Status),
    /// To [`PeerRequest::Members`].
    Members(Members),
    /// To [`PeerRequest::Errand`].
    Errand(ErrandReply),
}
