//! What the screen knows: plain state, changed by updates, by the player's intents and by time.
//!
//! [`App`] draws nothing and decides nothing about the game. It keeps the last facts that the node
//! told, and three things that pass with time: the notice in the header, which of the peers has
//! been silent for too long, and the ages in the feed. Time is handed in, so that a test can be a
//! story with exact moments in it; [`App::next_change`] says when time alone will change the
//! screen again, and until then nobody needs to look.
//!
//! The board changes by [`Update::Order`] and [`Update::View`] and by nothing else: a key press
//! leaves no trace here until it comes back through the log.
//!
//! Caveat: the node may drop updates when the screen does not keep up. The facts catch up with the
//! next update; a line of the feed that was dropped is gone.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::game::{MAX_PLAYERS, Player, Ruin};
use crate::machine::Order;
use crate::node::queues::{Status, Update, View};
use crate::raft::{NodeId, RoleName};

use super::Seat;
use super::keys::Intent;
use super::theme::Theme;

/// How long the header says what has just happened.
pub const NOTICE: Duration = Duration::from_millis(500);
/// How long it says that a command failed: a sentence takes longer to read.
pub const FAILURE_NOTICE: Duration = Duration::from_secs(2);
/// A peer that has not answered for so long is shown as silent.
pub const SILENCE: Duration = Duration::from_secs(1);
/// How many events the feed remembers.
const EVENTS: usize = 100;

/// The state of the screen.
#[derive(Clone, Debug)]
pub struct App {
    /// Who sits here, and who plays.
    pub seat: Seat,
    /// How things look.
    pub theme: Theme,
    /// Every player, in the order of their ids.
    pub board: Vec<Player>,
    /// What is left of those who have gone.
    pub ruins: Vec<Ruin>,
    /// Every node, in the order of their ids, this one included.
    pub nodes: Vec<Node>,
    /// Whom this node follows; itself when it leads.
    pub leader: Option<NodeId>,
    /// This node's term.
    pub term: u64,
    /// The node's last view of itself; `None` before the first.
    pub view: Option<View>,
    /// What has just happened, while the header says it.
    pub notice: Option<Notice>,
    /// What happened, oldest first.
    pub events: VecDeque<Event>,
    /// Whether the help lies over the screen.
    pub help: bool,
    /// Whether clicks come here; otherwise the mouse is the terminal's, to select text with.
    pub mouse: bool,
    /// Why the node has stopped, once it has.
    pub stopped: Option<String>,
    started: Instant,
    changed: bool,
}

/// One line of the table of nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The node's id.
    pub id: NodeId,
    /// The node's name.
    pub name: String,
    /// What is known of it now.
    pub state: NodeState,
}

/// What is known of a node now.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeState {
    /// Nothing yet, since the screen appeared.
    Awaited(Instant),
    /// It answered at that moment.
    Heard(Instant, Standing),
    /// It has not answered for [`SILENCE`]. What it said before is forgotten.
    Silent,
}

/// How a node stood when it last said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its role.
    pub role: RoleName,
    /// Its term.
    pub term: u64,
    /// The last index that it knows to be committed.
    pub commit: u64,
    /// The last index of its log.
    pub last: u64,
}

impl From<&Status> for Standing {
    fn from(status: &Status) -> Standing {
        Standing {
            role: status.role,
            term: status.term,
            commit: status.commit_index,
            last: status.last_index,
        }
    }
}

/// A message in the header that goes away by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Such as `Player 3 pressed`.
    pub text: String,
    /// The player whom it is about; `None`: something went wrong.
    pub player: Option<NodeId>,
    until: Instant,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, since the screen appeared.
    pub at: Duration,
    /// Of what kind.
    pub kind: EventKind,
    /// In words.
    pub text: String,
}

/// What kind of thing happened: decides the mark and the colour in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An election, or the loss of a leader, in that term.
    Election(u64),
    /// That player was hit.
    Hit(NodeId),
    /// That player died.
    Death(NodeId),
    /// That player is the last one alive.
    Win(NodeId),
    /// A player has come, or gone for good.
    Members,
    /// Something did not work.
    Failure,
}

