//! Stub.
use std::fmt;

/// A role's name, as people and other programs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Orders the log.
    Leader,
}

impl RoleName {
    /// `follower`, `candidate` or `leader`.
    pub fn as_str(self) -> &'static str {
        match self {
            RoleName::Follower => "follower",
            RoleName::Candidate => "candidate",
            RoleName::Leader => "leader",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<RoleName> {
        [RoleName::Follower, RoleName::Candidate, RoleName::Leader]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
