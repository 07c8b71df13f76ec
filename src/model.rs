//! Model checking: every state that a small cluster can reach, and not one left out.
//!
//! The simulator walks far along paths that chance has chosen. This walks all paths, near home: a
//! few servers, terms, entries, changes of the members, messages and crashes ([`Bounds`]), and within
//! these bounds whatever can happen next is tried, in every state, with stateright. The state contains
//! the shipped [`Raft`](crate::raft::Raft) and is changed by its public methods only (`world`), so what
//! is checked is this very core and not a description of it.
//!
//! Two states are one if they differ in nothing that can ever make a difference. What that is, is
//! said field by field in `raft::view` for the core and in `world` for the rest. What is merged:
//!
//! - *Time.* Deadlines are left out, and any node may lose patience at any moment. That is sound
//!   because the model has time pass in two ways only, each of which does the same whatever the
//!   deadlines were; a real cluster, in which they do matter, can do less.
//! - *The names of calls.* A packet says whether its caller still waits for it, which is all that
//!   the name is ever compared for.
//! - *The names of nodes.* A state and its mirror image have mirror images for successors, and no
//!   rule asks for a name. Who votes and who learns at the start is a part of the state, so a learner
//!   is no mirror image of a voter.
//!
//! Besides the state of nodes and wire, a state has the little history that the rules need: who has
//! led each term, and what has been committed. So a rule that is broken long after the witnesses
//! crashed is broken all the same. It forgets one thing: a lone voter that led a term which a crash took
//! from it before it was saved. Nobody has heard of that, which is a rule of its own.
//!
//! The rules are those of figure 3, and a few more that show a broken promise earlier. *Sometimes*
//! rules show that the model is not empty: a model in which nothing happens breaks no rule.
//!
//! Members change by joint consensus (section 6). A leader is asked for every change there is, and the
//! core says which of them it makes. The rules stay the same: whoever is elected, and whatever is
//! committed, by whichever configuration, there is one leader a term and one entry an index.
//!
//! What is found here holds for these bounds. Left out of the model altogether: snapshots, transfers
//! of the leadership, reads, nodes that start without a configuration, full disks, the driver, the
//! encodings, and liveness: that something good happens in the end is for the simulator to say. A state
//! is remembered by 64 bits; with ten million states the odds that two are taken for one, and something
//! is missed behind it, are less than one to a hundred thousand.
//!
//! The numbers of states, and the mistakes with the bounds at which they are found, are in `tests`.

mod tests;
mod world;

use stateright::{Model, Property};

use crate::planted::{self, Bug};
use crate::raft::{AppendOutcome, NodeId, Reply, Request, RoleName};
use world::{APPEND_ONLY, Action, COMMIT_GROWS, Message, Node, ONE_LEADER, SAFETY, World};

const COMPLETENESS: &str = "a leader has whatever earlier terms have committed";

/// How much can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many servers there are.
    pub servers: u64,
    /// The last term in which there is an election.
    pub terms: u64,
    /// How many of them, the last ones, begin as learners. The others vote.
    pub learners: u64,
    /// How many commands clients ask for. A new leader's own entry comes on top.
    pub commands: u64,
    /// How many changes of the members leaders are asked for.
    pub changes: u64,
    /// How many calls can be in flight, from the request to the arrival of the reply. One that was
    /// given up counts for as long as it can still arrive.
    pub messages: usize,
    /// What becomes of a step that would have more in flight. If this is set, any of them are lost
    /// until the rest fits. If not, the step waits until there is room; room can always be made, by
    /// losing something first. The difference is whether an old message can outlive an election, in
    /// which every other server is asked at once.
    pub crowded: bool,
    /// How many crashes there are in all.
    pub crashes: u64,
    /// How often, in all, a heartbeat interval passes for which a node has something to send: a
    /// leader's heartbeats, and requests that are sent again. `None`: without end.
    pub beats: Option<u64>,
    /// Whether a request can arrive after its caller has given it up.
    pub late: bool,
    /// Whether a save takes time, so that a crash can lose it.
    pub slow_disks: bool,
    /// How many saves a node can have under way.
    pub saves: usize,
    /// How many entries go into one AppendEntries.
    pub batch: usize,
}

/// A cluster within bounds, perhaps with a mistake in it.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub bounds: Bounds,
    pub bug: Option<Bug>,
}