impl App {
    /// The screen before anything was heard: a full board, and nobody leads.
    pub fn new(seat: Seat, theme: Theme, now: Instant) -> App {
        let mut players = seat.players.clone();
        players.sort();
        App {
            board: players
                .iter()
                .filter(|(id, _)| (1..=MAX_PLAYERS).contains(id))
                .map(|(id, name)| Player::new(*id, name.clone()))
                .collect(),
            ruins: Vec::new(),
            nodes: players
                .into_iter()
                .map(|(id, name)| Node {
                    id,
                    name,
                    state: NodeState::Awaited(now),
                })
                .collect(),
            seat,
            theme,
            leader: None,
            term: 0,
            view: None,
            notice: None,
            events: VecDeque::new(),
            help: false,
            mouse: true,
            stopped: None,
            started: now,
            changed: true,
        }
    }

    /// Takes in what the node says.
    pub fn update(&mut self, update: Update, now: Instant) {
        match update {
            Update::Order(order, board) => self.order(&order, board, now),
            Update::Role(role, term, leader) => self.role(role, term, leader, now),
            Update::View(view) => self.view(view, now),
            Update::Peer(id, status) => self.peer(id, status, now),
            Update::Failed { text, reason } => {
                let text = format!("{text} failed: {reason}");
                self.event(EventKind::Failure, text.clone(), now);
                self.notify(text, None, now + FAILURE_NOTICE);
            }
            Update::Notice(text) => {
                self.event(EventKind::Failure, text.clone(), now);
                self.notify(text, None, now + FAILURE_NOTICE);
            }
            Update::Stopped(reason) => self.stopped = Some(reason),
        }
    }

    /// Takes in what the player asks of the screen itself. Attacks and quitting are not its
    /// business, except for a player who does not exist.
    pub fn intend(&mut self, intent: Intent, now: Instant) {
        match intent {
            Intent::ToggleHelp => self.help = !self.help,
            Intent::ToggleMouse => self.mouse = !self.mouse,
            Intent::Nobody(id) => {
                self.notify(format!("There is no player {id}"), None, now + NOTICE);
            }
            Intent::Watching => {
                let text = "You are watching: raftian join to play".to_string();
                self.notify(text, None, now + FAILURE_NOTICE);
            }
            Intent::Attack(_) | Intent::Quit => return,
        }
        self.changed = true;
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Instant) {
        if self.notice.as_ref().is_some_and(|n| n.until <= now) {
            self.notice = None;
            self.changed = true;
        }
        for node in &mut self.nodes {
            if silent_from(self.seat.id, node).is_some_and(|from| from <= now) {
                node.state = NodeState::Silent;
                self.changed = true;
            }
        }
    }

    /// When time alone will next change what is shown; `None`: not before something is heard.
    pub fn next_change(&self) -> Option<Instant> {
        let silent = |node| silent_from(self.seat.id, node);
        let peers = self.nodes.iter().filter_map(silent);
        peers.chain(self.notice.as_ref().map(|n| n.until)).min()
    }

    /// Whether anything visible has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The terminal has another size, or has lost what was on it.
    pub fn redraw(&mut self) {
        self.changed = true;
    }

    /// The last player alive, when there were others.
    pub fn winner(&self) -> Option<&Player> {
        let mut alive = self.board.iter().filter(|player| player.alive());
        match (alive.next(), alive.next()) {
            (Some(last), None) if self.board.len() > 1 => Some(last),
            _ => None,
        }
    }

    /// A node's name; for an unknown one, its number.
    pub fn name(&self, id: NodeId) -> String {
        match self.nodes.iter().find(|node| node.id == id) {
            Some(node) => node.name.clone(),
            None => format!("node {id}"),
        }
    }

    /// The player with that id, if there is one on the board.
    pub fn player(&self, id: NodeId) -> Option<&Player> {
        self.board.iter().find(|player| player.id == id)
    }

    /// The last index known to be committed.
    pub fn commit(&self) -> u64 {
        self.view
            .as_ref()
            .map_or(0, |view| view.status.commit_index)
    }

