//! Section 8: what clients may rely on. A command is applied once, however often it is sent, and a
//! read sees whatever was done before it was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use raftian::application::Application;
use raftian::command::Command;
use raftian::game::Game;
use raftian::machine::{Machine, NOOP, Order, StateMachine};
use raftian::raft::{NotRead, ReadAt};
use raftian::snapshot::Document;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::raft::{Cluster, command};
use super::*;

/// A state machine that remembers what it was told.
#[derive(Clone, Debug, Default, PartialEq)]
struct Notes(Vec<String>);

impl StateMachine for Notes {
    fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn apply(&mut self, text: &str) -> String {
        self.0.push(text.to_string());
        format!("note {}", self.0.len())
    }
}

/// A node's state machine, and the orders that it has applied.
fn replay(cluster: &Cluster, id: NodeId) -> (Notes, Vec<Order>) {
    let mut machine = Machine::new(Notes::default());
    let entries = cluster.applied(id).iter();
    let orders = entries.map(|entry| machine.apply(entry)).collect();
    (machine.state().clone(), orders)
}

/// A client's command.
fn of(client: &str, serial: u64, text: &str) -> Arc<Command> {
    Arc::new(Command::new(client, serial, text).unwrap())
}

// Commands

/// A leader that is lost after the commit and before its answer leaves the client to ask the next one
/// for the same. The log has it twice then, and the state machine once, with one answer.
#[test]
fn a_command_that_is_sent_again_to_the_next_leader_is_applied_once() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let hit = [of("ann", 1, "hit")];
    cluster.submit(1, &hit).unwrap();
    cluster.deliver();
    assert_eq!(cluster.core(1).commit_index(), 2);
    cluster.crash(1);
    cluster.elect(2);
    let again = cluster.submit(2, &hit).unwrap();
    cluster.deliver();
    for id in [2, 3] {
        let (notes, orders) = replay(&cluster, id);
        assert_eq!(orders.len() as u64, again.index, "it is in the log twice");
        assert_eq!(notes.0, ["hit"]);
        assert_eq!(orders[3].outcome, "duplicate of 2");
        assert_eq!(orders[3].answer, orders[1].answer);
    }
}

/// A leader that is lost before anybody has the command takes it along. Nothing was done, and so the
/// client's next attempt is the first that counts.
#[test]
fn a_command_that_was_lost_with_its_leader_is_applied_when_it_is_sent_again() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let hit = [of("ann", 1, "hit")];
    let first = cluster.submit(1, &hit).unwrap();
    cluster.crash(1);
    cluster.drop_all();
    cluster.elect(2);
    let second = cluster.submit(2, &hit).unwrap();
    cluster.deliver();
    cluster.restart(1);
    cluster.heartbeat(2);
    assert!((first.term, first.index) < (second.term, second.index));
    for id in [1, 2, 3] {
        let (notes, orders) = replay(&cluster, id);
        assert_eq!(notes.0, ["hit"]);
        assert_eq!(orders[second.index as usize - 1].outcome, "note 1");
    }
}

/// What makes a command the same is its client and its number, not what it says.
#[test]
fn a_command_is_the_same_by_its_client_and_serial_and_by_nothing_else() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    let commands = [
        of("ann", 1, "hit"),
        of("ben", 1, "hit"),
        of("ann", 2, "hit"),
        of("ann", 1, "miss"),
        of("ben", 1, "hit"),
    ];
    cluster.submit(1, &commands).unwrap();
    let (notes, orders) = replay(&cluster, 1);
    assert_eq!(notes.0, ["hit", "hit", "hit"]);
    let outcomes: Vec<&str> = orders[1..].iter().map(|order| &*order.outcome).collect();
    let expected = [
        "note 1",
        "note 2",
        "note 3",
        "duplicate of 2",
        "duplicate of 3",
    ];
    assert_eq!(outcomes, expected);
}

