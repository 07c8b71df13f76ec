//! The classic board: up to nine players with 100 hit points each, and one command, `attack N`.
//!
//! The rules are the Raftian report's. An attack takes 30 hit points (100, 70, 40, 10, dead),
//! hit points stop at 0, and damage to the dead is ignored. Anyone may attack anyone, themselves
//! and friends included. The game is a [`StateMachine`]: it changes by committed entries only,
//! which is why every node shows the same board.
//!
//! Left out on purpose: who attacked. An order is the same text on every node and says whom it
//! hits; the identity of the sender belongs to the session table.

use crate::machine::StateMachine;
use crate::raft::NodeId;

/// Hit points at the start.
pub const FULL_HP: u32 = 100;
/// What one attack takes.
pub const DAMAGE: u32 = 30;
/// Columns and rows of the board.
pub const BOARD_SIZE: u16 = 4;
/// Keys 1 to 9 are all that a player has.
pub const MAX_PLAYERS: u64 = 9;

/// Where player N stands: (column, row), player 1 first. The first four are the report's.
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
}

impl Player {
    /// Whether the player has hit points left.
    pub fn alive(&self) -> bool {
        self.hp > 0
    }
}

/// The board: the state that every node computes from the same entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Game {
    players: Vec<Player>,
}

impl Game {
    /// A fresh board for these (id, name) pairs.
    pub fn new(players: impl IntoIterator<Item = (NodeId, String)>) -> Game {
        let mut players: Vec<Player> = players
            .into_iter()
            .map(|(id, name)| Player {
                id,
                name,
                hp: FULL_HP,
            })
            .collect();
        players.sort_by_key(|player| player.id);
        Game { players }
    }

    /// The same players, with these hit points by id; or one sentence about why that is another
    /// game.
    pub fn restored(&self, hp: &[(NodeId, u32)]) -> Result<Game, String> {
        let mut game = self.clone();
        if hp.len() != game.players.len() {
            let ours = game.players.len();
            return Err(format!("it has {} players, not {ours}", hp.len()));
        }
        for player in &mut game.players {
            let known = hp.iter().find(|(id, _)| *id == player.id);
            let &(_, hp) = known.ok_or_else(|| format!("it has no player {}", player.id))?;
            if hp > FULL_HP {
                return Err(format!("player {} has {hp} hit points", player.id));
            }
            player.hp = hp;
        }
        Ok(game)
    }

    /// Every player, in the order of their ids.
    pub fn players(&self) -> &[Player] {
        &self.players
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