    fn order(&mut self, order: &Order, board: Vec<Player>, now: Instant) {
        let had_winner = self.winner().is_some();
        if order.origin.is_none() && order.command.starts_with("members ") {
            self.comings_and_goings(&board, now);
        }
        self.set_board(board);
        let Some(target) = attacked(order) else {
            return;
        };
        let name = self.name(target);
        let attacker = self.attacker(order);
        if order.outcome == "already dead" {
            let text = format!("Player {target} already dead");
            self.notify(text, Some(target), now + NOTICE);
        } else if let Some(hp) = order.outcome.strip_prefix("hp ") {
            let text = format!("Player {target} pressed");
            self.notify(text, Some(target), now + NOTICE);
            let (kind, text) = match (attacker, hp == "0") {
                (Some(by), false) => (EventKind::Hit(target), format!("{by} hits {name}: {hp} HP")),
                (None, false) => (EventKind::Hit(target), format!("{name} is hit: {hp} HP")),
                (Some(by), true) => (EventKind::Death(target), format!("{by} kills {name}")),
                (None, true) => (EventKind::Death(target), format!("{name} dies")),
            };
            self.event(kind, text, now);
        }
        if !had_winner && let Some(winner) = self.winner() {
            let (id, text) = (winner.id, format!("{} wins", winner.name));
            self.event(EventKind::Win(id), text, now);
        }
    }

    /// Who sits on the board now and did not before, and the other way round.
    fn comings_and_goings(&mut self, board: &[Player], now: Instant) {
        let is_on = |board: &[Player], id| board.iter().any(|player| player.id == id);
        let gone = self.board.iter().filter(|player| !is_on(board, player.id));
        let come = board.iter().filter(|player| !is_on(&self.board, player.id));
        let gone = gone.map(|player| format!("{} has left: a ruin remains", player.name));
        let come = come.map(|player| format!("{} plays, as player {}", player.name, player.id));
        for text in gone.chain(come).collect::<Vec<_>>() {
            self.event(EventKind::Members, text, now);
        }
    }

    /// The nodes become those of which the node tells: itself and its peers.
    fn set_nodes(&mut self, status: &Status, now: Instant) {
        let own = [(status.id, status.name.clone())];
        let peers = status.peers.iter().map(|peer| (peer.id, peer.name.clone()));
        let mut all: Vec<(NodeId, String)> = own.into_iter().chain(peers).collect();
        all.sort();
        let known = self.nodes.iter().map(|node| (node.id, &node.name));
        if known.eq(all.iter().map(|(id, name)| (*id, name))) {
            return;
        }
        let mut before = std::mem::take(&mut self.nodes);
        self.nodes = all
            .into_iter()
            .map(|(id, name)| {
                let known = before.iter().position(|node| node.id == id);
                let state = match known {
                    Some(at) => before.swap_remove(at).state,
                    None => NodeState::Awaited(now),
                };
                Node { id, name, state }
            })
            .collect();
        self.changed = true;
    }

    fn set_board(&mut self, board: Vec<Player>) {
        if self.board != board {
            self.board = board;
            self.changed = true;
        }
    }

    /// The node names its clients NAME-HEX, so an order tells who gave it when a node did.
    fn attacker(&self, order: &Order) -> Option<String> {
        let (name, nonce) = order.origin.as_ref()?.0.rsplit_once('-')?;
        let is_hex = !nonce.is_empty() && nonce.bytes().all(|b| b.is_ascii_hexdigit());
        let known = self.nodes.iter().any(|node| node.name == name);
        (is_hex && known).then(|| name.to_string())
    }

