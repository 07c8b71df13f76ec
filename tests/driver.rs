//! A node as a function: what it does with the commands of its own players.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use raftian::command::Command;
use raftian::game::Game;
use raftian::machine::Machine;
use raftian::node::driver::{Driver, Parts};
use raftian::node::event::{
    Action, Event, ForwardReply, PeerReply, PeerRequest, Query, Question, Refusal, Response,
};
use raftian::node::queues::Update;
use raftian::raft::{
    AppendEntries, CheckSnapshot, Config, Configuration, Entry, Log, Payload, Raft, Reply, Request,
    RequestVote, Save, Snapshot,
};
use raftian::rpc::codec::{MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, MAX_PART_BYTES};
use raftian::snapshot::{self, Document};
use raftian::storage::Memory;

const OWN: &str = "bob1-0123456789abcdef";

/// The board as a node has it.
fn state() -> Question {
    Question::Read {
        query: Query::State,
        stale: true,
    }
}

/// A node that leads a cluster of its own, and whose disk is done at once.
struct Alone {
    driver: Driver<u64>,
    now: u64,
    seen: Vec<Action<u64>>,
}

impl Alone {
    fn new() -> Alone {
        Alone::with(&[1], 1_000)
    }

    /// The same among these voters, which leads only where it is alone.
    fn with(voters: &[u64], snapshot_entries: u64) -> Alone {
        let config = Config {
            id: 1,
            configuration: Configuration::of_voters(voters.iter().copied()),
            founds: false,
            election_timeout: (150, 300),
            heartbeat: 50,
            pre_vote: false,
            check_quorum: false,
            seed: 1,
            max_batch_entries: MAX_BATCH_ENTRIES,
            max_batch_bytes: MAX_BATCH_BYTES,
            max_uncommitted: 64,
            max_uncommitted_bytes: usize::MAX,
            max_part_bytes: MAX_PART_BYTES,
            max_snapshot_bytes: snapshot::MAX_BYTES,
            keep_while_sending: snapshot_entries,
            check_snapshot: CheckSnapshot(Arc::new(Document::check)),
        };
        let mut alone = Alone {
            driver: Driver::new(Parts {
                raft: Raft::new(config, Default::default(), None, Log::default()),
                machine: Machine::new(board().into()),
                snapshot_entries,
                name: "bob1".to_string(),
                client: OWN.to_string(),
                cluster: "local".to_string(),
                book: BTreeMap::new(),
                introduced: Vec::new(),
                has_view: true,
            }),
            now: 300,
            seen: Vec::new(),
        };
        let actions = alone.driver.tick(alone.now);
        alone.carry_out(actions);
        if voters == [1] {
            assert_eq!(alone.driver.raft().leader(), Some(1));
        }
        alone
    }

    fn handle(&mut self, event: Event<u64>) -> Vec<Action<u64>> {
        self.now += 1;
        self.seen.clear();
        let actions = self.driver.handle(self.now, event);
        self.carry_out(actions);
        std::mem::take(&mut self.seen)
    }

    fn carry_out(&mut self, actions: Vec<Action<u64>>) {
        for action in actions {
            self.seen.push(action.clone());
            if let Action::Save(number, _) = action {
                let actions = self.driver.handle(self.now, Event::Saved(number));
                self.carry_out(actions);
            }
        }
    }
}

/// The serials of this node's own commands that were appended.
fn serials(actions: &[Action<u64>]) -> Vec<u64> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Save(_, save) => Some(&save.entries),
            _ => None,
        })
        .flatten()
        .filter_map(|entry| match &entry.payload {
            Payload::Command(command) if command.client == OWN => Some(command.serial),
            _ => None,
        })
        .collect()
}

#[test]
fn an_attack_on_nobody_uses_up_no_serial_of_the_node() {
    let mut node = Alone::new();
    let before = serials(&node.handle(Event::Asked(0, Question::Attack(1))));
    for token in 1..2_000 {
        let actions = node.handle(Event::Asked(token, Question::Attack(9)));
        let refused = actions.iter().any(
            |action| matches!(action, Action::Answer(to, Err(Refusal::Invalid(_))) if *to == token),
        );
        assert!(refused, "{actions:?}");
    }
    let after = serials(&node.handle(Event::Asked(2_000, Question::Attack(1))));
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_eq!(before[0] + 1, after[0]);
}

#[test]
fn a_player_is_told_when_the_serial_of_a_command_is_too_old() {
    let mut node = Alone::new();
    let ahead = Command::new(OWN, 1 << 40, "attack 1").unwrap();
    let actions = node.handle(Event::Asked(1, Question::Submit(ahead)));
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Answer(1, Ok(Response::Applied(_))))),
        "{actions:?}"
    );
    let actions = node.handle(Event::Wanted("attack 1".to_string()));
    let told = actions.iter().any(|action| {
        matches!(action, Action::Show(Update::Failed { text, reason })
            if text == "attack 1" && reason.contains("use a new serial"))
    });
    assert!(told, "{actions:?}");
}

