//! Leader election (5.2) and its restriction (5.4.1).
//!
//! A candidate asks every peer for its vote. A node votes once in a term, for the first candidate
//! whose log is at least as up-to-date as its own; the vote is saved before it is given. With the
//! votes of a majority a candidate leads.

use super::message::{CallId, Request, RequestVote, RequestVoteReply};
use super::ready::Send;
use super::role::Role;
use super::{NodeId, Raft, quorum};

impl Raft {
    /// RequestVote RPC, receiver (figure 2).
    pub(super) fn handle_request_vote(&mut self, request: &RequestVote) -> RequestVoteReply {
        if request.term > self.current_term {
            self.become_follower(request.term, None);
        }
        let vote_granted = request.term == self.current_term
            && (self.voted_for.is_none_or(|id| id == request.candidate_id) || planted!(VoteTwice))
            && self.is_up_to_date(request.last_log_index, request.last_log_term);
        if vote_granted {
            self.voted_for = Some(request.candidate_id);
            self.reset_election_timer();
        }
        RequestVoteReply {
            term: self.current_term,
            vote_granted,
        }
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
        let Role::Candidate(candidate) = &mut self.role else {
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

    /// Leads once a majority has voted for this node.
    pub(super) fn count_votes(&mut self) {
        if let Role::Candidate(candidate) = &self.role
            && candidate.votes.len() >= quorum::majority(self.config.voters.len())
        {
            self.become_leader();
        }
    }

    /// Asks again those whose answer was lost, once every heartbeat interval.
    pub(super) fn ask_for_votes_again(&mut self) {
        if let Role::Candidate(candidate) = &mut self.role
            && self.now >= candidate.retry_at
        {
            candidate.retry_at = self.now + self.config.heartbeat;
            self.ask_for_votes();
        }
    }

    /// Asks everyone who has neither answered nor a request under way.
    pub(super) fn ask_for_votes(&mut self) {
        let request = RequestVote {
            term: self.current_term,
            candidate_id: self.config.id,
            last_log_index: self.log.last_index(),
            last_log_term: self.log.last_term(),
        };
        for to in self.peers() {
            let call = self.new_call();
            let Role::Candidate(candidate) = &mut self.role else {
                return;
            };
            if candidate.answered.contains(&to) || candidate.asked.contains_key(&to) {
                continue;
            }
            candidate.asked.insert(to, call);
            // After the save: the request says that this node has voted for itself.
            self.ready.after_save.push(Send {
                to,
                call,
                request: Request::RequestVote(request.clone()),
            });
        }
    }
}
