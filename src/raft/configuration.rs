//! Who belongs to the cluster (section 6), as a value.
//!
//! A configuration says of each member how to reach it and where it stands. Voters decide. Learners
//! get the log and decide nothing: new nodes that are catching up, and spectators. While voters
//! change, the configuration is *joint*: some voters are outgoing, some incoming, and whatever is
//! decided needs a majority of the old voters and a majority of the new ones.
//!
//! ```text
//! C_old      voters 1 2 3                   members 1 2 3
//! C_old,new  1 2 stay, 3 goes, 4 comes      members 1 2 -3 +4
//! C_new      voters 1 2 4                   members 1 2 4
//! ```
//!
//! This leaf computes: quorums, the next configuration, one text for every place that keeps one. When
//! a configuration counts, and when it may change, is decided in `membership`.
//!
//! Names and addresses mean nothing to Raft. They are replicated with the rest, so that every member
//! can call every other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{NodeId, quorum};

/// Most members of one configuration. It bounds what one entry takes in a message.
pub const MAX_MEMBERS: usize = 32;
/// The largest id of a member. Small enough for every number format, and for people.
pub const MAX_NODE_ID: NodeId = 999_999;
/// Longest name of a member, in bytes.
pub const MAX_NAME_BYTES: usize = 32;
/// Longest address of a member, in bytes: a host's name, a colon and a port.
pub const MAX_ADDRESS_BYTES: usize = 253 + 6;

/// An upper bound of a configuration's text, in bytes.
pub const MAX_CONFIGURATION_BYTES: usize =
    MAX_MEMBERS * (6 + 1 + 8 + 1 + MAX_NAME_BYTES + 1 + MAX_ADDRESS_BYTES + 1);

/// Everyone who belongs to the cluster.
///
/// Empty for a node that has not been told yet to which cluster it belongs. Such a node decides
/// nothing. serde writes and reads its [text](Configuration::text).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Configuration {
    members: BTreeMap<NodeId, Member>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// 1 to 32 letters, digits, `-` and `_`; unique among the members.
    pub name: String,
    /// Where it is called: printable, without spaces; unique among the members.
    pub address: String,
    /// What it decides.
    pub standing: Standing,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Votes; in a joint configuration, among the old voters and among the new ones.
    Voter,
    /// In a joint configuration: votes among the new ones only.
    Incoming,
    /// In a joint configuration: votes among the old ones only, and is no member afterwards.
    Outgoing,
    /// Gets the log and does not vote.
    Learner,
}

/// A change of the members, in one step: all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// New members, which begin as learners.
    #[serde(default)]
    pub add: BTreeMap<NodeId, (String, String)>,
    /// Learners that become voters.
    #[serde(default)]
    pub promote: BTreeSet<NodeId>,
    /// Members that leave.
    #[serde(default)]
    pub remove: BTreeSet<NodeId>,
}

/// Why a change cannot be made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotChanged {
    /// This node does not lead; it may know who does.
    NotLeader(Option<NodeId>),
    /// The leader has not committed an entry of its own term yet, or is handing its office over.
    NotYet,
    /// An earlier change is not finished.
    UnderWay,
    /// There is no such member.
    Unknown(NodeId),
    /// There is such a member already.
    Known(NodeId),
    /// That member's name or address belongs to another one.
    Taken(NodeId, NodeId),
    /// It votes already.
    Votes(NodeId),
    /// It has not caught up with the log.
    Behind(NodeId),
    /// Nobody would be left to vote.
    LastVoter,
    /// There would be more than [`MAX_MEMBERS`].
    TooMany,
    /// The change says nothing, or two things of one node.
    Nonsense(&'static str),
}