fn board() -> Game {
    Game::new([(1, "bob1".to_string())])
}

fn saves(actions: &[Action<u64>]) -> impl Iterator<Item = &Save> {
    actions.iter().filter_map(|action| match action {
        Action::Save(_, save) => Some(save),
        _ => None,
    })
}

#[test]
fn a_snapshot_is_taken_when_enough_has_been_applied_and_equals_a_replay() {
    let mut node = Alone::with(&[1], 8);
    let mut disk = Memory::default();
    for save in saves(&node.seen) {
        disk.save(save.clone());
    }
    let mut snapshots = 0;
    for serial in 1..=50 {
        let command = Command::new("c", serial % 40, "attack 1").unwrap();
        let actions = node.handle(Event::Asked(serial, Question::Submit(command)));
        for save in saves(&actions) {
            snapshots += usize::from(save.snapshot.is_some());
            disk.save(save.clone());
        }
        let log = node.driver.raft().log();
        assert!(log.last_index() - log.base_index() <= 8 + 2 + 1);
    }
    assert_eq!(snapshots, 50 / 8);
    let (_, snapshot, log) = disk.load();
    let document = Document::of_snapshot(&snapshot.unwrap()).unwrap();
    let mut replayed = document.machine();
    for entry in log.from(replayed.last_applied() + 1) {
        let _ = replayed.apply(entry);
    }
    assert_eq!(replayed.last_applied(), 51);
    assert_eq!(replayed.digest(), node.driver.machine().digest());
    assert_eq!(replayed.sessions(), node.driver.machine().sessions());
    assert_eq!(replayed.state(), node.driver.machine().state());
}

#[test]
fn a_full_disk_takes_no_commands_and_leads_nobody_and_votes_all_the_same() {
    let mut node = Alone::with(&[1, 2, 3], 1_000);
    let now = node.now;
    let vote = |term| {
        Question::Raft(Request::RequestVote(RequestVote {
            term,
            candidate_id: 2,
            last_log_index: 0,
            last_log_term: 0,
            pre_vote: false,
            transfer: false,
        }))
    };
    // It has campaigned, and that save is done. The next one finds no room.
    let actions = node.driver.handle(now, Event::Asked(1, vote(5)));
    let number = actions
        .iter()
        .find_map(|action| match action {
            Action::Save(number, _) => Some(*number),
            _ => None,
        })
        .unwrap();
    let answers = |actions: &[Action<u64>]| -> Vec<_> {
        let answer = |action: &Action<u64>| match action {
            Action::Answer(token, answer) => Some((*token, answer.clone())),
            _ => None,
        };
        actions.iter().filter_map(answer).collect()
    };
    assert!(answers(&actions).is_empty());
    let actions = node.driver.handle(now, Event::DiskFull(number));
    let granted = |(token, answer): &(u64, Result<Response, Refusal>)| {
        matches!(answer, Ok(Response::Raft(Reply::RequestVote(vote))) if vote.vote_granted)
            && *token == 1
    };
    assert!(answers(&actions).iter().any(granted));

    let command = Command::new("c", 1, "attack 1").unwrap();
    let actions = node
        .driver
        .handle(now, Event::Asked(2, Question::Submit(command.clone())));
    assert_eq!(answers(&actions), [(2, Err(Refusal::DiskFull))]);

    // Nobody is kept waiting for an acknowledgement that cannot come.
    let append = AppendEntries {
        term: 5,
        leader_id: 2,
        prev_log_index: 0,
        prev_log_term: 0,
        entries: vec![Entry {
            index: 1,
            term: 5,
            payload: Payload::Noop,
        }],
        leader_commit: 0,
    };
    let append = Question::Raft(Request::AppendEntries(append));
    let actions = node.driver.handle(now, Event::Asked(4, append));
    assert!(answers(&actions).is_empty());
    let number = number + 1;
    let actions = node.driver.handle(now, Event::DiskFull(number));
    assert_eq!(answers(&actions), [(4, Err(Refusal::DiskFull))]);

    let term = node.driver.raft().current_term();
    let _ = node.driver.tick(now + 10_000);
    assert_eq!(node.driver.raft().current_term(), term);

    let _ = node.driver.handle(now + 10_000, Event::Saved(number));
    let later = node
        .driver
        .handle(now + 10_000, Event::Asked(3, Question::Submit(command)));
    assert!(answers(&later).is_empty());
    let _ = node.driver.tick(now + 20_000);
    assert!(node.driver.raft().current_term() > term);
}

