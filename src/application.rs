//! Which state machine a cluster replicates.
//!
//! A node is built once and runs either. The seam is this enum and not a type parameter, because
//! whichever it is is known only when the configuration has been read, and everything around it, from the
//! snapshots to the methods, is the same.
//!
//! A method of one machine that is called on a node of the other is refused, and nothing is appended. All
//! nodes of a cluster run the same one; whoever joins is told which.

use std::fmt;

use crate::game::Game;
use crate::kv::{Operation, Store};
use crate::machine::StateMachine;
use crate::raft::Configuration;

/// The kinds that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The board: [`crate::game`].
    Game,
    /// The key-value store: [`crate::kv`].
    Kv,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 2] = [Kind::Game, Kind::Kv];

    /// Its name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Game => "game",
            Kind::Kv => "kv",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether a command is one of this machine's, whatever its operands are.
    pub fn speaks(self, command: &str) -> bool {
        match self {
            Kind::Game => command.starts_with("attack "),
            Kind::Kv => Operation::parse(command).is_ok(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Game => f.write_str("the game"),
            Kind::Kv => f.write_str("the key-value store"),
        }
    }
}

/// A state machine of one of the kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Application {
    /// The board.
    Game(Game),
    /// The key-value store.
    Store(Store),
}

impl From<Game> for Application {
    fn from(game: Game) -> Application {
        Application::Game(game)
    }
}

impl From<Store> for Application {
    fn from(store: Store) -> Application {
        Application::Store(store)
    }
}

impl Application {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Application::Game(_) => Kind::Game,
            Application::Store(_) => Kind::Kv,
        }
    }

    /// The board, if this is the game.
    pub fn game(&self) -> Option<&Game> {
        match self {
            Application::Game(game) => Some(game),
            Application::Store(_) => None,
        }
    }
}

impl StateMachine for Application {
    fn check(&self, text: &str) -> Result<(), String> {
        match self {
            Application::Game(game) => game.check(text),
            Application::Store(store) => store.check(text),
        }
    }

    fn apply(&mut self, text: &str) -> String {
        match self {
            Application::Game(game) => game.apply(text),
            Application::Store(store) => store.apply(text),
        }
    }

    fn check_members(&self, configuration: &Configuration) -> Result<(), String> {
        match self {
            Application::Game(game) => game.check_members(configuration),
            Application::Store(store) => store.check_members(configuration),
        }
    }

    fn configure(&mut self, configuration: &Configuration, founding: bool) {
        match self {
            Application::Game(game) => game.configure(configuration, founding),
            Application::Store(store) => store.configure(configuration, founding),
        }
    }
}