impl fmt::Display for NotChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotChanged::NotLeader(_) => f.write_str("this node does not lead"),
            NotChanged::NotYet => {
                f.write_str("the leader has only just been elected, or is handing over: try again")
            }
            NotChanged::UnderWay => {
                f.write_str("another change is under way: try again when it is done")
            }
            NotChanged::Unknown(id) => write!(f, "there is no member {id}"),
            NotChanged::Known(id) => write!(f, "there is a member {id} already"),
            NotChanged::Taken(id, other) => {
                write!(
                    f,
                    "the name or the address of {id} is that of member {other}"
                )
            }
            NotChanged::Votes(id) => write!(f, "member {id} votes already"),
            NotChanged::Behind(id) => {
                write!(
                    f,
                    "member {id} has not caught up yet: try again when it has"
                )
            }
            NotChanged::LastVoter => f.write_str("the last voter cannot leave"),
            NotChanged::TooMany => write!(f, "a cluster has at most {MAX_MEMBERS} members"),
            NotChanged::Nonsense(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for NotChanged {}

impl Configuration {
    /// These members, if that is a configuration; otherwise one sentence about why not.
    pub fn new(members: BTreeMap<NodeId, Member>) -> Result<Configuration, String> {
        if members.len() > MAX_MEMBERS {
            return Err(format!("it has {} members", members.len()));
        }
        for (&id, member) in &members {
            check_member(id, &member.name, &member.address)?;
            let same =
                |other: &Member| member.name == other.name || member.address == other.address;
            if members.iter().any(|(&other, m)| other < id && same(m)) {
                return Err(format!(
                    "member {id} has the name or the address of another"
                ));
            }
        }
        let configuration = Configuration { members };
        let voters = (configuration.old_voters().next()).zip(configuration.new_voters().next());
        if voters.is_none() {
            return Err("it has no voters".to_string());
        }
        Ok(configuration)
    }

    /// Voters with these ids, whose names and addresses are made up: for whoever has no network.
    pub fn of_voters(ids: impl IntoIterator<Item = NodeId>) -> Configuration {
        let member = |id| {
            let member = Member {
                name: format!("node{id}"),
                address: format!("node{id}:1"),
                standing: Standing::Voter,
            };
            (id, member)
        };
        Configuration {
            members: ids.into_iter().map(member).collect(),
        }
    }

    /// Every member, in the order of the ids.
    pub fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// Whether there is such a member.
    pub fn contains(&self, id: NodeId) -> bool {
        self.members.contains_key(&id)
    }

    /// Whether voters are changing.
    pub fn is_joint(&self) -> bool {
        let changes = |m: &Member| matches!(m.standing, Standing::Incoming | Standing::Outgoing);
        self.members.values().any(changes)
    }

    /// Whether that node votes, among the old voters or the new ones.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.standing(id)
            .is_some_and(|standing| standing != Standing::Learner)
    }

    /// Where that member stands.
    pub fn standing(&self, id: NodeId) -> Option<Standing> {
        self.members.get(&id).map(|member| member.standing)
    }

    /// Whoever votes, among the old voters or the new ones.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> {
        self.those(|standing| standing != Standing::Learner)
    }

    /// The voters of C_new: all of them, but for the outgoing ones.
    pub fn new_voters(&self) -> impl Iterator<Item = NodeId> {
        self.those(|standing| matches!(standing, Standing::Voter | Standing::Incoming))
    }

    /// The voters of C_old: all of them, but for the incoming ones.
    pub fn old_voters(&self) -> impl Iterator<Item = NodeId> {
        self.those(|standing| matches!(standing, Standing::Voter | Standing::Outgoing))
    }

    fn those(&self, which: impl Fn(Standing) -> bool) -> impl Iterator<Item = NodeId> {
        self.members
            .iter()
            .filter(move |(_, member)| which(member.standing))
            .map(|(&id, _)| id)
    }

    /// Whether those for whom `has` is true decide: a majority of the old voters, and one of the
    /// new. Without voters nobody decides.
    pub fn has_quorum(&self, has: impl Fn(NodeId) -> bool) -> bool {
        self.reached(|id| u64::from(has(id))) > 0
    }

    /// The highest index that a quorum has reached, given each voter's own; 0 without voters.
    pub fn reached(&self, index: impl Fn(NodeId) -> u64) -> u64 {
        let new: Vec<u64> = self.new_voters().map(&index).collect();
        let old: Vec<u64> = self.old_voters().map(&index).collect();
        if new.is_empty() || old.is_empty() {
            return 0;
        }
        if planted!(SingleMajority) {
            return quorum::reached(new);
        }
        quorum::reached(new).min(quorum::reached(old))
    }

    /// The configuration after the change: joint where voters change.
    pub fn changed(&self, change: &Change) -> Result<Configuration, NotChanged> {
        let Change {
            add,
            promote,
            remove,
        } = change;
        if add.is_empty() && promote.is_empty() && remove.is_empty() {
            return Err(NotChanged::Nonsense("the change changes nothing"));
        }
        if promote.iter().any(|id| remove.contains(id)) {
            return Err(NotChanged::Nonsense(
                "one and the same member is to vote and to leave",
            ));
        }
        let mut members = self.members.clone();
        for id in remove {
            match members.get_mut(id) {
                None => return Err(NotChanged::Unknown(*id)),
                Some(member) if member.standing == Standing::Learner => {
                    members.remove(id);
                }
                Some(member) => member.standing = Standing::Outgoing,
            }
        }
        for id in promote {
            match members.get_mut(id) {
                None => return Err(NotChanged::Unknown(*id)),
                Some(member) if member.standing == Standing::Learner => {
                    member.standing = Standing::Incoming;
                }
                Some(_) => return Err(NotChanged::Votes(*id)),
            }
        }
        for (&id, (name, address)) in add {
            if self.contains(id) {
                return Err(NotChanged::Known(id));
            }
            if check_member(id, name, address).is_err() {
                return Err(NotChanged::Nonsense(
                    "a member has an id from 1 to 999999, a name of 1 to 32 letters, digits, - and \
                     _, and an address HOST:PORT",
                ));
            }
            let same = |m: &Member| m.name.eq_ignore_ascii_case(name) || m.address == *address;
            if let Some((&other, _)) = members.iter().find(|(_, member)| same(member)) {
                return Err(NotChanged::Taken(id, other));
            }
            let member = Member {
                name: name.clone(),
                address: address.clone(),
                standing: Standing::Learner,
            };
            members.insert(id, member);
        }
        let changed = Configuration { members };
        if changed.new_voters().next().is_none() {
            return Err(NotChanged::LastVoter);
        }
        if changed.members.len() > MAX_MEMBERS {
            return Err(NotChanged::TooMany);
        }
        Ok(changed)
    }

    /// C_new: what follows a joint configuration. An empty change, so that nothing of it can be
    /// applied twice.
    pub fn left(&self) -> Configuration {
        let after = |(&id, member): (&NodeId, &Member)| {
            let standing = match member.standing {
                Standing::Voter | Standing::Incoming => Standing::Voter,
                Standing::Learner => Standing::Learner,
                Standing::Outgoing => return None,
            };
            let member = Member {
                standing,
                ..member.clone()
            };
            Some((id, member))
        };
        Configuration {
            members: self.members.iter().filter_map(after).collect(),
        }
    }

    /// The configuration as one line that is read again by [`Configuration::parse`]:
    /// `1 voter bob1 127.0.0.1:8001;2 ...`.
    pub fn text(&self) -> String {
        let member = |(id, member): (&NodeId, &Member)| {
            let Member {
                name,
                address,
                standing,
            } = member;
            format!("{id} {} {name} {address}", standing.as_str())
        };
        let members: Vec<String> = self.members.iter().map(member).collect();
        members.join(";")
    }

    /// Reads [`Configuration::text`], or says in one sentence what is wrong with it. Nothing is
    /// taken on trust, and each configuration has one text.
    pub fn parse(text: &str) -> Result<Configuration, String> {
        if text.len() > MAX_CONFIGURATION_BYTES {
            return Err("it is too long".to_string());
        }
        let mut members = BTreeMap::new();
        let mut last = 0;
        for part in text.split(';') {
            let fields: Vec<&str> = part.split(' ').collect();
            let [id, standing, name, address] = fields[..] else {
                return Err("a member is ID STANDING NAME ADDRESS".to_string());
            };
            let parsed: NodeId = id.parse().map_err(|_| "an id is no number".to_string())?;
            if parsed.to_string() != id || parsed <= last {
                return Err("its ids are not in order".to_string());
            }
            last = parsed;
            let member = Member {
                name: name.to_string(),
                address: address.to_string(),
                standing: Standing::parse(standing)
                    .ok_or("a standing is voter, incoming, outgoing or learner")?,
            };
            members.insert(parsed, member);
        }
        Configuration::new(members)
    }
}

