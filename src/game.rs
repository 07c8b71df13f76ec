//! The classic board: up to nine players with 100 hit points each, and one command, `attack N`.
//!
//! The rules are the Raftian report's. An attack takes 30 hit points (100, 70, 40, 10, dead),
//! hit points stop at 0, and damage to the dead is ignored. Anyone may attack anyone, themselves
//! and friends included. The game is a [`StateMachine`]: it changes by committed entries only,
//! which is why every node shows the same board.
//!
//! Whoever votes has a seat. A node that becomes a voter gets a free square and full hit points; one
//! that leaves for good leaves a ruin, which stays until its square is needed. Learners watch.
//!
//! Left out on purpose: who attacked. An order is the same text on every node and says whom it
//! hits; the identity of the sender belongs to the session table.

use crate::machine::StateMachine;
use crate::raft::{Configuration, NodeId};

/// Hit points at the start.
pub const FULL_HP: u32 = 100;
/// What one attack takes.
pub const DAMAGE: u32 = 30;
/// Columns and rows of the board.
pub const BOARD_SIZE: u16 = 4;
/// Keys 1 to 9 are all that a player has.
pub const MAX_PLAYERS: u64 = 9;

/// Where player N stands unless somebody else does: (column, row), player 1 first. The first four
/// are the report's.
pub const SQUARES: [(u16, u16); MAX_PLAYERS as usize] = [
    (2, 2),
    (3, 0),
    (1, 0),
    (0, 3),
    (0, 1),
    (3, 3),
    (1, 2),
    (2, 1),
    (3, 2),
];

/// One player: a node's seat on the board.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Player {
    /// The node's id, 1 to 9: the key that attacks this player.
    pub id: NodeId,
    /// The node's name.
    pub name: String,
    /// 100 down to 0.
    pub hp: u32,
    /// Column and row on the board.
    pub square: (u16, u16),
}

/// What is left of a player who has left for good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ruin {
    /// The node's id. Another player may have it by now.
    pub id: NodeId,
    /// The node's name.
    pub name: String,
    /// Column and row on the board.
    pub square: (u16, u16),
}

impl Player {
    /// A new player, on the square that is theirs by number.
    pub fn new(id: NodeId, name: impl Into<String>) -> Player {
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        Player {
            id,
            name: name.into(),
            hp: FULL_HP,
            square: place
                .and_then(|place| SQUARES.get(place))
                .copied()
                .unwrap_or(SQUARES[0]),
        }
    }

    /// Whether the player has hit points left.
    pub fn alive(&self) -> bool {
        self.hp > 0
    }
}

/// The board: the state that every node computes from the same entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Game {
    players: Vec<Player>,
    /// Oldest first.
    ruins: Vec<Ruin>,
}

impl Game {
    /// A fresh board for these (id, name) pairs.
    pub fn new(players: impl IntoIterator<Item = (NodeId, String)>) -> Game {
        let mut players: Vec<Player> = players
            .into_iter()
            .map(|(id, name)| Player::new(id, name))
            .collect();
        players.sort_by_key(|player| player.id);
        Game {
            players,
            ruins: Vec::new(),
        }
    }

    /// A board with these on it, or one sentence about why there is none like it.
    pub fn restored(players: Vec<Player>, ruins: Vec<Ruin>) -> Result<Game, String> {
        if !players.is_sorted_by(|a, b| a.id < b.id) {
            return Err("its players are not in order".to_string());
        }
        for player in &players {
            if !(1..=MAX_PLAYERS).contains(&player.id) || player.hp > FULL_HP {
                return Err(format!(
                    "there is no player {} with {} hit points",
                    player.id, player.hp
                ));
            }
        }
        let taken = (players.iter().map(|player| player.square))
            .chain(ruins.iter().map(|ruin| ruin.square));
        let mut taken: Vec<(u16, u16)> = taken.collect();
        let count = taken.len();
        taken.sort_unstable();
        taken.dedup();
        let is_on_board = |&(column, row): &(u16, u16)| column < BOARD_SIZE && row < BOARD_SIZE;
        if taken.len() < count || !taken.iter().all(is_on_board) {
            return Err("its squares are not those of a board".to_string());
        }
        Ok(Game { players, ruins })
    }