/// The answers belong to the replicated state: a server that got all of it as a snapshot repeats none.
#[test]
fn what_clients_were_answered_is_part_of_a_snapshot() {
    let players = [(1, "bob1".to_string()), (2, "bob2".to_string())];
    let mut machine = Machine::new(Application::from(Game::new(players)));
    let entry = |index, command: &Arc<Command>| Entry {
        index,
        term: 1,
        payload: Payload::Command(command.clone()),
    };
    let attack = of("ann", 1, "attack 2");
    let first = machine.apply(&entry(1, &attack));
    let snapshot = Document::of(&machine, 1, members("1 2").into()).snapshot();
    let mut restored = Document::of_snapshot(&snapshot).unwrap().machine();
    let repeat = restored.apply(&entry(2, &attack));
    assert_eq!(repeat.outcome, "duplicate of 1");
    assert_eq!(repeat.answer, first.answer);
    assert_eq!(restored.state(), machine.state());
}

/// A leader's first entry is there to be committed. It does nothing.
#[test]
fn a_noop_is_applied_and_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.heartbeat(1);
    for id in [1, 2, 3] {
        let (notes, orders) = replay(&cluster, id);
        assert_eq!(notes, Notes::default());
        assert_eq!(
            (orders[0].command.as_str(), orders[0].outcome.as_str()),
            (NOOP, "ok")
        );
        assert_eq!(orders[0].origin, None);
    }
}

// Reads

/// A read changes nothing, so nothing is appended for it and nothing saved.
#[test]
fn a_read_makes_no_entry_and_waits_for_no_disk() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.heartbeat(1);
    let before = cluster.core(1).log().clone();
    cluster.slow_disks = true;
    let read = cluster.read(1).unwrap();
    cluster.deliver();
    assert_eq!(cluster.served.get(&read), Some(&1));
    assert_eq!(*cluster.core(1).log(), before);
    let mut ids = cluster.ids().into_iter();
    assert!(!ids.any(|id| cluster.finish_save(id)));
}

/// A new leader has whatever is committed, and does not know how far that goes before an entry of its
/// own term is committed. That a majority follows it is not enough.
#[test]
fn a_new_leader_serves_no_read_before_its_noop_is_committed_though_a_majority_follows_it() {
    let (mut core, ready) = elected(3, 4, &[1, 2]);
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    assert_eq!(core.read(7).unwrap().send, [], "one request at a time");
    let mut send = sent(&ready.send, 2);
    // Node 2 follows, and has nothing. Its second answer is to a request that was sent after the read.
    for next in [2, 1] {
        let ready = core.reply(2, send.call, conflict(4, None, next));
        assert_eq!((core.commit_index(), ready.reads), (0, vec![]));
        send = sent(&ready.send, 2);
    }
    let ready = core.reply(2, send.call, matched(4, 3));
    assert_eq!(ready.reads, [ReadAt { id: 7, index: 3 }]);
}

/// On bad days, whatever index a read gets: all that was committed anywhere when it was asked for lies
/// at or before it.
#[test]
fn a_read_sees_all_that_was_committed_when_it_was_asked_for() {
    let (mut served, mut in_vain) = (0, 0);
    for seed in 0..100 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut cluster = Cluster::new(3);
        cluster.slow_disks = seed % 3 == 0;
        let mut asked = BTreeMap::new();
        for _ in 0..1_000 {
            let id = rng.random_range(1..=3);
            match rng.random_range(0..12) {
                0 if cluster.running(id).is_some() => {
                    let committed = cluster.committed.keys().next_back();
                    let committed = committed.copied().unwrap_or(0);
                    if let Ok(read) = cluster.read(id) {
                        asked.insert(read, committed);
                    }
                }
                _ => figure_3::step(&mut cluster, &mut rng),
            }
        }
        for (read, committed) in &asked {
            match cluster.served.get(read) {
                None => in_vain += 1,
                Some(index) => {
                    assert!(index >= committed, "read {read}: {index} < {committed}");
                    served += 1;
                }
            }
        }
    }
    assert!(
        served > 500 && in_vain > 100,
        "{served} reads served, {in_vain} not: too quiet a walk"
    );
}

/// A client that asks a server which does not lead is told who does, if that is known.
#[test]
fn a_read_is_asked_of_the_leader_and_others_name_it() {
    let mut core = follower(1, 3, 1, &[]);
    assert_eq!(core.read(1).unwrap_err(), NotRead::NotLeader(None));
    let _ = core.request(append(2, 1, (0, 0), &[], 0)).unwrap();
    assert_eq!(core.read(1).unwrap_err(), NotRead::NotLeader(Some(2)));
    let mut core = settled(3, 1, &[]);
    let _ = core.propose([command(1, "a")]).unwrap();
    assert!(core.read(1).is_ok());
}
