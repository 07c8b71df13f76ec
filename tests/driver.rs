//! A node as a function: what it does with the commands of its own players.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::collections::{BTreeMap, BTreeSet};

use raftian::command::Command;
use raftian::game::Game;
use raftian::node::driver::{Driver, Parts};
use raftian::node::event::{Action, Event, Question, Refusal, Response};
use raftian::node::queues::Update;
use raftian::raft::{Config, Log, Payload, Raft};
use raftian::rpc::codec::{MAX_BATCH_BYTES, MAX_BATCH_ENTRIES};

const OWN: &str = "bob1-0123456789abcdef";

/// A node that leads a cluster of its own, and whose disk is done at once.
struct Alone {
    driver: Driver<u64>,
    now: u64,
    seen: Vec<Action<u64>>,
}

impl Alone {
    fn new() -> Alone {
        let config = Config {
            id: 1,
            voters: BTreeSet::from([1]),
            election_timeout: (150, 300),
            heartbeat: 50,
            seed: 1,
            max_batch_entries: MAX_BATCH_ENTRIES,
            max_batch_bytes: MAX_BATCH_BYTES,
            max_uncommitted: 64,
        };
        let mut alone = Alone {
            driver: Driver::new(Parts {
                raft: Raft::new(config, Default::default(), Log::default()),
                game: Game::new([(1, "bob1".to_string())]),
                name: "bob1".to_string(),
                client: OWN.to_string(),
                peers: BTreeMap::new(),
                has_view: true,
            }),
            now: 300,
            seen: Vec::new(),
        };
        let actions = alone.driver.tick(alone.now);
        alone.carry_out(actions);
        assert_eq!(alone.driver.raft().leader(), Some(1));
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
