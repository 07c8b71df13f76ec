//! What a core can be told, as data, and a core that writes it down.
//!
//! A new input of the core is added here and nowhere else in the trace: a variant of [`Input`], an
//! arm of `Input::put_into`, a method of [`Traced`]. None of them can be forgotten: whoever holds
//! a `Traced` reaches the core's inputs through it alone, and the compiler asks for the arm. An
//! input that ends in something new has a variant of `Output` as well.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::raft::{
    CallId, Change, Disk, NodeId, NotChanged, NotProposed, NotRead, NotTransferred, Proposed, Raft,
    ReadId, Ready, Rejected, Reply, Request, SavedUpTo, Snapshot,
};

use super::record::Recorder;

/// A call of the core; [`Raft`] says what each of them means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // They are the arguments of the methods of the same name.
pub enum Input {
    Tick(u64),
    Propose(Vec<Arc<Command>>),
    Request(Request),
    Reply {
        from: NodeId,
        call: CallId,
        reply: Reply,
    },
    Lost {
        to: NodeId,
        call: CallId,
    },
    Saved(SavedUpTo),
    Compact {
        snapshot: Snapshot,
        keep_from: u64,
    },
    SetDisk(Disk),
    Change(Change),
    Transfer(Option<NodeId>),
    Read(ReadId),
    Introduce(Vec<NodeId>),
}

