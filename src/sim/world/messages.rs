//! What crosses the network: between nodes, and between clients and nodes.
//!
//! Everything crosses as the bytes that a real node sends, and is read with the code that a real
//! node reads it with.

use rand::RngExt;

use crate::node::event::{Event, PeerReply, PeerRequest, Question, Refusal};
use crate::raft::{CallId, NodeId, Request, RoleName};
use crate::rpc::methods::{self, Asked, ReplyKind};
use crate::rpc::{codec, xml};

use super::super::checker::{Verifies, Violation};
use super::super::clients::Attempt;
use super::super::markers::Marker;
use super::{CALL_TIMEOUT, Checked, Exchange, Happening, PEACE, Token, World};

impl World<'_> {
    pub(super) fn send(
        &mut self,
        from: NodeId,
        to: NodeId,
        call: CallId,
        request: &PeerRequest,
    ) -> Checked {
        if let PeerRequest::Raft(Request::AppendEntries(_) | Request::InstallSnapshot(_)) = request
            && let PeerRequest::Raft(request) = request
        {
            let disk = self.nodes[&from].disk.durable();
            self.checker.leader_speaks(from, request.term(), disk)?;
        }
        let verifies = match request {
            PeerRequest::Raft(Request::AppendEntries(append)) => {
                if append.entries.len() > 1 {
                    self.checker.markers.mark(Marker::Batch);
                }
                let last = append.entries.last();
                Some(Verifies::Entry(
                    last.map_or(append.prev_log_term, |entry| entry.term),
                ))
            }
            PeerRequest::Raft(Request::InstallSnapshot(install)) => {
                let part = (install.last_included_index, install.offset);
                let last = self.sending.insert((from, to), part);
                if install.offset > 0 && !install.data.is_empty() {
                    self.checker.markers.mark(Marker::SnapshotInParts);
                }
                if last.is_some_and(|last| last.0 == part.0 && last.1 > part.1) {
                    self.checker.markers.mark(Marker::SnapshotAgain);
                }
                Some(Verifies::Snapshot(
                    install.last_included_index,
                    install.last_included_term,
                ))
            }
            // What is only asked for in advance promises nothing.
            PeerRequest::Raft(Request::RequestVote(vote)) if vote.pre_vote => {
                Some(Verifies::PreVote)
            }
            PeerRequest::Raft(Request::RequestVote(vote)) => {
                let disk = self.nodes[&from].disk.durable();
                self.checker.vote_request(from, vote.term, disk)?;
                None
            }
            PeerRequest::Raft(Request::TimeoutNow(_)) => {
                let raft = super::driver_of(&self.nodes, from).raft();
                let log = raft.log();
                let successor = self.nodes.get(&to).map(|node| node.disk.durable());
                let has_all =
                    successor.is_some_and(|disk| disk.has(log.last_index(), Some(log.last_term())));
                // One that leaves for good does not wait.
                if raft.role() == RoleName::Leader && !has_all {
                    return Err(Violation {
                        invariant: "whoever is to lead has everything",
                        detail: format!("node {from} hands over to {to}, which lacks entries"),
                    });
                }
                None
            }
            PeerRequest::Forward(_)
            | PeerRequest::Errand { .. }
            | PeerRequest::Members
            | PeerRequest::Status => None,
        };
        let node = self.node(from);
        node.calls.insert(call);
        let mut exchange = Exchange {
            from,
            life: node.life,
            to,
            call,
            kind: ReplyKind::of(request),
            candidacy: match request {
                PeerRequest::Raft(Request::RequestVote(vote)) if !vote.pre_vote => Some(vote.term),
                _ => None,
            },
            verifies,
            is_single: true,
        };
        let bytes = methods::call(request);
        let copies = self.network.fate(&mut self.rng);
        exchange.is_single = copies.len() == 1;
        if copies.len() > 1 {
            self.checker.markers.mark(Marker::RequestTwice);
        }
        if matches!(request, PeerRequest::Forward(_)) {
            self.checker.markers.mark(Marker::Forwarded);
        }
        for delay in copies {
            self.after(delay, Happening::Request(exchange.clone(), bytes.clone()));
        }
        self.after(CALL_TIMEOUT, Happening::Timeout(exchange));
        Ok(())
    }

    pub(super) fn request(&mut self, exchange: Exchange, bytes: &[u8]) -> Checked {
        if !self.network.connects(exchange.from, exchange.to) {
            return Ok(());
        }
        if self.node(exchange.to).driver.is_none() {
            // A refusal says that the request has not arrived, which another copy might belie.
            if exchange.is_single {
                self.after(1, Happening::Refused(exchange));
            }
            return Ok(());
        }
        let question = read_question(bytes)?;
        let to = exchange.to;
        self.drive(to, |driver, now| {
            driver.handle(now, Event::Asked(Token::Peer(exchange), question))
        })
    }

    pub(super) fn reply(&mut self, exchange: Exchange, bytes: &[u8]) -> Checked {
        if !self.network.connects(exchange.to, exchange.from) {
            return Ok(());
        }
        let Exchange {
            from, life, call, ..
        } = exchange;
        let node = self.node(from);
        if node.life != life || node.driver.is_none() {
            return Ok(());
        }
        let decoded = xml::decode_response(bytes).map_err(|fault| bad_codec(&fault.message))?;
        if let Err(fault) = &decoded
            && fault.message == Refusal::DiskFull.to_string()
        {
            return self.lost(&exchange, true);
        }
        // A stranger is refused until somebody has said that it is a member.
        if let Err(fault) = &decoded
            && fault.message.contains("is no other member")
        {
            self.checker.markers.mark(Marker::StrangerRefused);
            return self.lost(&exchange, true);
        }
        let is_expected = self.node(from).calls.remove(&call);
        let reply: PeerReply = match decoded {
            Ok(value) => methods::decode_reply(exchange.kind, &value)
                .map_err(|fault| bad_codec(&fault.message))?,
            Err(fault) if fault.code == crate::rpc::value::Fault::APPLICATION => {
                return Err(Violation {
                    invariant: "no member's request is refused",
                    detail: format!("node {}: {}", exchange.to, fault.message),
                });
            }
            Err(fault) => return Err(bad_codec(&fault.message)),
        };
        // A real node drops a reply that comes after its call has ended. Here the core sees it now
        // and then all the same: it must know what the reply belongs to.
        if !is_expected {
            self.checker.markers.mark(Marker::LateReply);
            if !self.rng.random_ratio(1, 2) {
                return Ok(());
            }
        }
        let event = Event::Answered {
            from: exchange.to,
            call,
            reply,
            rtt_ms: None,
        };
        self.drive(from, |driver, now| driver.handle(now, event))
    }

    pub(super) fn lost(&mut self, exchange: &Exchange, reached: bool) -> Checked {
        let &Exchange {
            from,
            life,
            to,
            call,
            ..
        } = exchange;
        let node = self.node(from);
        if node.life != life || !node.calls.remove(&call) {
            return Ok(());
        }
        self.drive(from, |driver, now| {
            driver.handle(now, Event::Lost { to, call, reached })
        })
    }

    pub(super) fn client(&mut self, client: usize) -> Checked {
        // At peace nobody asks a node that is no member any more.
        let ids = match self.peace {
            Some(_) => self.member_ids(),
            None => self.ids(),
        };
        // Once more at peace, when everything must go well.
        let begins = match self.peace {
            Some(peace) => self.now < peace.since + PEACE,
            None => !self.is_calm,
        };
        let World { clients, rng, .. } = self;
        let attempts = clients.act(client, &ids, !begins, rng);
        for attempt in attempts {
            let bytes = attempt.bytes();
            for delay in self.network.fate(&mut self.rng).into_iter().take(1) {
                self.after(delay, Happening::Submit(attempt.clone(), bytes.clone()));
            }
            self.after(attempt.patience, Happening::GiveUp(attempt));
        }
        if begins && self.rng.random_ratio(1, 3) {
            let to = ids[self.rng.random_range(0..ids.len())];
            self.ask_to_read(to);
        }
        let pause = self.rng.random_range(5..60);
        self.after(pause, Happening::Client(client));
        Ok(())
    }

    pub(super) fn submit(&mut self, attempt: Attempt, bytes: &[u8]) -> Checked {
        let question = read_question(bytes)?;
        let (to, now) = (attempt.to, self.now);
        let node = self.node(to);
        if node.driver.is_some() {
            node.asked.insert(attempt.name(), now);
            self.checker.asks(&attempt.command);
        }
        self.drive(to, |driver, now| {
            driver.handle(now, Event::Asked(Token::Client(attempt), question))
        })
    }

    pub(super) fn client_answer(&mut self, attempt: Attempt, bytes: &[u8]) -> Checked {
        let answer = xml::decode_response(bytes).map_err(|fault| bad_codec(&fault.message))?;
        let answer = match answer {
            Ok(value) => {
                Ok(codec::decode_answer(&value).map_err(|fault| bad_codec(&fault.message))?)
            }
            Err(fault) => Err(fault),
        };
        let World {
            clients,
            rng,
            checker,
            ..
        } = self;
        if clients.answer(&attempt, answer, rng) {
            checker.denied(&attempt.command);
        }
        Ok(())
    }
}

pub(super) fn read_question(bytes: &[u8]) -> Result<Question, Violation> {
    match methods::read(bytes).0 {
        Ok(Asked::Question(question)) => Ok(question),
        Ok(Asked::Known(_)) => Err(bad_codec("a question was read as another")),
        Err(fault) => Err(bad_codec(&fault.message)),
    }
}

pub(super) fn bad_codec(detail: &str) -> Violation {
    Violation {
        invariant: "what a node writes, a node can read",
        detail: detail.to_string(),
    }
}