impl Model for Cluster {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![planted::with(self.bug, || World::new(&self.bounds))]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(&self.bounds, actions);
    }

    // Mistakes are planted for each step, because the checker has threads of its own.
    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        planted::with(self.bug, || world.after(action, &self.bounds))
    }

    fn properties(&self) -> Vec<Property<Cluster>> {
        vec![
            Property::always(ONE_LEADER, |_, world: &World| {
                world.history.broken != Some(ONE_LEADER)
            }),
            Property::always(APPEND_ONLY, |_, world: &World| {
                world.history.broken != Some(APPEND_ONLY)
            }),
            Property::always(COMPLETENESS, |_, world| leaders_are_complete(world)),
            Property::always(SAFETY, |_, world: &World| {
                world.history.broken != Some(SAFETY) && commits_agree(world)
            }),
            Property::always("logs match", |_, world| logs_match(world)),
            Property::always(COMMIT_GROWS, |_, world: &World| {
                world.history.broken != Some(COMMIT_GROWS)
            }),
            Property::always("who has voted remembers it", |_, world| {
                votes_are_remembered(world)
            }),
            Property::always("who asks remembers the term", |_, world| {
                terms_are_remembered(world)
            }),
            Property::always("what is acknowledged is on disk", |_, world| {
                acknowledgements_are_true(world)
            }),
            Property::always("who knows that it has left does not lead", |_, world| {
                no_leader_has_left(world)
            }),
            Property::sometimes("the last term has a leader", last_term_has_a_leader),
            Property::sometimes("all is committed, everywhere", all_is_committed),
            // The leader of a single term contradicts nobody; and where no more than two vote at
            // first, whoever is elected has the votes of all whose logs could contradict it.
            Property::sometimes("two logs contradict each other", |cluster, world| {
                let Bounds {
                    servers, learners, ..
                } = cluster.bounds;
                cluster.bounds.terms == 1 || servers - learners < 3 || logs_differ(world)
            }),
            Property::sometimes(
                "a change is done, and all its members know it",
                |cluster, world| cluster.bounds.changes == 0 || a_change_is_done(world),
            ),
            Property::sometimes("a leader that has left follows", |cluster, world| {
                cluster.bounds.changes == 0 || a_leader_has_left(world)
            }),
            // So a configuration counts that will be overwritten.
            Property::sometimes(
                "a configuration is in a log and will be overwritten",
                |cluster, world| {
                    let Bounds {
                        servers, learners, ..
                    } = cluster.bounds;
                    cluster.bounds.changes == 0
                        || cluster.bounds.terms == 1
                        || servers - learners < 3
                        || a_configuration_is_lost(world)
                },
            ),
        ]
    }
}

fn last_term_has_a_leader(cluster: &Cluster, world: &World) -> bool {
    let standing = world.nodes.iter();
    let mut standing = standing.map(|node| (node.core.role(), node.core.current_term()));
    standing.any(|standing| standing == (RoleName::Leader, cluster.bounds.terms))
}

/// Every command, every change, and a leader's own entry, on all that are members in the end.
fn all_is_committed(cluster: &Cluster, world: &World) -> bool {
    let all = cluster.bounds.commands + cluster.bounds.changes + 1;
    let members = world.nodes.iter().filter(|node| !has_left(node));
    let mut members = members.map(|node| node.core.commit_index());
    members.all(|commit_index| commit_index >= all)
}

/// Whether a node knows itself to be no member any more.
fn has_left(node: &Node) -> bool {
    let core = &node.core;
    core.configured_at() <= core.commit_index() && !core.configuration().contains(core.id())
}

/// A leader steps down when it has committed the configuration that leaves it out (section 6).
fn no_leader_has_left(world: &World) -> bool {
    let mut leaders = (world.nodes.iter()).filter(|node| node.core.role() == RoleName::Leader);
    !leaders.any(|node| has_left(node))
}

/// C_new is committed, and known to be on each of its members.
fn a_change_is_done(world: &World) -> bool {
    let committed = world.history.committed.iter().rev();
    let mut configurations = committed.filter_map(|(entry, _)| {
        let configuration = entry.payload.configuration()?;
        Some((entry.index, configuration))
    });
    configurations.next().is_some_and(|(index, configuration)| {
        let mut members = configuration.members().keys();
        !configuration.is_joint() && members.all(|&id| world.node(id).core.commit_index() >= index)
    })
}