#[test]
fn whoever_waits_for_a_command_that_a_snapshot_covers_is_answered() {
    use raftian::raft::{AppendEntries, InstallSnapshot};
    // A leader elsewhere has applied the command and cut its log before this node heard of it.
    let mut leader = Alone::with(&[1], 2);
    let command = Command::new("c", 7, "attack 1").unwrap();
    let _ = leader.handle(Event::Asked(1, Question::Submit(command.clone())));
    let _ = leader.handle(Event::Asked(2, state()));
    let snapshot: &Snapshot = leader.driver.raft().snapshot().unwrap();

    let mut node = Alone::with(&[1, 2, 3], 1_000);
    let term = node.driver.raft().current_term() + 1;
    let heartbeat = Request::AppendEntries(AppendEntries {
        term,
        leader_id: 2,
        prev_log_index: 0,
        prev_log_term: 0,
        entries: Vec::new(),
        leader_commit: 0,
    });
    let _ = node.handle(Event::Asked(1, Question::Raft(heartbeat)));
    let _ = node.handle(Event::Asked(2, Question::Submit(command)));
    let install = Request::InstallSnapshot(InstallSnapshot {
        term,
        leader_id: 2,
        last_included_index: snapshot.last_index,
        last_included_term: snapshot.last_term,
        configuration: snapshot.configuration.clone(),
        offset: 0,
        data: snapshot.data.to_vec(),
        done: true,
    });
    let actions = node.handle(Event::Asked(3, Question::Raft(install)));
    let outcome = actions.iter().find_map(|action| match action {
        Action::Answer(2, Ok(Response::Applied(answer))) => Some(answer.outcome.clone()),
        _ => None,
    });
    assert_eq!(outcome.as_deref(), Some("hp 70"));
    assert_eq!(
        node.driver.machine().digest(),
        leader.driver.machine().digest()
    );
}

#[test]
fn a_command_that_a_snapshot_may_have_forgotten_is_not_sent_again() {
    use raftian::machine::MAX_SESSIONS;
    use raftian::raft::{AppendEntries, InstallSnapshot};
    // A leader elsewhere has applied the command, and after it those of so many other clients that
    // the first one's session had to make room.
    let mut leader = Alone::with(&[1], MAX_SESSIONS as u64 + 2);
    let command = Command::new("c", 7, "attack 1").unwrap();
    let _ = leader.handle(Event::Asked(0, Question::Submit(command.clone())));
    for other in 1..=MAX_SESSIONS as u64 {
        let command = Command::new(format!("other {other}"), 1, "attack 1").unwrap();
        let _ = leader.handle(Event::Asked(other, Question::Submit(command)));
    }
    let _ = leader.handle(Event::Asked(9_999, state()));
    let snapshot: &Snapshot = leader.driver.raft().snapshot().unwrap();
    assert_eq!(leader.driver.machine().answer("c", 7), None);

    let mut node = Alone::with(&[1, 2, 3], 10_000);
    let term = node.driver.raft().current_term() + 1;
    let heartbeat = Request::AppendEntries(AppendEntries {
        term,
        leader_id: 2,
        prev_log_index: 0,
        prev_log_term: 0,
        entries: Vec::new(),
        leader_commit: 0,
    });
    let _ = node.handle(Event::Asked(1, Question::Raft(heartbeat)));
    let actions = node.handle(Event::Asked(2, Question::Submit(command)));
    let forwarded = |actions: &[Action<u64>]| {
        actions.iter().find_map(|action| match action {
            Action::Send {
                call,
                request: PeerRequest::Forward(_),
                ..
            } => Some(*call),
            _ => None,
        })
    };
    let _ = node.handle(Event::Answered {
        from: 2,
        call: forwarded(&actions).unwrap(),
        reply: PeerReply::Forward(ForwardReply::Appended { term, index: 2 }),
        rtt_ms: None,
    });
    let install = Request::InstallSnapshot(InstallSnapshot {
        term,
        leader_id: 2,
        last_included_index: snapshot.last_index,
        last_included_term: snapshot.last_term,
        configuration: snapshot.configuration.clone(),
        offset: 0,
        data: snapshot.data.to_vec(),
        done: true,
    });
    let actions = node.handle(Event::Asked(3, Question::Raft(install)));
    assert_eq!(forwarded(&actions), None);
    let told = actions
        .iter()
        .any(|action| matches!(action, Action::Answer(2, Err(Refusal::OutcomeUnknown))));
    assert!(told, "{actions:?}");
    for _ in 0..100 {
        assert_eq!(forwarded(&node.handle(Event::Asked(4, state()))), None);
    }
}