    /// Every player, in the order of their ids.
    pub fn players(&self) -> &[Player] {
        &self.players
    }

    /// What is left of those who have gone, oldest first.
    pub fn ruins(&self) -> &[Ruin] {
        &self.ruins
    }

    /// A new player's square: their own, or the first that is free, or that of the oldest ruin.
    fn seat(&mut self, mut player: Player) -> Player {
        let is_taken = |square| {
            self.players.iter().any(|other| other.square == square)
                || self.ruins.iter().any(|ruin| ruin.square == square)
        };
        let all = (0..BOARD_SIZE).flat_map(|row| (0..BOARD_SIZE).map(move |column| (column, row)));
        let free = [player.square].into_iter().chain(SQUARES).chain(all);
        player.square = match free.into_iter().find(|&square| !is_taken(square)) {
            Some(square) => square,
            // Nine players leave seven squares, so that whoever is in the way is a ruin.
            None => self.ruins.remove(0).square,
        };
        player
    }

    /// Whom a command hits, or one sentence about what is wrong with it.
    fn target(&self, text: &str) -> Result<usize, String> {
        let id = text
            .strip_prefix("attack ")
            .filter(|id| id.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|id| id.parse::<NodeId>().ok())
            .ok_or_else(|| "the game knows one command: attack PLAYER".to_string())?;
        self.players
            .iter()
            .position(|player| player.id == id)
            .ok_or_else(|| format!("there is no player {id}"))
    }
}

impl StateMachine for Game {
    fn check(&self, text: &str) -> Result<(), String> {
        self.target(text).map(|_| ())
    }

    /// `hp 70` after a hit (`hp 0`: the player has just died), `already dead` when there was
    /// nothing to hit.
    fn apply(&mut self, text: &str) -> String {
        // Checked at the door, yet a log may hold anything that some version once accepted.
        let target = match self.target(text) {
            Ok(target) => &mut self.players[target],
            Err(reason) => return format!("refused: {reason}"),
        };
        if !target.alive() {
            return "already dead".to_string();
        }
        target.hp = target.hp.saturating_sub(DAMAGE);
        format!("hp {}", target.hp)
    }

    fn check_members(&self, configuration: &Configuration) -> Result<(), String> {
        match configuration.voters().find(|id| *id > MAX_PLAYERS) {
            Some(id) => Err(format!(
                "{id} can watch and not play: a player's id is 1 to {MAX_PLAYERS}, the key that \
                 attacks them"
            )),
            None => Ok(()),
        }
    }