    fn role(&mut self, role: RoleName, term: u64, leader: Option<NodeId>, now: Instant) {
        let me = self.seat.id;
        let before = (self.own_role(), self.term, self.leader);
        if before == (Some(role), term, leader) {
            return;
        }
        let (old_role, old_term, old_leader) = before;
        if let Some(old) = old_leader
            && leader != Some(old)
        {
            let text = if old == me {
                format!("{} leads no more", self.name(old))
            } else {
                format!("leader {} lost", self.name(old))
            };
            self.event(EventKind::Election(old_term), text, now);
        }
        if role == RoleName::Candidate && (old_role, old_term) != (Some(role), term) {
            let text = format!("term {term}: {} campaigns", self.name(me));
            self.event(EventKind::Election(term), text, now);
        }
        if let Some(new) = leader
            && (old_leader, old_term) != (leader, term)
        {
            let text = format!("term {term}: {} leads", self.name(new));
            self.event(EventKind::Election(term), text, now);
        }
        self.term = term;
        self.leader = leader;
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == me) {
            let standing = match node.state {
                NodeState::Heard(_, standing) => Standing {
                    role,
                    term,
                    ..standing
                },
                _ => Standing {
                    role,
                    term,
                    commit: 0,
                    last: 0,
                },
            };
            node.state = NodeState::Heard(now, standing);
        }
        self.changed = true;
    }

    fn own_role(&self) -> Option<RoleName> {
        let me = self.nodes.iter().find(|node| node.id == self.seat.id)?;
        match me.state {
            NodeState::Heard(_, standing) => Some(standing.role),
            _ => None,
        }
    }

    fn view(&mut self, mut view: View, now: Instant) {
        // A role change whose own update was dropped still becomes an event.
        self.role(view.status.role, view.status.term, view.status.leader, now);
        self.set_nodes(&view.status, now);
        self.heard(self.seat.id, Standing::from(&view.status), now);
        self.set_board(view.board.clone());
        if self.ruins != view.ruins {
            self.ruins.clone_from(&view.ruins);
            self.changed = true;
        }
        // Tenths of a millisecond are all that is shown; what lies below them would only redraw.
        for peer in &mut view.status.peers {
            peer.rtt_ms = peer.rtt_ms.map(|ms| (ms * 10.0).round() / 10.0);
        }
        // The digest is not shown.
        view.status.digest.clear();
        if self.view.as_ref() != Some(&view) {
            self.view = Some(view);
            self.changed = true;
        }
    }

    fn peer(&mut self, id: NodeId, status: Option<Status>, now: Instant) {
        if let Some(status) = status
            && id != self.seat.id
        {
            self.heard(id, Standing::from(&status), now);
        }
    }

    fn heard(&mut self, id: NodeId, standing: Standing, now: Instant) {
        let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) else {
            return;
        };
        let same = matches!(node.state, NodeState::Heard(_, before) if before == standing);
        node.state = NodeState::Heard(now, standing);
        self.changed |= !same;
    }

    fn notify(&mut self, text: String, player: Option<NodeId>, until: Instant) {
        self.notice = Some(Notice {
            text,
            player,
            until,
        });
        self.changed = true;
    }

    fn event(&mut self, kind: EventKind, text: String, now: Instant) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            at: now.saturating_duration_since(self.started),
            kind,
            text,
        });
        self.changed = true;
    }
}

/// When a node that is still counted as present falls silent. This node itself never does.
fn silent_from(me: NodeId, node: &Node) -> Option<Instant> {
    match node.state {
        _ if node.id == me => None,
        NodeState::Awaited(since) | NodeState::Heard(since, _) => Some(since + SILENCE),
        NodeState::Silent => None,
    }
}

