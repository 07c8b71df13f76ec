//! What crosses the network: between nodes, and between clients and nodes.
//!
//! Everything crosses as the bytes that a real node sends, and is read with the code that a real
//! node reads it with.

use rand::RngExt;

use crate::node::event::{Event, PeerReply, PeerRequest, Question, Refusal};
use crate::raft::{CallId, NodeId, Request};
use crate::rpc::methods::{self, Asked, ReplyKind};
use crate::rpc::{codec, xml};

use super::super::checker::{Verifies, Violation};
use super::super::clients::Attempt;
use super::{CALL_TIMEOUT, Checked, Exchange, Happening, PEACE, Token, World};

impl World<'_> {
    pub(super) fn send(
        &mut self,
        from: NodeId,
        to: NodeId,
        call: CallId,
        request: &PeerRequest,
    ) -> Checked {
        let verifies = match request {
            PeerRequest::Raft(Request::AppendEntries(append)) => {
                let last = append.entries.last();
                Some(Verifies::Entry(
                    last.map_or(append.prev_log_term, |entry| entry.term),
                ))
            }
            PeerRequest::Raft(Request::InstallSnapshot(install)) => Some(Verifies::Snapshot(
                install.last_included_index,
                install.last_included_term,
            )),
            // What is only asked for in advance promises nothing.
            PeerRequest::Raft(Request::RequestVote(vote)) if vote.pre_vote => {
                Some(Verifies::PreVote)
            }
            PeerRequest::Raft(Request::RequestVote(vote)) => {
                let disk = self.nodes[&from].disk.durable();
                self.checker.vote_request(from, vote.term, disk)?;
                None
            }
            PeerRequest::Forward(_) | PeerRequest::Status => None,
        };
        let node = self.node(from);
        node.calls.insert(call);
        let mut exchange = Exchange {
            from,
            life: node.life,
            to,
            call,
            kind: ReplyKind::of(request),
            verifies,
            is_single: true,
        };
        let bytes = methods::call(request);
        let copies = self.network.fate(&mut self.rng);
        exchange.is_single = copies.len() == 1;
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
        if !is_expected && !self.rng.random_ratio(1, 2) {
            return Ok(());
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
        let ids = self.ids();
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

fn read_question(bytes: &[u8]) -> Result<Question, Violation> {
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