    /// The players become the voters. While these are changing, nothing moves.
    fn configure(&mut self, configuration: &Configuration, founding: bool) {
        if configuration.is_joint() {
            return;
        }
        if founding {
            *self = Game::new([]);
        }
        let plays = |id: NodeId| id <= MAX_PLAYERS && configuration.is_voter(id);
        let (stay, go) = std::mem::take(&mut self.players)
            .into_iter()
            .partition(|player| plays(player.id));
        self.players = stay;
        let go: Vec<Player> = go;
        self.ruins.extend(go.into_iter().map(|player| Ruin {
            id: player.id,
            name: player.name,
            square: player.square,
        }));
        for (&id, member) in configuration.members() {
            if plays(id) && !self.players.iter().any(|player| player.id == id) {
                let player = self.seat(Player::new(id, &*member.name));
                self.players.push(player);
            }
        }
        self.players.sort_by_key(|player| player.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game() -> Game {
        Game::new((1..=3).map(|id| (id, format!("bob{id}"))))
    }

    #[test]
    fn four_attacks_kill_and_a_fifth_is_ignored() {
        let mut game = game();
        let outcomes: Vec<_> = (0..5).map(|_| game.apply("attack 2")).collect();
        assert_eq!(
            outcomes,
            ["hp 70", "hp 40", "hp 10", "hp 0", "already dead"]
        );
        assert_eq!(
            game.players().iter().map(|p| p.hp).collect::<Vec<_>>(),
            [100, 0, 100]
        );
        assert!(!game.players()[1].alive());
    }

    #[test]
    fn a_command_that_is_no_attack_on_a_player_is_refused() {
        let game = game();
        for text in [
            "",
            "attack",
            "attack ",
            "attack 4",
            "attack +1",
            "attack  1",
            "Attack 1",
            "attack 1 ",
            "attack 99999999999999999999",
        ] {
            assert!(game.check(text).is_err(), "{text:?}");
        }
        assert!(game.check("attack 3").is_ok());
    }

    fn voters(ids: &[NodeId]) -> Configuration {
        Configuration::of_voters(ids.iter().copied())
    }

    fn squares(game: &Game) -> Vec<(NodeId, (u16, u16))> {
        let players = game.players().iter();
        players.map(|player| (player.id, player.square)).collect()
    }

    #[test]
    fn the_founding_configuration_says_who_plays_whatever_the_node_was_told() {
        let (mut told, mut joiner) = (Game::new([(7, "eve".to_string())]), Game::new([]));
        for game in [&mut told, &mut joiner] {
            game.configure(&voters(&[1, 2]), true);
        }
        assert_eq!(told, joiner);
        assert_eq!(squares(&told), [(1, SQUARES[0]), (2, SQUARES[1])]);
    }

    #[test]
    fn who_comes_gets_a_free_square_and_who_goes_leaves_a_ruin() {
        let mut game = game();
        game.apply("attack 2");
        game.configure(&voters(&[1, 2, 4]), false);
        assert_eq!(game.players()[1].hp, 70);
        assert_eq!(squares(&game)[2], (4, SQUARES[3]));
        assert_eq!(game.ruins().len(), 1);
        assert_eq!(
            (game.ruins()[0].id, game.ruins()[0].square),
            (3, SQUARES[2])
        );
        assert_eq!(game.apply("attack 3"), "refused: there is no player 3");
        // A new player 3 is another one, and stands elsewhere.
        game.configure(&voters(&[1, 2, 3, 4]), false);
        assert_eq!(game.players()[2].hp, FULL_HP);
        assert_ne!(game.players()[2].square, SQUARES[2]);
        assert_eq!(game.ruins().len(), 1);
    }

    #[test]
    fn a_joint_configuration_moves_nobody() {
        let mut game = game();
        let joint = "1 voter a a:1;2 outgoing b b:1;3 voter c c:1;4 incoming d d:1";
        let joint = Configuration::parse(joint).unwrap();
        let before = game.clone();
        game.configure(&joint, false);
        assert_eq!(game, before);
        game.configure(&joint.left(), false);
        assert_eq!(
            squares(&game).iter().map(|s| s.0).collect::<Vec<_>>(),
            [1, 3, 4]
        );
    }

    #[test]
    fn the_oldest_ruins_give_way_when_the_board_is_full() {
        let mut game = Game::new([(1, "one".to_string())]);
        for round in 0..20 {
            let all: Vec<NodeId> = (1..=MAX_PLAYERS).collect();
            game.configure(&voters(&all), false);
            assert_eq!(game.players().len(), 9, "round {round}");
            let restored = Game::restored(game.players().to_vec(), game.ruins().to_vec());
            assert_eq!(restored.as_ref(), Ok(&game));
            game.configure(&voters(&[1]), false);
            let restored = Game::restored(game.players().to_vec(), game.ruins().to_vec());
            assert_eq!(restored, Ok(game.clone()));
        }
        assert!(game.ruins().len() >= 8);
    }

    #[test]
    fn only_nodes_with_a_key_can_play() {
        let game = game();
        assert!(game.check_members(&voters(&[1, 9])).is_ok());
        let refused = game.check_members(&voters(&[1, 10])).unwrap_err();
        assert!(refused.contains("1 to 9"), "{refused}");
    }

    #[test]
    fn no_two_players_share_a_square_and_all_are_on_the_board() {
        let mut squares = SQUARES.to_vec();
        squares.sort();
        squares.dedup();
        assert_eq!(squares.len(), SQUARES.len());
        assert!(
            squares
                .iter()
                .all(|&(column, row)| column < BOARD_SIZE && row < BOARD_SIZE)
        );
    }
}