impl Serialize for Configuration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Configuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match &*String::deserialize(deserializer)? {
            "" => Ok(Configuration::default()),
            text => Configuration::parse(text).map_err(serde::de::Error::custom),
        }
    }
}

impl fmt::Display for Configuration {
    /// For people: `members 1 2 -3 +4 ~9`. 3 goes, 4 comes, 9 is a learner.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("members")?;
        for (id, member) in &self.members {
            let sign = match member.standing {
                Standing::Voter => "",
                Standing::Incoming => "+",
                Standing::Outgoing => "-",
                Standing::Learner => "~",
            };
            write!(f, " {sign}{id}")?;
        }
        Ok(())
    }
}

impl Standing {
    /// `voter`, `incoming`, `outgoing` or `learner`.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Voter => "voter",
            Standing::Incoming => "incoming",
            Standing::Outgoing => "outgoing",
            Standing::Learner => "learner",
        }
    }

    /// The standing of that name.
    pub fn parse(name: &str) -> Option<Standing> {
        [
            Standing::Voter,
            Standing::Incoming,
            Standing::Outgoing,
            Standing::Learner,
        ]
        .into_iter()
        .find(|standing| standing.as_str() == name)
    }
}

/// Whether somebody like this can be a member, or one sentence about why not.
pub fn check_member(id: NodeId, name: &str, address: &str) -> Result<(), String> {
    if !(1..=MAX_NODE_ID).contains(&id) {
        return Err(format!(
            "an id is a number from 1 to {MAX_NODE_ID}, not {id}"
        ));
    }
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_name) {
        return Err(format!("the name of member {id} is none"));
    }
    let is_address =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b';' | b'&' | b'<' | b'>' | b'\\');
    if !(1..=MAX_ADDRESS_BYTES).contains(&address.len()) || !address.bytes().all(is_address) {
        return Err(format!("the address of member {id} is none"));
    }
    Ok(())
}

