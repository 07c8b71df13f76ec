//! Leader election (5.2), its restriction (5.4.1), and what keeps an election from being held for
//! nothing (dissertation 4.2.3, 6.2 and 9.6).
//!
//! A candidate asks every peer for its vote. A node votes once in a term, for the first candidate
//! whose log is at least as up-to-date as its own; the vote is saved before it is given. With the
//! votes of a majority a candidate leads.
//!
//! Before it enters a new term, a node asks who would vote for it (*PreVote*). Whoever hears a leader
//! gives no vote, neither in earnest nor in advance, and does not enter the candidate's term. In
//! return a leader that hears no majority for an election timeout steps down (*CheckQuorum*), or its
//! followers would wait for it though it can commit nothing.

use super::message::{CallId, Request, RequestVote, RequestVoteReply};
use super::ready::Send;
use super::role::{Leader, Role};
use super::{NodeId, Raft};

impl Raft {
    /// RequestVote RPC, receiver (figure 2).
    pub(super) fn handle_request_vote(&mut self, request: &RequestVote) -> RequestVoteReply {
        let refusal = |term| RequestVoteReply {
            term,
            vote_granted: false,
        };
        // An election that the leader itself has asked for disrupts nobody.
        if self.hears_a_leader() && !request.transfer && !planted!(VoteDespiteLeader) {
            return refusal(self.current_term);
        }
        if planted!(OnlyVotersVote) && !self.is_voter() {
            return refusal(self.current_term);
        }
        let is_up_to_date = self.is_up_to_date(request.last_log_index, request.last_log_term);
        if request.pre_vote && !planted!(PreVoteInEarnest) {
            return RequestVoteReply {
                term: self.current_term,
                vote_granted: request.term > self.current_term && is_up_to_date,
            };
        }
        if request.term > self.current_term {
            self.become_follower(request.term, None);
        }
        let vote_granted = request.term == self.current_term
            && (self.voted_for.is_none_or(|id| id == request.candidate_id) || planted!(VoteTwice))
            && is_up_to_date;
        if vote_granted {
            self.voted_for = Some(request.candidate_id);
            // A node that was about to campaign lets the other one try.
            if let Role::PreCandidate(_) = self.role {
                self.become_follower(self.current_term, None);
            }
            self.reset_election_timer();
        }
        RequestVoteReply {
            term: self.current_term,
            vote_granted,
        }
    }

    /// Whether there is a leader, this node included, as far as the shortest election timeout
    /// tells.
    fn hears_a_leader(&self) -> bool {
        let heard_at = match &self.role {
            Role::Follower(follower) if follower.leader.is_some() => follower.heard_at,
            Role::Leader(leader) => self.quorum_heard_at(leader),
            _ => return false,
        };
        self.config.check_quorum && self.now < heard_at + self.config.election_timeout.0
    }

    /// When a quorum, the leader included where it votes, was heard last.
    fn quorum_heard_at(&self, leader: &Leader) -> u64 {
        self.configuration().reached(|id| {
            let progress = leader.progress.get(&id);
            progress.map_or(self.now, |progress| progress.heard_at)
        })
    }

    /// When a leader that hears nobody more must step down; never, if it need not.
    pub(super) fn quorum_deadline(&self, leader: &Leader) -> u64 {
        match self.config.check_quorum {
            // The leader itself is always heard: counted as now, it must not move its own deadline.
            true if !self.configuration().has_quorum(|id| id == self.config.id) => {
                self.quorum_heard_at(leader) + self.config.election_timeout.1
            }
            _ => u64::MAX,
        }
    }

    /// No majority answers: whoever it can reach may look for another leader.
    pub(super) fn lose_the_lead(&mut self) {
        self.become_follower(self.current_term, None);
    }

    /// Whether that call asked for a vote in advance.
    pub(super) fn has_asked_for_pre_vote(&self, from: NodeId, call: CallId) -> bool {
        matches!(&self.role, Role::PreCandidate(candidate) if candidate.asked.get(&from) == Some(&call))
    }

    /// Whether a log that ends like this is at least as up-to-date as ours (5.4.1): the later last
    /// term wins; with equal terms, the longer log.
    fn is_up_to_date(&self, last_log_index: u64, last_log_term: u64) -> bool {
        if planted!(IndexBeforeTerm) {
            return last_log_index >= self.log.last_index();
        }
        (last_log_term, last_log_index) >= (self.log.last_term(), self.log.last_index())
            || planted!(LogIgnored)
    }

    /// An answer to one of this node's vote requests, in the current term.
    pub(super) fn handle_vote_reply(
        &mut self,
        from: NodeId,
        call: CallId,
        reply: &RequestVoteReply,
    ) {
        let (Role::PreCandidate(candidate) | Role::Candidate(candidate)) = &mut self.role else {
            return;
        };
        if candidate.asked.get(&from) != Some(&call) {
            return;
        }
        candidate.asked.remove(&from);
        candidate.answered.insert(from);
        if reply.vote_granted || planted!(RefusalIsAVote) {
            candidate.votes.insert(from);
        }
        self.count_votes();
    }

    /// Leads once a quorum has voted for this node; campaigns once a quorum would.
    pub(super) fn count_votes(&mut self) {
        let (Role::PreCandidate(candidate) | Role::Candidate(candidate)) = &self.role else {
            return;
        };
        let votes = &candidate.votes;
        if !self.configuration().has_quorum(|id| votes.contains(&id)) {
            return;
        }
        match self.role {
            Role::PreCandidate(_) => self.become_candidate(false),
            _ => self.become_leader(),
        }
    }

    /// Asks again those whose answer was lost, once every heartbeat interval.
    pub(super) fn ask_for_votes_again(&mut self) {
        if let Role::PreCandidate(candidate) | Role::Candidate(candidate) = &mut self.role
            && self.now >= candidate.retry_at
        {
            candidate.retry_at = self.now + self.config.heartbeat;
            self.ask_for_votes();
        }
    }

    /// Asks every voter who has neither answered nor a request under way.
    pub(super) fn ask_for_votes(&mut self) {
        let pre_vote = matches!(self.role, Role::PreCandidate(_));
        let transfer = matches!(&self.role, Role::Candidate(candidate) if candidate.transfer);
        let request = RequestVote {
            term: self.current_term + u64::from(pre_vote),
            candidate_id: self.config.id,
            last_log_index: self.log.last_index(),
            last_log_term: self.log.last_term(),
            pre_vote,
            transfer,
        };
        let voters: Vec<NodeId> = self.configuration().voters().collect();
        let own = self.config.id;
        for to in voters.into_iter().filter(|&id| id != own) {
            let call = self.new_call();
            let (Role::PreCandidate(candidate) | Role::Candidate(candidate)) = &mut self.role
            else {
                return;
            };
            if candidate.answered.contains(&to) || candidate.asked.contains_key(&to) {
                continue;
            }
            candidate.asked.insert(to, call);
            let send = Send {
                to,
                call,
                request: Request::RequestVote(request.clone()),
            };
            match pre_vote {
                // It says nothing of this node's disk.
                true => self.ready.send.push(send),
                // After the save: the request says that this node has voted for itself.
                false => self.ready.after_save.push(send),
            }
        }
    }
}