/// Whom an order aims at.
fn attacked(order: &Order) -> Option<NodeId> {
    order.command.strip_prefix("attack ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Answer;
    use crate::status::PeerStatus;
    use crate::ui::theme::Depth;

    fn app(now: Instant) -> App {
        let seat = Seat {
            id: 1,
            players: (1..=3).map(|id| (id, format!("bob{id}"))).collect(),
            title: "local".to_string(),
            watches: false,
        };
        App::new(seat, Theme::new(Depth::True), now)
    }

    fn board(hp: [u32; 3]) -> Vec<Player> {
        (1..)
            .zip(hp)
            .map(|(id, hp)| Player {
                hp,
                ..Player::new(id, format!("bob{id}"))
            })
            .collect()
    }

    fn order(client: &str, command: &str, outcome: &str) -> Order {
        Order {
            index: 1,
            term: 1,
            origin: Some((client.to_string(), 1)),
            command: command.to_string(),
            outcome: outcome.to_string(),
            digest: String::new(),
            answer: Ok(Answer {
                index: 1,
                term: 1,
                outcome: outcome.to_string(),
            }),
        }
    }

    fn peer(id: NodeId) -> PeerStatus {
        PeerStatus {
            id,
            name: format!("bob{id}"),
            address: format!("h:{id}"),
            match_index: None,
            next_index: None,
            rtt_ms: None,
        }
    }

    fn status(id: NodeId, term: u64, last: u64) -> Status {
        Status {
            id,
            name: format!("bob{id}"),
            role: RoleName::Follower,
            term,
            leader: Some(2),
            commit_index: last,
            last_applied: last,
            last_index: last,
            digest: "0".repeat(16),
            peers: (1..=3).filter(|&peer| peer != id).map(peer).collect(),
        }
    }

    fn events(app: &App) -> Vec<&str> {
        app.events.iter().map(|event| event.text.as_str()).collect()
    }

    fn state(app: &App, id: NodeId) -> &NodeState {
        &app.nodes[id as usize - 1].state
    }

    #[test]
    fn the_header_says_who_was_pressed_for_half_a_second_from_when_the_order_came_back() {
        let start = Instant::now();
        let mut app = app(start);
        app.intend(Intent::Attack(3), start);
        assert_eq!(app.notice, None);
        assert_eq!(app.player(3).unwrap().hp, 100);

        let hit = Update::Order(order("bob1-7f", "attack 3", "hp 70"), board([100, 100, 70]));
        app.update(hit, start);
        assert_eq!(app.notice.as_ref().unwrap().text, "Player 3 pressed");
        assert_eq!(app.player(3).unwrap().hp, 70);
        assert_eq!(app.next_change(), Some(start + NOTICE));
        app.tick(start + NOTICE - Duration::from_millis(1));
        assert!(app.notice.is_some());
        app.tick(start + NOTICE);
        assert_eq!(app.notice, None);
    }

    #[test]
    fn an_attack_on_the_dead_says_so_and_is_no_event() {
        let now = Instant::now();
        let mut app = app(now);
        let order = order("bob2-7f", "attack 3", "already dead");
        app.update(Update::Order(order, board([100, 100, 0])), now);
        assert_eq!(app.notice.unwrap().text, "Player 3 already dead");
        assert!(app.events.is_empty());
    }

    #[test]
    fn the_feed_names_the_attacker_where_the_order_tells_who_it_was() {
        let now = Instant::now();
        let mut app = app(now);
        let mut hit = |client: &str, target: u64, hp: u32, left: [u32; 3]| {
            let order = order(client, &format!("attack {target}"), &format!("hp {hp}"));
            app.update(Update::Order(order, board(left)), now);
        };
        hit("bob1-7f3a", 3, 70, [100, 100, 70]);
        hit("python", 3, 40, [100, 100, 40]);
        hit("eve-7f", 3, 10, [100, 100, 10]);
        hit("bob2-0", 3, 0, [100, 100, 0]);
        hit("bob2-x", 1, 0, [0, 100, 0]);
        assert_eq!(
            events(&app),
            [
                "bob1 hits bob3: 70 HP",
                "bob3 is hit: 40 HP",
                "bob3 is hit: 10 HP",
                "bob2 kills bob3",
                "bob1 dies",
                "bob2 wins",
            ]
        );
        assert_eq!(app.winner().unwrap().id, 2);
    }

    #[test]
    fn a_repeat_and_a_noop_change_nothing_but_facts() {
        let now = Instant::now();
        let mut app = app(now);
        for (command, outcome) in [("noop", "ok"), ("attack 3", "duplicate of 1")] {
            let order = order("bob1-1", command, outcome);
            app.update(Update::Order(order, board([100; 3])), now);
        }
        assert!(app.events.is_empty() && app.notice.is_none());
    }

    #[test]
    fn a_peer_is_silent_one_second_after_its_last_answer_and_its_last_values_are_gone() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut app = app(start);
        app.update(Update::Peer(2, Some(status(2, 4, 9))), at(500));
        app.update(Update::Peer(2, None), at(900));
        app.tick(at(999));
        assert!(matches!(state(&app, 3), NodeState::Awaited(_)));
        app.tick(at(1000));
        assert_eq!(*state(&app, 3), NodeState::Silent);
        assert!(matches!(state(&app, 2), NodeState::Heard(..)));
        assert_eq!(app.next_change(), Some(at(1500)));
        app.tick(at(1500));
        assert_eq!(*state(&app, 2), NodeState::Silent);
        assert_eq!(app.next_change(), None);
        app.update(Update::Peer(2, Some(status(2, 5, 9))), at(4000));
        assert!(matches!(state(&app, 2), NodeState::Heard(..)));
        assert!(!matches!(state(&app, 1), NodeState::Silent));
    }

    #[test]
    fn elections_are_told_as_this_node_sees_them() {
        let now = Instant::now();
        let mut app = app(now);
        let steps = [
            (RoleName::Candidate, 1, None),
            (RoleName::Candidate, 2, None),
            (RoleName::Leader, 2, Some(1)),
            (RoleName::Follower, 3, None),
            (RoleName::Follower, 3, Some(2)),
            (RoleName::Follower, 3, Some(2)),
            (RoleName::Candidate, 4, None),
            (RoleName::Follower, 4, Some(3)),
            (RoleName::Follower, 5, Some(3)),
        ];
        for (role, term, leader) in steps {
            app.update(Update::Role(role, term, leader), now);
        }
        assert_eq!(
            events(&app),
            [
                "term 1: bob1 campaigns",
                "term 2: bob1 campaigns",
                "term 2: bob1 leads",
                "bob1 leads no more",
                "term 3: bob2 leads",
                "leader bob2 lost",
                "term 4: bob1 campaigns",
                "term 4: bob3 leads",
                "term 5: bob3 leads",
            ]
        );
    }

    #[test]
    fn what_changes_nothing_visible_asks_for_no_frame() {
        let now = Instant::now();
        let mut app = app(now);
        let view = |digest: &str| {
            Update::View(View {
                status: Status {
                    digest: digest.to_string(),
                    ..status(1, 4, 9)
                },
                board: board([100; 3]),
                ruins: Vec::new(),
                tail: Vec::new(),
            })
        };
        assert!(app.take_changed());
        app.update(view("a"), now);
        app.update(Update::Peer(2, Some(status(2, 4, 9))), now);
        assert!(app.take_changed());
        app.update(view("b"), now);
        app.update(Update::Peer(2, Some(status(2, 4, 9))), now);
        app.update(Update::Peer(3, None), now);
        app.tick(now + Duration::from_millis(10));
        assert!(!app.take_changed());
        app.update(Update::Peer(2, Some(status(2, 4, 10))), now);
        assert!(app.take_changed());
    }

    #[test]
    fn a_failed_command_is_told_with_its_reason() {
        let now = Instant::now();
        let mut app = app(now);
        let failed = Update::Failed {
            text: "attack 3".to_string(),
            reason: "no leader within 2 s".to_string(),
        };
        app.update(failed, now);
        assert_eq!(events(&app), ["attack 3 failed: no leader within 2 s"]);
        assert_eq!(app.notice.unwrap().player, None);
    }

    #[test]
    fn players_and_nodes_come_and_go() {
        let now = Instant::now();
        let mut app = app(now);
        let board = |ids: &[NodeId]| {
            let player = |&id: &NodeId| Player::new(id, format!("bob{id}"));
            ids.iter().map(player).collect::<Vec<_>>()
        };
        let members = |command: &str, board| {
            let order = Order {
                origin: None,
                ..order("", command, "ok")
            };
            Update::Order(order, board)
        };
        // What the founding entry says is no news.
        app.update(members("noop", board(&[1, 2, 3])), now);
        app.update(members("members 1 2 3 4", board(&[1, 2, 3, 4])), now);
        app.update(members("members 1 2 4", board(&[1, 2, 4])), now);
        assert_eq!(
            events(&app),
            ["bob4 plays, as player 4", "bob3 has left: a ruin remains"]
        );
        let ruin = Ruin {
            id: 3,
            name: "bob3".to_string(),
            square: (1, 0),
        };
        let mut now_is = status(1, 4, 9);
        now_is.peers = vec![peer(2), peer(4)];
        app.update(Update::Peer(2, Some(status(2, 4, 9))), now);
        app.take_changed();
        app.update(
            Update::View(View {
                status: now_is,
                board: board(&[1, 2, 4]),
                ruins: vec![ruin.clone()],
                tail: Vec::new(),
            }),
            now,
        );
        assert!(app.take_changed());
        assert_eq!(app.ruins, [ruin]);
        let nodes: Vec<NodeId> = app.nodes.iter().map(|node| node.id).collect();
        assert_eq!(nodes, [1, 2, 4]);
        assert!(matches!(app.nodes[1].state, NodeState::Heard(..)));
        assert!(matches!(app.nodes[2].state, NodeState::Awaited(_)));
    }

    #[test]
    fn the_feed_forgets_rather_than_grows() {
        let now = Instant::now();
        let mut app = app(now);
        for term in 0..500 {
            app.update(Update::Role(RoleName::Candidate, term, None), now);
        }
        assert_eq!(app.events.len(), EVENTS);
        assert_eq!(app.events.back().unwrap().text, "term 499: bob1 campaigns");
    }
}