/// The configurations that may still matter, by the index of their entries.
///
/// The latest counts (section 6: a server uses the latest configuration in its log, whether or not
/// it is committed). The ones before it are there for the case that the latest is overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Configurations {
    /// Oldest first, never empty. The first is known to be committed.
    kept: Vec<(u64, Arc<Configuration>)>,
}

impl Configurations {
    /// A history that begins with what counts at that index.
    pub fn new(index: u64, first: Arc<Configuration>) -> Configurations {
        Configurations {
            kept: vec![(index, first)],
        }
    }

    /// The latest, and the index of its entry; 0: the one with which the node was started.
    pub fn latest(&self) -> (u64, &Arc<Configuration>) {
        let (index, configuration) = self.kept.last().expect("one is always kept");
        (*index, configuration)
    }

    /// The one that counted at that index. Asked only of what is committed.
    pub fn at(&self, index: u64) -> &Arc<Configuration> {
        let before = self.kept.iter().rev().find(|(at, _)| *at <= index);
        &before.unwrap_or(&self.kept[0]).1
    }

    /// The one that is committed last, and those after it.
    pub fn since(&self, commit_index: u64) -> &[(u64, Arc<Configuration>)] {
        let committed = self.kept.iter().rposition(|(at, _)| *at <= commit_index);
        &self.kept[committed.unwrap_or(0)..]
    }

    /// An entry with a configuration has been appended.
    pub fn append(&mut self, index: u64, configuration: Arc<Configuration>) {
        check!(index > self.latest().0, "configurations follow each other");
        self.kept.push((index, configuration));
    }

    /// The entry at `first` and all after it are gone, and their configurations with them.
    pub fn truncate(&mut self, first: u64) {
        if !planted!(ConfigurationKept) {
            let kept = self.kept.partition_point(|(at, _)| *at < first);
            self.kept.truncate(kept.max(1));
        }
    }

