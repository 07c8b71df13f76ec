//! Leadership transfer (dissertation 3.10).
//!
//! A leader that is to stop, or is asked to, hands its office to another voter, so that nobody has to
//! wait for an election timeout. It takes no commands meanwhile, brings the other's log up to its own,
//! and tells it to time out at once (TimeoutNow). The other campaigns without asking in advance, and
//! its requests say why, so that those who still hear the leader vote all the same.
//!
//! If nothing has come of it within an election timeout, the leader goes on as before.

use super::message::{CallId, Reply, Request, TimeoutNow, TimeoutNowReply};
use super::progress::Sent;
use super::ready::{Ready, Send};
use super::role::{Role, Transfer};
use super::{Disk, NodeId, Raft, Rejected};

/// Why the leadership is not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotTransferred {
    /// This node does not lead; it may know who does.
    NotLeader(Option<NodeId>),
    /// That node cannot lead, because it does not vote, or is no member.
    NoVoter(NodeId),
    /// That node leads already.
    Leads(NodeId),
    /// The office is being handed over to this one.
    UnderWay(NodeId),
    /// There is no other voter.
    Alone,
}

impl std::fmt::Display for NotTransferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotTransferred::NotLeader(_) => f.write_str("this node does not lead"),
            NotTransferred::NoVoter(id) => {
                write!(f, "{id} is no voter of this cluster, so it cannot lead")
            }
            NotTransferred::Leads(id) => write!(f, "node {id} leads already"),
            NotTransferred::UnderWay(id) => {
                write!(f, "the leadership is being handed over to node {id}")
            }
            NotTransferred::Alone => f.write_str("there is no other voter"),
        }
    }
}

impl std::error::Error for NotTransferred {}

impl Raft {
    /// Hands the leadership over to a voter; without one, to whoever lags behind least. Whether it
    /// has worked is seen by the term: a transfer that fails leaves this node the leader of the same
    /// one, after [`Raft::is_handing_over`] has become false.
    pub fn transfer(&mut self, to: Option<NodeId>) -> Result<Ready, NotTransferred> {
        let Role::Leader(leader) = &self.role else {
            return Err(NotTransferred::NotLeader(self.leader()));
        };
        if let Some(transfer) = leader.transfer {
            return Err(NotTransferred::UnderWay(transfer.to));
        }
        let to = match to {
            Some(to) if to == self.config.id => return Err(NotTransferred::Leads(to)),
            Some(to) if !self.configuration().new_voters().any(|id| id == to) => {
                return Err(NotTransferred::NoVoter(to));
            }
            Some(to) => to,
            None => self.successor().ok_or(NotTransferred::Alone)?,
        };
        let deadline = self.now + self.config.election_timeout.1;
        if let Role::Leader(leader) = &mut self.role {
            leader.transfer = Some(Transfer { to, deadline });
        }
        self.hand_over();
        self.replicate();
        Ok(self.finish())
    }

    /// Whether this leader is handing its office over.
    pub fn is_handing_over(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if leader.transfer.is_some())
    }

    /// The voter whose log is the longest as far as is known, and who answers.
    fn successor(&self) -> Option<NodeId> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        let others = self.configuration().new_voters();
        others
            .filter_map(|id| Some((id, leader.progress.get(&id)?)))
            .max_by_key(|(_, progress)| (!progress.is_suspect, progress.match_index))
            .map(|(id, _)| id)
    }

    /// Tells the successor to campaign, once it has all that this leader has.
    pub(super) fn hand_over(&mut self) {
        let last_index = self.log.last_index();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(Transfer { to, .. }) = leader.transfer else {
            return;
        };
        let Some(progress) = leader.progress.get_mut(&to) else {
            return;
        };
        let is_equal = progress.match_index == last_index || planted!(HandedOverTooEarly);
        if !is_equal || progress.in_flight.is_some() || progress.is_suspect {
            return;
        }
        let call = self.next_call;
        self.next_call += 1;
        progress.sent(call, Sent::TimeoutNow, leader.round);
        progress.heartbeat_at = self.now + self.config.heartbeat;
        self.send_timeout_now(to, call);
    }

    fn send_timeout_now(&mut self, to: NodeId, call: CallId) {
        let request = Request::TimeoutNow(TimeoutNow {
            term: self.current_term,
            leader_id: self.config.id,
        });
        self.ready.send.push(Send { to, call, request });
    }

    /// A leader that is no member any more gives its office away, and does not wait for what comes
    /// of it.
    pub(super) fn resign(&mut self) {
        if let Some(to) = self.successor() {
            let call = self.new_call();
            self.send_timeout_now(to, call);
        }
        self.become_follower(self.current_term, None);
    }

    /// A transfer that has come to nothing is over.
    pub(super) fn give_transfer_up(&mut self) {
        if let Role::Leader(leader) = &mut self.role
            && leader.transfer.is_some_and(|t| self.now >= t.deadline)
        {
            leader.transfer = None;
        }
    }

    /// TimeoutNow RPC, receiver. A node that cannot campaign says so.
    pub(super) fn handle_timeout_now(&mut self, request: TimeoutNow) -> Result<Reply, Rejected> {
        let mut campaigns = false;
        if request.term >= self.current_term {
            self.check_only_leader(request.term, request.leader_id)?;
            self.become_follower(request.term, Some(request.leader_id));
            if self.disk == Disk::Ready && self.is_voter() {
                self.become_candidate(true);
                campaigns = true;
            }
        }
        Ok(Reply::TimeoutNow(TimeoutNowReply {
            term: self.current_term,
            campaigns,
        }))
    }

    /// An answer to this leader's TimeoutNow, in the current term: it did not campaign.
    pub(super) fn handle_timeout_now_reply(&mut self, from: NodeId, call: CallId) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(progress) = leader.progress.get_mut(&from) else {
            return;
        };
        match progress.answered(call, self.now) {
            None => return,
            // It could not, now. Not again before the next heartbeat.
            Some(Sent::TimeoutNow) => {}
            Some(_) => progress.is_suspect = true,
        }
        self.advance_commit_index();
        self.confirm_reads();
        self.replicate();
    }
}