/// Whoever led its term has left, in that very term.
fn a_leader_has_left(world: &World) -> bool {
    world.nodes.iter().any(|node| {
        let core = &node.core;
        has_left(node) && world.history.leader(core.current_term()) == Some(core.id())
    })
}

/// Some log has a configuration where something else is committed.
fn a_configuration_is_lost(world: &World) -> bool {
    let lost = |node: &Node| {
        world.history.committed.iter().any(|(entry, _)| {
            let own = node.core.log().get(entry.index);
            own.is_some_and(|own| own != entry && own.payload.configuration().is_some())
        })
    };
    world.nodes.iter().any(|node| lost(node))
}

/// Log matching: same index and term, same entry and same predecessors. In memory and on disk.
fn logs_match(world: &World) -> bool {
    let in_memory = world.nodes.iter().map(|node| node.core.log());
    let on_disk = world.nodes.iter().map(|node| &node.disk.log);
    let logs: Vec<_> = in_memory.chain(on_disk).map(|log| log.from(1)).collect();
    logs.iter().enumerate().all(|(i, one)| {
        logs[..i].iter().all(|other| {
            let shared = one.iter().zip(*other).rposition(|(a, b)| a.term == b.term);
            shared.is_none_or(|last| one[..=last] == other[..=last])
        })
    })
}

/// Whether some servers have different entries at one index.
fn logs_differ(world: &World) -> bool {
    let differ = |one: &Node, other: &Node| {
        let logs = (one.core.log().from(1).iter()).zip(other.core.log().from(1));
        logs.into_iter().any(|(a, b)| a != b)
    };
    let nodes = &world.nodes;
    nodes
        .iter()
        .any(|one| nodes.iter().any(|other| differ(one, other)))
}

/// Leader completeness.
fn leaders_are_complete(world: &World) -> bool {
    let mut leaders = world
        .nodes
        .iter()
        .filter(|node| node.core.role() == RoleName::Leader);
    leaders.all(|node| {
        world.history.committed.iter().all(|(entry, term)| {
            node.core.current_term() <= *term || node.core.log().get(entry.index) == Some(entry)
        })
    })
}

/// What a node takes for committed is what was committed.
fn commits_agree(world: &World) -> bool {
    world.nodes.iter().all(|node| {
        let committed = node.core.commit_index() as usize;
        let log = node.core.log().from(1);
        let history = &world.history.committed;
        committed <= history.len()
            && committed <= log.len()
            && log[..committed]
                .iter()
                .eq(history[..committed].iter().map(|(entry, _)| entry))
    })
}

/// Whoever voted for a candidate of this term has it on disk and in memory.
fn votes_are_remembered(world: &World) -> bool {
    world.wire.iter().all(|packet| {
        let (voter, candidate, term) = match &packet.message {
            Message::Request(request @ Request::RequestVote(_)) => {
                (packet.caller, packet.caller, request.term())
            }
            Message::Reply(Reply::RequestVote(reply)) if reply.vote_granted => {
                (packet.callee, packet.caller, reply.term)
            }
            _ => return true,
        };
        let node = world.node(voter);
        let remembers = |current: u64, vote: Option<NodeId>| {
            current > term || (current == term && vote == Some(candidate))
        };
        let on_disk = node.disk.hard_state;
        remembers(on_disk.current_term, on_disk.voted_for)
            && remembers(node.core.current_term(), node.core.voted_for())
    })
}

/// Whoever asks for anything in a term has that term on disk.
fn terms_are_remembered(world: &World) -> bool {
    world.wire.iter().all(|packet| match &packet.message {
        Message::Request(request) => {
            world.node(packet.caller).disk.hard_state.current_term >= request.term()
        }
        Message::Reply(_) => true,
    })
}

/// Whoever acknowledged an entry in this term has it on disk.
fn acknowledgements_are_true(world: &World) -> bool {
    world.wire.iter().all(|packet| {
        let Message::Reply(Reply::AppendEntries(reply)) = &packet.message else {
            return true;
        };
        let AppendOutcome::Matched(index) = reply.outcome else {
            return true;
        };
        let disk = &world.node(packet.callee).disk;
        disk.hard_state.current_term > reply.term
            || (disk.hard_state.current_term == reply.term && disk.log.last_index() >= index)
    })
}