    /// What is committed up to that index can never be rolled back.
    pub fn forget(&mut self, committed: u64) {
        let needed = self.kept.iter().rposition(|(at, _)| *at <= committed);
        self.kept.drain(..needed.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(ids: &[NodeId]) -> BTreeSet<NodeId> {
        ids.iter().copied().collect()
    }

    fn add(id: NodeId) -> Change {
        Change {
            add: BTreeMap::from([(id, (format!("new{id}"), format!("new{id}:1")))]),
            ..Change::default()
        }
    }

    fn with_learners(voters: u64, learners: &[NodeId]) -> Configuration {
        let voters = Configuration::of_voters(1..=voters);
        learners
            .iter()
            .fold(voters, |c, &id| c.changed(&add(id)).unwrap())
    }

    #[test]
    fn voters_change_by_way_of_a_joint_configuration() {
        let before = with_learners(3, &[4]);
        assert_eq!(before.to_string(), "members 1 2 3 ~4");
        let change = Change {
            promote: ids(&[4]),
            remove: ids(&[3]),
            ..Change::default()
        };
        let joint = before.changed(&change).unwrap();
        assert_eq!(joint.to_string(), "members 1 2 -3 +4");
        assert!(joint.is_joint() && !before.is_joint());
        assert_eq!(joint.left().to_string(), "members 1 2 4");
        assert_eq!(joint.left().left(), joint.left());
    }

    #[test]
    fn learners_come_and_go_without_one() {
        let before = with_learners(3, &[7, 9]);
        assert!(!before.is_joint());
        let change = Change {
            remove: ids(&[7]),
            ..Change::default()
        };
        let after = before.changed(&change).unwrap();
        assert_eq!(after.to_string(), "members 1 2 3 ~9");
    }

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let change = Change {
            promote: ids(&[4, 5]),
            remove: ids(&[2, 3]),
            ..Change::default()
        };
        let joint = with_learners(3, &[4, 5]).changed(&change).unwrap();
        assert_eq!(joint.to_string(), "members 1 -2 -3 +4 +5");
        for (who, decide) in [
            (&[1, 2, 4][..], true),
            (&[1, 2, 3], false),
            (&[1, 4, 5], false),
            (&[2, 3, 4, 5], true),
            (&[2, 3, 4], false),
        ] {
            assert_eq!(joint.has_quorum(|id| who.contains(&id)), decide, "{who:?}");
        }
    }

    #[test]
    fn learners_decide_nothing_and_nobody_decides_without_voters() {
        let configuration = with_learners(3, &[4, 5, 6]);
        assert!(!configuration.has_quorum(|id| id != 1 && id != 2));
        assert_eq!(configuration.reached(|id| id), 2);
        assert!(!Configuration::default().has_quorum(|_| true));
    }

    #[test]
    fn a_change_that_makes_no_sense_is_refused() {
        let configuration = with_learners(2, &[3]);
        let refused = |change: Change| configuration.changed(&change).unwrap_err();
        let promote = |list: &[NodeId]| Change {
            promote: ids(list),
            ..Change::default()
        };
        let remove = |list: &[NodeId]| Change {
            remove: ids(list),
            ..Change::default()
        };
        assert!(matches!(
            refused(Change::default()),
            NotChanged::Nonsense(_)
        ));
        assert_eq!(refused(promote(&[9])), NotChanged::Unknown(9));
        assert_eq!(refused(promote(&[2])), NotChanged::Votes(2));
        assert_eq!(refused(remove(&[9])), NotChanged::Unknown(9));
        assert_eq!(refused(remove(&[1, 2])), NotChanged::LastVoter);
        assert_eq!(refused(add(3)), NotChanged::Known(3));
        assert!(matches!(refused(add(0)), NotChanged::Nonsense(_)));
        let mut same = add(4);
        same.add.insert(4, ("NODE1".to_string(), "x:1".to_string()));
        assert_eq!(refused(same), NotChanged::Taken(4, 1));
        let mut crowd = add(10);
        while crowd.add.len() + 3 <= MAX_MEMBERS {
            crowd.add.extend(add(10 + crowd.add.len() as u64).add);
        }
        assert_eq!(refused(crowd.clone()), NotChanged::TooMany);
        crowd.add.pop_last();
        assert!(configuration.changed(&crowd).is_ok());
        let both = Change {
            promote: ids(&[3]),
            remove: ids(&[3]),
            ..Change::default()
        };
        assert!(matches!(refused(both), NotChanged::Nonsense(_)));
        let last = Change {
            promote: ids(&[3]),
            remove: ids(&[1, 2]),
            ..Change::default()
        };
        assert_eq!(
            configuration.changed(&last).unwrap().to_string(),
            "members -1 -2 +3"
        );
    }

    #[test]
    fn the_text_is_read_as_it_was_written_and_no_other() {
        let joint = with_learners(3, &[4, 12]).changed(&Change {
            promote: ids(&[4]),
            remove: ids(&[2]),
            ..Change::default()
        });
        let joint = joint.unwrap();
        let text = joint.text();
        assert_eq!(
            text,
            "1 voter node1 node1:1;2 outgoing node2 node2:1;3 voter node3 node3:1;\
             4 incoming new4 new4:1;12 learner new12 new12:1"
        );
        assert_eq!(Configuration::parse(&text), Ok(joint));
        for wrong in [
            "",
            "1 voter a",
            "1 voter a b c",
            "1 leader a a:1",
            "01 voter a a:1",
            "0 voter a a:1",
            "2 voter a a:1;1 voter b b:1",
            "1 voter a a:1;1 voter b b:1",
            "1 voter a a:1;2 voter a b:1",
            "1 learner a a:1",
            "1 incoming a a:1",
            "1 outgoing a a:1",
            "1 voter a! a:1",
            "1 voter a a<1",
            "1 voter a a:1;",
        ] {
            assert!(Configuration::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_longest_text_is_within_its_bound() {
        let member = |id: usize| {
            let member = Member {
                name: format!("{id:0>32}"),
                address: format!("{id:x>259}"),
                standing: Standing::Incoming,
            };
            (MAX_NODE_ID - id as u64, member)
        };
        let mut members: BTreeMap<_, _> = (0..MAX_MEMBERS).map(member).collect();
        let last = members.get_mut(&MAX_NODE_ID).unwrap();
        last.standing = Standing::Outgoing;
        let configuration = Configuration::new(members.clone()).unwrap();
        let text = configuration.text();
        assert!(text.len() <= MAX_CONFIGURATION_BYTES, "{}", text.len());
        assert_eq!(Configuration::parse(&text), Ok(configuration));
        let longer = "1".repeat(MAX_CONFIGURATION_BYTES + 1);
        assert_eq!(Configuration::parse(&longer), Err("it is too long".into()));
        members.extend([member(MAX_MEMBERS)]);
        assert_eq!(Configuration::new(members), Err("it has 33 members".into()));
    }

    #[test]
    fn a_configuration_that_is_overwritten_gives_way_to_the_one_before() {
        let three = Arc::new(Configuration::of_voters(1..=3));
        let four = Arc::new(Configuration::of_voters(1..=4));
        let mut kept = Configurations::new(0, Arc::clone(&three));
        kept.append(5, Arc::clone(&four));
        assert_eq!(kept.latest(), (5, &four));
        assert_eq!((kept.at(4), kept.at(5)), (&three, &four));
        kept.truncate(6);
        assert_eq!(kept.latest(), (5, &four));
        kept.truncate(5);
        assert_eq!(kept.latest(), (0, &three));
        kept.append(7, Arc::clone(&four));
        kept.forget(6);
        assert_eq!(kept.since(6).len(), 2);
        kept.forget(7);
        assert_eq!(kept.since(0), [(7, four)]);
    }

    proptest! {
        #[test]
        fn both_majorities_are_what_counting_finds(
            standings in proptest::collection::vec(0..4u8, 1..9),
            has in proptest::collection::vec(any::<bool>(), 9),
        ) {
            let standing = |n| match n {
                0 => Standing::Voter,
                1 => Standing::Incoming,
                2 => Standing::Outgoing,
                _ => Standing::Learner,
            };
            let members = (1..).zip(&standings).map(|(id, &n)| {
                let (name, address) = (format!("n{id}"), format!("n{id}:1"));
                (id, Member { name, address, standing: standing(n) })
            });
            let configuration = Configuration { members: members.collect() };
            let count = |among: [u8; 2]| {
                let votes = |at: &usize| among.contains(&standings[*at]);
                let all = (0..standings.len()).filter(votes).count();
                let those = (0..standings.len()).filter(votes).filter(|&at| has[at]).count();
                all > 0 && 2 * those > all
            };
            let by_counting = count([0, 1]) && count([0, 2]);
            prop_assert_eq!(configuration.has_quorum(|id| has[id as usize - 1]), by_counting);
        }
    }
}