/// What came of an input.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Output<'a> {
    Ready(&'a Ready),
    Proposed { at: Proposed, ready: &'a Ready },
    NotProposed(NotProposed),
    Rejected(&'a Rejected),
    NotChanged(&'a NotChanged),
    NotTransferred(NotTransferred),
    NotRead(NotRead),
}

impl Input {
    /// Makes the call, and gives `see` what came of it to look at.
    pub(super) fn put_into<T>(self, raft: &mut Raft, see: impl FnOnce(Output) -> T) -> T {
        match self {
            Input::Tick(now) => see((&raft.tick(now)).into()),
            Input::Propose(commands) => see((&raft.propose(commands)).into()),
            Input::Request(request) => see((&raft.request(request)).into()),
            Input::Reply { from, call, reply } => see((&raft.reply(from, call, reply)).into()),
            Input::Lost { to, call } => see((&raft.lost(to, call)).into()),
            Input::Saved(mark) => see((&raft.saved(mark)).into()),
            Input::Compact {
                snapshot,
                keep_from,
            } => see((&raft.compact(snapshot, keep_from)).into()),
            Input::SetDisk(disk) => see((&raft.set_disk(disk)).into()),
            Input::Change(change) => see((&raft.change(&change)).into()),
            Input::Transfer(to) => see((&raft.transfer(to)).into()),
            Input::Read(id) => see((&raft.read(id)).into()),
            Input::Introduce(ids) => see((&raft.introduce(ids)).into()),
        }
    }
}

/// A core that writes down what it is told, if it was asked to. To look at, it is the core.
#[derive(Debug)]
pub struct Traced {
    raft: Raft,
    recorder: Option<Recorder>,
}

impl Traced {
    /// A core that writes nothing down.
    pub fn new(raft: Raft) -> Traced {
        Traced {
            raft,
            recorder: None,
        }
    }

    /// Writes down all that this core is told from now on. It must not have been told anything yet.
    pub fn record(&mut self, mut recorder: Recorder) {
        recorder.begin(&self.raft);
        self.recorder = Some(recorder);
    }

    /// [`Raft::tick`]
    pub fn tick(&mut self, now: u64) -> Ready {
        self.step(|| Input::Tick(now), |raft| raft.tick(now))
    }

    /// [`Raft::propose`]
    pub fn propose(
        &mut self,
        commands: impl IntoIterator<Item = Arc<Command>>,
    ) -> Result<(Proposed, Ready), NotProposed> {
        let commands: Vec<_> = commands.into_iter().collect();
        let input = self.told(|| Input::Propose(commands.clone()));
        self.finish(input, |raft| raft.propose(commands))
    }

    /// [`Raft::request`]
    pub fn request(&mut self, request: Request) -> Result<Ready, Rejected> {
        let input = self.told(|| Input::Request(request.clone()));
        self.finish(input, |raft| raft.request(request))
    }

    /// [`Raft::reply`]
    pub fn reply(&mut self, from: NodeId, call: CallId, reply: Reply) -> Ready {
        let input = self.told(|| Input::Reply {
            from,
            call,
            reply: reply.clone(),
        });
        self.finish(input, |raft| raft.reply(from, call, reply))
    }

    /// [`Raft::lost`]
    pub fn lost(&mut self, to: NodeId, call: CallId) -> Ready {
        self.step(|| Input::Lost { to, call }, |raft| raft.lost(to, call))
    }

    /// [`Raft::saved`]
    pub fn saved(&mut self, mark: SavedUpTo) -> Ready {
        self.step(|| Input::Saved(mark), |raft| raft.saved(mark))
    }

    /// [`Raft::compact`]
    pub fn compact(&mut self, snapshot: Snapshot, keep_from: u64) -> Ready {
        let input = self.told(|| Input::Compact {
            snapshot: snapshot.clone(),
            keep_from,
        });
        self.finish(input, |raft| raft.compact(snapshot, keep_from))
    }

    /// [`Raft::set_disk`]
    pub fn set_disk(&mut self, disk: Disk) -> Ready {
        self.step(|| Input::SetDisk(disk), |raft| raft.set_disk(disk))
    }

    /// [`Raft::change`]
    pub fn change(&mut self, change: &Change) -> Result<(Proposed, Ready), NotChanged> {
        self.step(|| Input::Change(change.clone()), |raft| raft.change(change))
    }

    /// [`Raft::transfer`]
    pub fn transfer(&mut self, to: Option<NodeId>) -> Result<Ready, NotTransferred> {
        self.step(|| Input::Transfer(to), |raft| raft.transfer(to))
    }

    /// [`Raft::read`]
    pub fn read(&mut self, id: ReadId) -> Result<Ready, NotRead> {
        self.step(|| Input::Read(id), |raft| raft.read(id))
    }

    /// [`Raft::introduce`]
    pub fn introduce(&mut self, ids: Vec<NodeId>) -> Ready {
        let input = self.told(|| Input::Introduce(ids.clone()));
        self.finish(input, |raft| raft.introduce(ids))
    }

    fn step<R>(&mut self, input: impl FnOnce() -> Input, call: impl FnOnce(&mut Raft) -> R) -> R
    where
        for<'a> Output<'a>: From<&'a R>,
    {
        let input = self.told(input);
        self.finish(input, call)
    }

    /// The input, if anybody wants to know.
    fn told(&self, input: impl FnOnce() -> Input) -> Option<Input> {
        self.recorder.is_some().then(input)
    }

    fn finish<R>(&mut self, input: Option<Input>, call: impl FnOnce(&mut Raft) -> R) -> R
    where
        for<'a> Output<'a>: From<&'a R>,
    {
        let (Some(recorder), Some(input)) = (&mut self.recorder, input) else {
            return call(&mut self.raft);
        };
        let deadline = self.raft.deadline();
        let result = call(&mut self.raft);
        recorder.record(deadline, &input, &Output::from(&result));
        result
    }
}

impl Deref for Traced {
    type Target = Raft;

    fn deref(&self) -> &Raft {
        &self.raft
    }
}

impl<'a> From<&'a Ready> for Output<'a> {
    fn from(ready: &'a Ready) -> Output<'a> {
        Output::Ready(ready)
    }
}

impl<'a> From<&'a Result<Ready, Rejected>> for Output<'a> {
    fn from(result: &'a Result<Ready, Rejected>) -> Output<'a> {
        match result {
            Ok(ready) => Output::Ready(ready),
            Err(rejected) => Output::Rejected(rejected),
        }
    }
}

impl<'a> From<&'a Result<(Proposed, Ready), NotChanged>> for Output<'a> {
    fn from(result: &'a Result<(Proposed, Ready), NotChanged>) -> Output<'a> {
        match result {
            Ok((at, ready)) => Output::Proposed { at: *at, ready },
            Err(refused) => Output::NotChanged(refused),
        }
    }
}

impl<'a> From<&'a Result<Ready, NotTransferred>> for Output<'a> {
    fn from(result: &'a Result<Ready, NotTransferred>) -> Output<'a> {
        match result {
            Ok(ready) => Output::Ready(ready),
            Err(refused) => Output::NotTransferred(*refused),
        }
    }
}

impl<'a> From<&'a Result<Ready, NotRead>> for Output<'a> {
    fn from(result: &'a Result<Ready, NotRead>) -> Output<'a> {
        match result {
            Ok(ready) => Output::Ready(ready),
            Err(refused) => Output::NotRead(*refused),
        }
    }
}

impl<'a> From<&'a Result<(Proposed, Ready), NotProposed>> for Output<'a> {
    fn from(result: &'a Result<(Proposed, Ready), NotProposed>) -> Output<'a> {
        match result {
            Ok((at, ready)) => Output::Proposed { at: *at, ready },
            Err(refused) => Output::NotProposed(*refused),
        }
    }
}
