//! The nodes: starting them, running them, and carrying out what they decide.

use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::machine::Machine;
use crate::node::driver::{Driver, Parts, Peer};
use crate::node::event::{Action, Event, ForwardReply, Refusal, Response};
use crate::node::submissions::OUTCOME_WITHIN;
use crate::raft::{CheckSnapshot, Config, Configuration, NodeId, Raft, Reply, RoleName, Save};
use crate::rpc::{codec, methods};
use crate::snapshot::{self, Document};
use crate::storage::Recovered;

use super::super::ELECTION_TIMEOUT;
use super::super::checker::Violation;
use super::super::clients::Attempt;
use super::super::disk::{Finished, Start};
use super::super::markers::Marker;
use super::admin;
use super::messages::bad_codec;
use super::{Checked, HEARTBEAT, Happening, SERVED_WITHIN, Token, World, board, driver_of};

/// A node that did not start is started again after so many milliseconds.
const RESTART_AFTER: u64 = 20;
/// A full disk is tried again after so many milliseconds.
const FULL_DISK_RETRY: u64 = 50;

impl World<'_> {
    pub(super) fn start(&mut self, id: NodeId) -> Checked {
        let now = self.now;
        let salt = self.rng.next_u64();
        let falls = !self.is_calm && self.rng.random_ratio(1, 4);
        let World { nodes, rng, .. } = self;
        let node = nodes.get_mut(&id).expect("only known nodes start");
        if node.driver.is_some() || node.is_gone {
            return Ok(());
        }
        let had_flipped = node.disk.has_flipped();
        let recovered = match node.disk.open(falls, rng)? {
            Start::Found(recovered) => recovered,
            Start::Again => {
                self.note(|| format!("node {id} does not start"));
                self.checker.markers.mark(match had_flipped {
                    true => Marker::BitFlip,
                    false => Marker::FallsAmidStart,
                });
                self.after(RESTART_AFTER, Happening::Restart(id));
                return Ok(());
            }
        };
        if recovered.notes.iter().any(|note| note.contains(".broken")) {
            self.checker.markers.mark(Marker::TornTail);
        }
        let mut driver = self.driver(id, salt, recovered);
        if let Some(recorder) = &mut self.recorder {
            driver.record(recorder(id));
        }
        self.checker.started(&driver)?;
        let node = self.node(id);
        node.life += 1;
        node.started_at = now;
        node.disk_free_at = now;
        node.wake_at = u64::MAX;
        node.driver = Some(driver);
        self.drive(id, |driver, now| driver.tick(now))
    }

    fn driver(&self, id: NodeId, salt: u64, found: Recovered) -> Driver<Token> {
        let founders = self.nodes.values().filter(|node| node.founder).count() as u64;
        let is_founder = self.nodes[&id].founder;
        let is_told = self.nodes[&id].is_told;
        let (_, members) = self.checker.configuration();
        let others: Vec<NodeId> = match is_told {
            false => (1..=founders).filter(|&other| other != id).collect(),
            true => {
                let members = members.members().keys().copied();
                members.filter(|&other| other != id).collect()
            }
        };
        let machine = match &found.snapshot {
            None if !is_founder => Machine::new(board(0).into()),
            None => Machine::new(board(founders).into()),
            Some(snapshot) => Document::of_snapshot(snapshot)
                .expect("the disk has checked it")
                .machine(),
        };
        let raft = Raft::new(
            Config {
                id,
                configuration: match is_founder {
                    true => super::founders(founders),
                    false => Configuration::default(),
                },
                founds: true,
                election_timeout: ELECTION_TIMEOUT,
                heartbeat: HEARTBEAT,
                pre_vote: self.pre_vote,
                check_quorum: self.check_quorum,
                seed: salt,
                max_batch_entries: self.max_batch_entries,
                max_batch_bytes: codec::MAX_BATCH_BYTES,
                max_uncommitted: self.max_uncommitted,
                max_uncommitted_bytes: usize::MAX,
                max_part_bytes: self.max_part_bytes,
                max_snapshot_bytes: snapshot::MAX_BYTES,
                keep_while_sending: 4 * self.snapshot_entries,
                check_snapshot: CheckSnapshot(Arc::new(Document::check)),
            },
            found.hard_state,
            found.snapshot,
            found.log,
        );
        Driver::new(Parts {
            raft,
            machine,
            snapshot_entries: self.snapshot_entries,
            name: admin::name(id),
            client: format!("bob{id}-{salt:016x}"),
            cluster: "simulated".to_string(),
            book: others
                .iter()
                .map(|&peer| (peer, Peer::new(admin::name(peer), admin::address(peer))))
                .collect(),
            introduced: match is_told {
                false => Vec::new(),
                true => others,
            },
            has_view: false,
        })
    }

    pub(super) fn crash(&mut self, id: NodeId) {
        let World { nodes, rng, .. } = self;
        let node = nodes.get_mut(&id).expect("only known nodes crash");
        node.driver = None;
        node.calls.clear();
        node.asked.clear();
        node.paused_until = 0;
        let was_saving = node.disk.is_saving();
        let how = node.disk.crash(rng);
        if was_saving {
            self.checker.markers.mark(Marker::FallsAmidSave);
        }
        if how.contains("machine") {
            self.checker.markers.mark(Marker::PowerLost);
        }
        self.checker.stopped(id);
        self.faults += 1;
        self.note(|| format!("node {id} crashes{how}"));
        let longest = [50, 500, 2_000][self.rng.random_range(0..3)];
        let back = self.rng.random_range(0..longest);
        self.after(back, Happening::Restart(id));
    }

    /// Runs the driver and carries its actions out. The node may crash between any two of them.
    pub(super) fn drive(
        &mut self,
        id: NodeId,
        step: impl FnOnce(&mut Driver<Token>, u64) -> Vec<Action<Token>>,
    ) -> Checked {
        let now = self.now;
        let node = self.node(id);
        let local = now - node.started_at;
        let Some(driver) = &mut node.driver else {
            return Ok(());
        };
        let committed = driver.raft().commit_index();
        let last_index = driver.raft().log().last_index();
        let (was_full, led) = (
            node.disk.is_full(),
            driver.raft().role() == RoleName::Leader,
        );
        let raft = driver.raft();
        let was_asking = raft.role() == RoleName::Candidate && raft.voted_for() != Some(id);
        let term = raft.current_term();
        let (known, configured) = (raft.acquaintances().len(), raft.configured_at());
        let actions = step(driver, local);
        let driver = driver_of(&self.nodes, id);
        self.checker.node(driver)?;
        if driver.raft().role() == RoleName::Leader && driver.raft().commit_index() > committed {
            let nodes = &self.nodes;
            let disk = |id| nodes.get(&id).map(|node| node.disk.durable());
            self.checker.commitment(driver, last_index, disk)?;
        }
        let raft = driver.raft();
        let same_term = raft.current_term() == term;
        let role = raft.role();
        for (happened, marker) in [
            (
                was_full && led && role != RoleName::Leader && same_term,
                Marker::StepsDownForDisk,
            ),
            (
                was_asking && role == RoleName::Follower && same_term,
                Marker::PreVoteFails,
            ),
            (
                raft.acquaintances().len() > known && raft.configured_at() == configured,
                Marker::StrangerIntroduced,
            ),
        ] {
            if happened {
                self.checker.markers.mark(marker);
            }
        }
        let crash_rate = match driver.raft().role() {
            _ if self.is_calm => 0,
            RoleName::Leader => self.leader_crash_rate,
            _ => self.crash_rate,
        };
        for action in actions {
            if self.rng.random_ratio(crash_rate, 10_000) {
                self.checker.markers.mark(Marker::FallsBetweenActions);
                self.crash(id);
                return Ok(());
            }
            self.act(id, action)?;
        }
        self.checker.recorded(driver_of(&self.nodes, id))?;
        self.schedule_wake(id);
        Ok(())
    }

    /// Nobody who asked a node that runs waits for longer than was promised.
    pub(super) fn in_time(&self) -> Checked {
        let awake = self
            .nodes
            .iter()
            .filter(|(_, node)| node.paused_until < self.now);
        for (id, node) in awake {
            let late = |since: u64| since + OUTCOME_WITHIN < self.now;
            if let Some((asked, since)) = node.asked.iter().find(|(_, since)| late(**since)) {
                return Err(Violation {
                    invariant: "every question is answered in time",
                    detail: format!("node {id}: client and attempt {asked:?}, since {since} ms"),
                });
            }
        }
        Ok(())
    }

    pub(super) fn act(&mut self, id: NodeId, action: Action<Token>) -> Checked {
        match action {
            Action::Save(number, save) => {
                self.begin_save(id, number, save);
                Ok(())
            }
            Action::Send { to, call, request } => self.send(id, to, call, &request),
            Action::Answer(Token::Peer(exchange), answer) => {
                if let Ok(Response::Raft(reply)) = &answer {
                    let disk = &self.nodes[&id].disk;
                    self.checker
                        .reply(id, exchange.from, exchange.verifies, reply, disk)?;
                }
                if let Ok(Response::Raft(Reply::RequestVote(vote))) = &answer
                    && !vote.vote_granted
                    && exchange.candidacy.is_some_and(|term| vote.term < term)
                {
                    self.checker.markers.mark(Marker::VoteWithheld);
                }
                if let Ok(Response::Forward(ForwardReply::NotAppended { leader })) = &answer
                    && *leader == Some(id)
                {
                    self.checker.markers.mark(Marker::LeaderFull);
                }
                // What one copy of a forward has not done, the other may have.
                let is_denial = matches!(
                    answer,
                    Ok(Response::Forward(ForwardReply::NotAppended { .. }))
                );
                if is_denial && !exchange.is_single {
                    return Ok(());
                }
                let bytes = methods::write(answer);
                for delay in self.network.fate(&mut self.rng) {
                    self.after(delay, Happening::Reply(exchange.clone(), bytes.clone()));
                }
                Ok(())
            }
            Action::Answer(Token::Reader { number, told }, answer) => {
                self.was_read(id, (number, told), &answer)
            }
            Action::Answer(Token::Admin(number), answer) => self.managed(id, number, &answer),
            Action::Answer(Token::Client(attempt), answer) => {
                let since = self.node(id).asked.remove(&attempt.name());
                match &answer {
                    Ok(Response::Applied(answer)) => {
                        self.checker.answer(&attempt.command, answer)?
                    }
                    Ok(_) => return Err(bad_codec("a command got the answer to another question")),
                    Err(Refusal::SerialTooOld) => self.checker.refused(&attempt.command)?,
                    Err(Refusal::OutcomeUnknown) => {
                        self.checker.markers.mark(Marker::OutcomeUnknown);
                    }
                    Err(Refusal::NoLeader) => self.checker.markers.mark(Marker::NoLeader),
                    Err(_) => {}
                }
                self.answered_well(&attempt, since, &answer)?;
                let bytes = methods::write(answer);
                for delay in self.network.fate(&mut self.rng).into_iter().take(1) {
                    self.after(delay, Happening::Answer(attempt.clone(), bytes.clone()));
                }
                Ok(())
            }
            Action::Record(order) => self.checker.order(id, &order),
            Action::Meet { .. } | Action::Part(_) | Action::Show(_) => Ok(()),
        }
    }

    /// Every question gets one answer, and at peace a good one soon.
    pub(super) fn answered_well(
        &self,
        attempt: &Attempt,
        since: Option<u64>,
        answer: &Result<Response, Refusal>,
    ) -> Checked {
        let broken = |invariant| {
            let detail = format!("{attempt} is answered {answer:?}, asked {since:?}");
            Err(Violation { invariant, detail })
        };
        let Some(since) = since else {
            return broken("every question gets one answer");
        };
        let is_good = matches!(
            answer,
            Ok(_) | Err(Refusal::SerialTooOld | Refusal::Invalid(_))
        );
        // What was on its way when peace came may still arrive at a node that is no member any more.
        let at_peace = self.peace.is_some_and(|peace| peace.since <= since)
            && self.member_ids().contains(&attempt.to);
        if at_peace && (!is_good || since + SERVED_WITHIN < self.now) {
            return broken("at peace, every command is applied soon");
        }
        Ok(())
    }

    pub(super) fn begin_save(&mut self, id: NodeId, number: u64, save: Save) {
        let delay = match self.is_calm {
            true => 1,
            false if self.rng.random_ratio(self.slow_disk, 1000) => self.rng.random_range(0..400),
            false => self.rng.random_range(0..8),
        };
        let now = self.now;
        let node = self.node(id);
        node.disk.begin(number, save);
        node.disk_free_at = node.disk_free_at.max(now) + delay;
        let (done, life) = (node.disk_free_at, node.life);
        self.at(done, Happening::Saved(id, life));
    }

    pub(super) fn saved(&mut self, id: NodeId, life: u64) -> Checked {
        let fails = !self.is_calm && self.rng.random_ratio(self.disk_error, 10_000);
        let falls = !self.is_calm && self.rng.random_ratio(self.crash_rate, 2_000);
        let World { nodes, rng, .. } = self;
        let node = nodes.get_mut(&id).expect("only known nodes save");
        if node.life != life || node.driver.is_none() {
            return Ok(());
        }
        if falls {
            // Amid this very save, as likely as not.
            self.crash(id);
            return Ok(());
        }
        let waiting = node.disk.waiting();
        let finished = node.disk.finish(fails, rng)?;
        if waiting > node.disk.waiting() + 1 {
            self.checker.markers.mark(Marker::SavesTogether);
        }
        match finished {
            // An earlier one has taken it along.
            None => Ok(()),
            Some(Finished::Saved(number)) => {
                self.drive(id, |driver, now| driver.handle(now, Event::Saved(number)))
            }
            Some(Finished::Full(number)) => {
                self.note(|| format!("node {id} finds no room"));
                self.checker.markers.mark(Marker::DiskFull);
                self.after(FULL_DISK_RETRY, Happening::Saved(id, life));
                self.drive(id, |driver, now| {
                    driver.handle(now, Event::DiskFull(number))
                })
            }
            Some(Finished::Failed) => {
                self.note(|| format!("the disk of node {id} fails"));
                self.checker.markers.mark(Marker::DiskFails);
                self.crash(id);
                Ok(())
            }
        }
    }

    pub(super) fn wake(&mut self, id: NodeId) -> Checked {
        self.node(id).wake_at = u64::MAX;
        self.drive(id, |driver, now| driver.tick(now))
    }

    /// Makes sure that the node is woken at its deadline.
    pub(super) fn schedule_wake(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.node(id);
        let Some(driver) = &node.driver else {
            return;
        };
        let deadline = driver
            .deadline()
            .saturating_add(node.started_at)
            .max(now + 1);
        if deadline < node.wake_at {
            node.wake_at = deadline;
            let life = node.life;
            self.at(deadline, Happening::Wake { id, life, deadline });
        }
    }
}
