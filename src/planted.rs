//! Deliberate mistakes, for the tests that show that the simulator can fail.
//!
//! A simulator that has never caught anything proves nothing. `planted!(Name)` marks the one line
//! at which a well-known mistake would be made; it is the constant `false` except in this crate's
//! own unit tests, which plant one mistake at a time and demand that it is caught.

#[cfg(not(test))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(test)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_planted($crate::planted::Bug::$bug)
    };
}

/// An assertion about our own code. It is silent while a mistake is planted, so that the mistake
/// has to be caught by what the simulator checks of any implementation.
macro_rules! check {
    ($condition:expr, $($message:tt)+) => {
        assert!($condition || $crate::planted::any(), $($message)+)
    };
}

/// Whether any mistake is planted; never outside this crate's own unit tests.
#[cfg(not(test))]
pub fn any() -> bool {
    false
}

/// Whether any mistake is planted on this thread.
#[cfg(test)]
pub fn any() -> bool {
    PLANTED.get().is_some()
}

/// The mistakes, each with the rule that it breaks.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A node votes for every candidate of a term.
    VoteTwice,
    /// A vote is given whatever the candidate's log lacks (5.4.1).
    LogIgnored,
    /// Logs are compared by their length only (5.4.1).
    IndexBeforeTerm,
    /// A refusal counts as a vote.
    RefusalIsAVote,
    /// Everything after `prev_log_index` is deleted on each append.
    TruncateAlways,
    /// A follower commits beyond what the request has verified.
    CommitPastVerified,
    /// An acknowledgement names the follower's last index, not the end of the request.
    AcknowledgeLastIndex,
    /// An entry of an earlier term is committed by counting (5.4.2, figure 8).
    CommitEarlierTerm,
    /// The leader counts its own entry before it is on disk.
    CountUnsaved,
    /// The vote of the last term is kept in the next.
    VoteKept,
    /// A leader asks a peer whose log conflicts the same question again.
    HintIgnored,
    /// Replies leave before the save that they promise.
    PromiseBeforeSave,
    /// A vote, or a request for votes, leaves before it is saved.
    VoteBeforeSave,
    /// An acknowledgement leaves before the entries are saved.
    AcknowledgeBeforeSave,
    /// A client is answered when its command is appended, not when it is applied.
    AnswerBeforeCommit,
    /// A repeated command is applied again.
    ForgetSessions,
    /// The codec drops `prev_log_term`.
    DropPrevLogTerm,
    /// A restarted node forgets whom it voted for.
    ForgetVote,
    /// A follower takes the leader's commit index before it has compared the logs.
    CommitBeforeMatch,
    /// A new term is saved only together with a vote.
    TermNotSaved,
    /// A new leader appends no entry of its own term.
    NoNoop,
    /// A follower's election timer runs on though it hears the leader.
    TimerRunsOn,
    /// A leader says that it has appended a whole forward when it has left one command out.
    ForwardLosesOne,
    /// A command that was overwritten is not sent again.
    OverwrittenForgotten,
    /// A snapshot that is older than what is committed is installed all the same.
    InstallOld,
    /// A batch of the log is not synced.
    LogNotSynced,
    /// Term and vote are not synced.
    VoteNotSynced,
    /// The directory is not synced after a file got its name.
    DirectoryNotSynced,
    /// A file gets its name before what is in it is synced.
    RenamedBeforeSync,
    /// A sync that failed is taken for done.
    FailedSyncForgiven,
    /// Entries are on the disk before the term that they carry.
    EntriesBeforeTerm,
    /// The log is cut before the snapshot that stands for it is safe.
    LogCutBeforeSnapshot,
    /// What found no room is taken for saved.
    FullTakenForSaved,
    /// Whatever follows damage is left out, as if it had never been finished.
    DamageCut,
    /// A start finds an entry that was overwritten, and not the one that took its place.
    OverwrittenKept,
    /// Entries that conflict with a leader's snapshot are kept behind it.
    LogKeptOverSnapshot,
    /// A snapshot leaves out which commands were applied.
    SessionsLeftOut,
    /// A vote that is only asked for in advance is given in earnest.
    PreVoteInEarnest,
    /// Of several who wait for one command, only the first is answered.
    WaiterForgotten,
    /// A lone voter sends entries of a term that it has not saved.
    TermSentUnsaved,
    /// A node that hears a leader votes for others all the same.
    VoteDespiteLeader,
    /// A leader that hears no majority leads on.
    LeadsAlone,
    /// In a joint configuration the new majority decides alone.
    SingleMajority,
    /// A configuration counts from the moment at which it is applied, not appended.
    ConfigurationWhenApplied,
    /// A configuration goes on counting when its entry has been overwritten.
    ConfigurationKept,
    /// A leader changes the members before it has committed an entry of its own term.
    ChangeTooEarly,
    /// A change begins before the one before is done.
    ChangeTwice,
    /// A leader whom the committed configuration leaves out goes on leading.
    RemovedLeads,
    /// A node that does not know yet that it votes gives no vote.
    OnlyVotersVote,
    /// A read is served without asking anybody whether this node still leads.
    ReadUnconfirmed,
    /// An answer to a request that was sent before the read counts as its confirmation.
    ReadInOldRound,
    /// A new leader serves reads before it knows what is committed.
    ReadTooEarly,
    /// A node serves a read before it has applied as much as the read asks for.
    ReadBeforeApplied,
    /// A leader hands over to somebody who lacks entries, and takes commands meanwhile.
    HandedOverTooEarly,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether this thread runs with that mistake.
#[cfg(test)]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Makes that mistake, on this thread, while `f` runs.
#[cfg(test)]
pub fn with<T>(bug: Option<Bug>, f: impl FnOnce() -> T) -> T {
    PLANTED.set(bug);
    let result = f();
    PLANTED.set(None);
    result
}
