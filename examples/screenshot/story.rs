//! A game to look at: what the node of player 1 tells its screen, with real orders from the real
//! machine, and times chosen so that the picture shows a bit of everything.

use std::sync::Arc;
use std::time::Duration;

use raftian::command::Command;
use raftian::game::Game;
use raftian::machine::{Machine, NOOP};
use raftian::node::queues::{LogLine, PeerStatus, Status, Update, View};
use raftian::raft::{Entry, NodeId, Payload, RoleName};
use raftian::ui::Seat;

/// A node's life so far, as it told it.
pub struct Story {
    machine: Machine<Game>,
    players: Vec<(NodeId, String)>,
    log: Vec<LogLine>,
    role: RoleName,
    term: u64,
    leader: Option<NodeId>,
    now: Duration,
    updates: Vec<(Duration, Update)>,
}

impl Story {
    /// Player 1's, among bob1 to bobN.
    pub fn new(players: u64) -> Story {
        let players: Vec<_> = (1..=players).map(|id| (id, format!("bob{id}"))).collect();
        Story {
            machine: Machine::new(Game::new(players.clone())),
            players,
            log: Vec::new(),
            role: RoleName::Follower,
            term: 0,
            leader: None,
            now: Duration::ZERO,
            updates: Vec::new(),
        }
    }

    /// Where player 1 sits.
    pub fn seat(&self) -> Seat {
        Seat {
            id: 1,
            players: self.players.clone(),
            title: "local".to_string(),
            watches: false,
        }
    }

    /// Time passes.
    pub fn wait(&mut self, milliseconds: u64) -> &mut Story {
        self.now += Duration::from_millis(milliseconds);
        self
    }

    /// This node is in that role, in that term, and follows that leader.
    pub fn role(&mut self, role: RoleName, term: u64, leader: Option<NodeId>) -> &mut Story {
        (self.role, self.term, self.leader) = (role, term, leader);
        self.tell(Update::Role(role, term, leader))
    }

    /// A leader is elected; its no-op is committed.
    pub fn elect(&mut self, leader: NodeId, term: u64) -> &mut Story {
        let role = match leader {
            1 => RoleName::Leader,
            _ => RoleName::Follower,
        };
        self.role(role, term, Some(leader)).apply(Payload::Noop)
    }

    /// One player attacks another, and the entry is committed.
    pub fn attack(&mut self, by: NodeId, target: NodeId) -> &mut Story {
        let client = format!("bob{by}-7f3a");
        let serial = self.log.len() as u64;
        let command = Command::new(client, serial, format!("attack {target}"))
            .expect("the client and the text are short");
        self.apply(Payload::Command(Arc::new(command)))
    }

    /// An entry reaches the log and waits for a majority.
    pub fn append(&mut self, text: &str) -> &mut Story {
        self.log.push(LogLine {
            index: self.log.len() as u64 + 1,
            term: self.term,
            text: text.to_string(),
        });
        self
    }

    /// The node shows how it stands, and these peers answer.
    pub fn look(&mut self, answering: &[NodeId]) -> &mut Story {
        let status = self.status(1);
        let view = View {
            status,
            board: self.machine.state().players().to_vec(),
            ruins: Vec::new(),
            tail: self.log[self.log.len().saturating_sub(View::TAIL)..].to_vec(),
        };
        self.tell(Update::View(view));
        for id in 2..=self.players.len() as NodeId {
            let status = answering.contains(&id).then(|| self.status(id));
            self.tell(Update::Peer(id, status));
        }
        self
    }

    /// Anything else.
    pub fn tell(&mut self, update: Update) -> &mut Story {
        self.updates.push((self.now, update));
        self
    }

    /// Everything told so far.
    pub fn updates(&self) -> Vec<(Duration, Update)> {
        self.updates.clone()
    }

    /// What was only appended is overwritten, as a new leader would.
    fn apply(&mut self, payload: Payload) -> &mut Story {
        self.log.truncate(self.machine.last_applied() as usize);
        let text = match &payload {
            Payload::Noop | Payload::Founding(_) => NOOP.to_string(),
            Payload::Configuration(configuration) => configuration.to_string(),
            Payload::Command(command) => command.text.clone(),
        };
        self.append(&text);
        let order = self.machine.apply(&Entry {
            index: self.log.len() as u64,
            term: self.term,
            payload,
        });
        let board = self.machine.state().players().to_vec();
        self.tell(Update::Order(order, board))
    }

    fn status(&self, id: NodeId) -> Status {
        let applied = self.machine.last_applied();
        let role = match self.leader {
            Some(leader) if leader == id => RoleName::Leader,
            _ if id == 1 => self.role,
            _ => RoleName::Follower,
        };
        let leads = role == RoleName::Leader;
        let peers = self.players.iter().filter(|(peer, _)| *peer != id);
        Status {
            id,
            name: format!("bob{id}"),
            role,
            term: self.term,
            leader: self.leader,
            commit_index: applied,
            last_applied: applied,
            // An entry under way has reached this node and the leader, and nobody else.
            last_index: if id == 1 || leads {
                self.log.len() as u64
            } else {
                applied
            },
            digest: self.machine.digest().to_string(),
            peers: peers
                .map(|(peer, name)| PeerStatus {
                    id: *peer,
                    name: name.clone(),
                    address: format!("127.0.0.1:{}", 8000 + peer),
                    match_index: leads.then_some(applied),
                    next_index: leads.then_some(applied + 1),
                    rtt_ms: Some(0.2 + 0.1 * *peer as f64),
                })
                .collect(),
        }
    }
}

/// A game of five in full swing: one leader has been lost, one player is dead, and an attack waits
/// for its majority.
pub fn mid_game() -> Story {
    let mut story = Story::new(5);
    story.wait(210).role(RoleName::Candidate, 1, None);
    story.wait(4).elect(2, 1).look(&[2, 3, 4, 5]);
    story
        .wait(2900)
        .attack(1, 5)
        .wait(700)
        .attack(4, 5)
        .wait(1500)
        .attack(3, 2);
    story.wait(900).attack(1, 5).wait(1200).attack(2, 3);
    story
        .wait(800)
        .role(RoleName::Follower, 2, None)
        .wait(9)
        .elect(4, 2);
    story
        .wait(1900)
        .attack(5, 3)
        .wait(800)
        .attack(3, 1)
        .wait(1300)
        .attack(4, 5);
    story.wait(1200).attack(1, 2).append("attack 3");
    story.look(&[3, 4, 5]).wait(300).look(&[3, 4, 5]);
    story.wait(400).look(&[3, 4, 5]);
    story
}
