//! What happened in a run: the moments for which the simulator exists.
//!
//! A rule that holds in a world in which nothing happens says little. So whatever should happen now and
//! then is counted, and `make sim-night` shows that it did. Everything is seen from outside: nothing in
//! the nodes counts for this.

use std::fmt;

/// Something that should happen now and then.
macro_rules! markers {
    ($($name:ident => $text:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // Each says it in its own words.
        pub enum Marker {
            $($name,)+
        }

        impl Marker {
            /// Every marker.
            pub const ALL: &'static [Marker] = &[$(Marker::$name,)+];

            /// In words.
            pub fn text(self) -> &'static str {
                match self {
                    $(Marker::$name => $text,)+
                }
            }
        }
    };
}

markers! {
    Elected => "a leader is elected",
    ElectionFails => "an election comes to nothing, and the candidate tries again",
    PreVoteFails => "a node that asked in advance hears a leader, and follows it in the same term",
    VoteRefused => "a vote is refused",
    VoteWithheld => "a vote is withheld, because the voter hears a leader",
    StepsDownForTerm => "a leader hears of a later term",
    StepsDownForQuorum => "a leader hears no majority, and steps down",
    StepsDownForDisk => "a leader's disk is full, and it steps down",
    OldTermCommitted => "a leader commits an entry of an earlier term with one of its own",
    Overwritten => "entries are overwritten",
    ConflictInTerm => "a follower refuses an entry of another term",
    LogTooShort => "a follower's log is too short",
    Batch => "several entries go into one request",
    RequestTwice => "a request arrives twice",
    LateReply => "a reply arrives when nobody waits for it",
    LeaderFull => "a leader takes no more commands for now",
    SnapshotTaken => "a snapshot is taken",
    SnapshotInstalled => "a snapshot takes the place of a follower's state",
    SnapshotOverConflict => "a snapshot takes the place of a log that contradicts it",
    SnapshotInParts => "a snapshot comes in several parts",
    SnapshotAgain => "a snapshot's transfer begins again",
    StartFromSnapshot => "a node starts from a snapshot",
    TornTail => "a torn tail is repaired",
    FallsAmidSave => "a node falls amid a save",
    FallsBetweenActions => "a node falls between two actions",
    FallsAmidStart => "a node falls while it starts",
    PowerLost => "a machine loses its power",
    BitFlip => "a bit flips, and the node refuses to start",
    DiskFails => "a disk fails, and the node ends",
    DiskFull => "a save finds no room",
    SavesTogether => "several saves are made with one sync",
    Partition => "the network is split",
    Bridge => "two halves are connected by one node only",
    OneWay => "a link works in one direction only",
    Stranded => "a leader is cut off from a majority",
    Paused => "a node stops and goes on",
    Answered => "a client has its outcome",
    Repeated => "a command is applied once though it is in the log twice",
    SerialTooOld => "a serial is refused because it is too old",
    OutcomeUnknown => "a client is told that the outcome is unknown",
    NoLeader => "a client is told that there is no leader",
    Forwarded => "a follower forwards commands",
    ReadByLeader => "a leader serves a linearizable read",
    ReadByFollower => "a follower serves a linearizable read",
    ReadGivenUp => "a linearizable read is given up",
    LearnerAdded => "a learner is added",
    Joint => "a joint configuration is committed",
    Replaced => "a change brings voters and removes others",
    Promoted => "a learner becomes a voter",
    Removed => "a voter is removed",
    LeaderRemoved => "a leader that was removed steps down",
    JointFinished => "a new leader finishes the change of its predecessor",
    ConfigurationOverwritten => "a configuration is overwritten",
    JointOverwritten => "a joint configuration is overwritten",
    ChangeUnderWay => "a change is refused because another is under way",
    ChangeBehind => "a promotion is refused because the learner has not caught up",
    ChangeUnknown => "nobody can say what came of a change",
    JoinerFromSnapshot => "a joiner gets a snapshot",
    Transferred => "the leadership is handed over",
    TransferFails => "nobody takes the leadership over",
    StrangerRefused => "a node refuses a stranger",
    StrangerIntroduced => "a node hears from a member that a stranger is one",
    RemovedCampaigns => "a node that was removed asks for votes",
}

/// How often each of them happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers([u64; Marker::ALL.len()]);

impl Default for Markers {
    fn default() -> Markers {
        Markers([0; Marker::ALL.len()])
    }
}

impl Markers {
    /// It has happened once more.
    pub fn mark(&mut self, marker: Marker) {
        self.0[marker as usize] += 1;
    }

    /// How often it has happened.
    pub fn count(&self, marker: Marker) -> u64 {
        self.0[marker as usize]
    }

    /// What happened in another run happened as well.
    pub fn add(&mut self, other: &Markers) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum += count;
        }
    }
}

impl fmt::Display for Markers {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &marker in Marker::ALL {
            writeln!(f, "{:>12}  {}", self.count(marker), marker.text())?;
        }
        Ok(())
    }
}
