//! A snapshot's text: the report's JSON document (its listing 16), and a little more.
//!
//! ```json
//! {
//! "servers":[
//! {"id":1,"url":"127.0.0.1","port":8001,"hp":70},
//! {"id":2,"url":"127.0.0.1","port":8002,"hp":100}
//! ],
//! "board":[
//! {"id":1,"name":"bob1","square":[2,2]},
//! {"id":2,"name":"bob2","square":[3,0]}
//! ],
//! "ruins":[],
//! "lastIndex":4,
//! "lastTerm":1,
//! "lastConfig":[1,2],
//! "members":[
//! {"id":1,"standing":"voter","name":"bob1","address":"127.0.0.1:8001"},
//! {"id":2,"standing":"voter","name":"bob2","address":"127.0.0.1:8002"}
//! ],
//! "digest":"1f0c...",
//! "sessions":[
//! {"client":"bob1-01ab","floor":0,"lastIndex":4,"answers":[[1,2,1,"hp 70"],[2,4,1,"hp 70"]]}
//! ],
//! "checksum":"..."
//! }
//! ```
//!
//! `servers` (the players), `lastIndex`, `lastTerm` and `lastConfig` (the members) are the report's. A
//! state machine is more than hit points: `board` and `ruins` say who stands where, and `members` is
//! the configuration in full (section 6 of the paper). `digest` lets orders.log go on at the next index, and `sessions`
//! lets a command that is repeated after the snapshot be known again; an answer is serial, index,
//! term and outcome. `checksum` is SHA-256 over every byte before the comma that precedes it.
//!
//! The text is JSON for any reader and one line for each thing that a person may look for. Raft
//! and the storage carry it as bytes ([`crate::raft::Snapshot`]).
//!
//! Promises: [`Document::read`] takes nothing on trust. It allocates in proportion to what it is
//! given, and what it accepts, [`Document::write`] writes so that it reads the same. Every number in
//! it can be sent to a client, and the log can go on after it. A refusal is one line of bounded
//! length.
//!
//! Where the machine is the key-value store, `"store"` stands in the place of `servers`, `board` and
//! `ruins`: a line for each key, `["colour","red"]`, with the value as in a command ([`crate::kv`]).
//!
//! Caveat: `url` and `port` repeat a member's address, and `lastConfig` the members' ids, for readers
//! who know the report. Nothing reads them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::application::Application;
use crate::command::{MAX_SERIAL, is_client, printable};
use crate::game::{Game, Player, Ruin};
use crate::kv::{Datum, Store};
use crate::machine::{Answer, MAX_SESSIONS, Machine, Session, Sessions, WINDOW};
use crate::raft::{Configuration, MAX_TERM, Member, NodeId, Snapshot, Standing};

/// The largest snapshot that is taken from a peer. A full session table with the longest names is
/// about half of it.
pub const MAX_BYTES: usize = 256 << 20;

/// The largest last index that is believed. The store reads no index above [`MAX_TERM`], and the log
/// is to go on after the snapshot.
const MAX_INDEX: u64 = MAX_TERM / 2;

/// Longest name of a player, in bytes.
const MAX_NAME: usize = 64;

/// The state machine after the entry at `last_index`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The board, or the store.
    pub state: Application,
    /// Index of the last entry applied.
    pub last_index: u64,
    /// Its term.
    pub last_term: u64,
    /// Who belongs to the cluster after that entry.
    pub configuration: Arc<Configuration>,
    /// The digest after it.
    pub digest: String,
    /// What is remembered of each client.
    pub sessions: Sessions,
}

/// A player, as the report writes it: where its node listens, and its hit points.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerLine {
    id: NodeId,
    url: String,
    port: u16,
    hp: u32,
}

/// Who stands on a square, or stood there.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SquareLine {
    id: NodeId,
    name: String,
    square: (u16, u16),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberLine {
    id: NodeId,
    standing: Standing,
    name: String,
    address: String,
}

/// An answer: serial, index, term, outcome.
type AnswerLine = (u64, u64, u64, String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SessionLine {
    client: String,
    floor: u64,
    last_index: u64,
    answers: Vec<AnswerLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Raw {
    servers: Option<Vec<ServerLine>>,
    board: Option<Vec<SquareLine>>,
    ruins: Option<Vec<SquareLine>>,
    store: Option<Vec<(String, serde_json::Value)>>,
    last_index: u64,
    last_term: u64,
    last_config: Vec<NodeId>,
    members: Vec<MemberLine>,
    digest: String,
    sessions: Vec<SessionLine>,
    checksum: String,
}

/// What stands between the checked bytes and the checksum.
const BEFORE_CHECKSUM: &str = ",\n\"checksum\":\"";
const AFTER_CHECKSUM: &str = "\"\n}\n";

impl Document {
    /// What the machine holds after an entry of `last_term`, and who belonged to the cluster then.
    pub fn of(
        machine: &Machine<Application>,
        last_term: u64,
        configuration: Arc<Configuration>,
    ) -> Document {
        Document {
            state: machine.state().clone(),
            last_index: machine.last_applied(),
            last_term,
            configuration,
            digest: machine.digest().to_string(),
            sessions: match planted!(SessionsLeftOut) {
                true => Sessions::default(),
                false => machine.sessions().clone(),
            },
        }
    }

    /// The machine that the document describes.
    pub fn machine(self) -> Machine<Application> {
        Machine::restored(self.state, self.sessions, self.last_index, self.digest)
    }

    /// The document as Raft carries it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            last_index: self.last_index,
            last_term: self.last_term,
            configuration: self.configuration.clone(),
            data: self.write().into(),
        }
    }

    /// The document's text.
    pub fn write(&self) -> Vec<u8> {
        let sessions = self.sessions.iter().map(|(client, session)| SessionLine {
            client: client.to_string(),
            floor: session.floor,
            last_index: session.last_index,
            answers: session
                .answers
                .iter()
                .map(|(&serial, answer)| {
                    (serial, answer.index, answer.term, answer.outcome.clone())
                })
                .collect(),
        });
        let state = match &self.state {
            Application::Game(game) => self.game(game),
            Application::Store(store) => {
                let values = store.iter().map(|(key, value)| (key, value.to_json()));
                format!("\"store\":[{}],\n", lines(values))
            }
        };
        let members = self.configuration.members().iter();
        let members = members.map(|(&id, member)| MemberLine {
            id,
            standing: member.standing,
            name: member.name.clone(),
            address: member.address.clone(),
        });
        let ids: Vec<NodeId> = self.configuration.members().keys().copied().collect();
        let mut text = format!(
            "{{\n{state}\"lastIndex\":{},\n\"lastTerm\":{},\n\"lastConfig\":{},\n\
             \"members\":[{}],\n\"digest\":{},\n\"sessions\":[{}]",
            self.last_index,
            self.last_term,
            json(&ids),
            lines(members),
            json(&self.digest),
            lines(sessions)
        );
        let checksum = checksum(text.as_bytes());
        text.push_str(BEFORE_CHECKSUM);
        text.push_str(&checksum);
        text.push_str(AFTER_CHECKSUM);
        text.into_bytes()
    }

    /// The board's lines.
    fn game(&self, game: &Game) -> String {
        let players = game.players().iter();
        let servers = players.clone().map(|player| {
            let member = self.configuration.members().get(&player.id);
            let address = member.map_or("", |member| &member.address);
            let (url, port) = address.rsplit_once(':').unwrap_or((address, ""));
            ServerLine {
                id: player.id,
                url: url.to_string(),
                port: port.parse().unwrap_or(0),
                hp: player.hp,
            }
        });
        let board = players.map(|player| SquareLine {
            id: player.id,
            name: player.name.clone(),
            square: player.square,
        });
        let ruins = game.ruins().iter().map(|ruin| SquareLine {
            id: ruin.id,
            name: ruin.name.clone(),
            square: ruin.square,
        });
        format!(
            "\"servers\":[{}],\n\"board\":[{}],\n\"ruins\":[{}],\n",
            lines(servers),
            lines(board),
            lines(ruins)
        )
    }

    /// Reads a document's text, or says in one sentence what is wrong with it.
    pub fn read(text: &[u8]) -> Result<Document, String> {
        let raw: Raw = serde_json::from_slice(text).map_err(|error| short(&error.to_string()))?;
        let end = [BEFORE_CHECKSUM, &raw.checksum, AFTER_CHECKSUM].concat();
        let checked = text
            .strip_suffix(end.as_bytes())
            .ok_or("it does not end with its checksum")?;
        if checksum(checked) != raw.checksum {
            return Err("its checksum does not match".to_string());
        }
        let configuration = configuration(raw.members, &raw.last_config)?;
        let document = Document {
            state: match (raw.servers, raw.board, raw.ruins, raw.store) {
                (Some(servers), Some(board), Some(ruins), None) => {
                    game(servers, board, ruins)?.into()
                }
                (None, None, None, Some(values)) => store(values)?.into(),
                _ => return Err("it has neither a board nor a store".to_string()),
            },
            last_index: raw.last_index,
            last_term: raw.last_term,
            configuration: Arc::new(configuration),
            digest: raw.digest,
            sessions: sessions(raw.sessions, raw.last_index, raw.last_term)?,
        };
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if document.digest.len() != 16 || !document.digest.bytes().all(is_hex) {
            return Err("its digest is none".to_string());
        }
        if document.last_index == 0 || document.last_term == 0 {
            return Err("it covers no entry".to_string());
        }
        if document.last_index > MAX_INDEX || document.last_term > MAX_TERM {
            return Err("its last entry is out of range".to_string());
        }
        Ok(document)
    }

    /// Whether a snapshot that came from a peer can be read, and is what it says.
    pub fn check(snapshot: &Snapshot) -> Result<(), String> {
        Document::of_snapshot(snapshot).map(|_| ())
    }

    /// The snapshot that these bytes are, if they say that they are of that index and term.
    pub fn read_snapshot(
        last_index: u64,
        last_term: u64,
        data: Vec<u8>,
    ) -> Result<Snapshot, String> {
        let document = Document::read(&data)?;
        let snapshot = Snapshot {
            last_index,
            last_term,
            configuration: document.configuration.clone(),
            data: data.into(),
        };
        document.is_of(&snapshot).map(|()| snapshot)
    }

    /// The document in a snapshot.
    pub fn of_snapshot(snapshot: &Snapshot) -> Result<Document, String> {
        let document = Document::read(&snapshot.data)?;
        document.is_of(snapshot).map(|()| document)
    }

    fn is_of(&self, snapshot: &Snapshot) -> Result<(), String> {
        if (self.last_index, self.last_term) != (snapshot.last_index, snapshot.last_term) {
            return Err(format!(
                "it is of index {}, term {}, and not of index {}, term {}",
                self.last_index, self.last_term, snapshot.last_index, snapshot.last_term
            ));
        }
        if self.configuration != snapshot.configuration {
            return Err("it has other members than it was sent with".to_string());
        }
        Ok(())
    }
}

/// The members, if they can be a cluster's. A document without any is of a node that belongs to none.
fn configuration(lines: Vec<MemberLine>, last_config: &[NodeId]) -> Result<Configuration, String> {
    let ids: Vec<NodeId> = lines.iter().map(|line| line.id).collect();
    if !ids.is_sorted_by(|a, b| a < b) || ids != last_config {
        return Err("its ids are not in order".to_string());
    }
    if lines.is_empty() {
        return Ok(Configuration::default());
    }
    let member = |line: MemberLine| {
        let member = Member {
            name: line.name,
            address: line.address,
            standing: line.standing,
        };
        (line.id, member)
    };
    Configuration::new(lines.into_iter().map(member).collect())
}

/// The board, if it can be one.
fn game(
    servers: Vec<ServerLine>,
    board: Vec<SquareLine>,
    ruins: Vec<SquareLine>,
) -> Result<Game, String> {
    if servers.len() != board.len() || servers.iter().zip(&board).any(|(a, b)| a.id != b.id) {
        return Err("its servers are not those on its board".to_string());
    }
    let is_name = |name: &str| name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    let names = board.iter().chain(&ruins).map(|line| &*line.name);
    if !names.clone().all(is_name) {
        return Err("a player's name is none".to_string());
    }
    let players = servers.into_iter().zip(board).map(|(server, line)| Player {
        id: line.id,
        name: line.name,
        hp: server.hp,
        square: line.square,
    });
    let ruins = ruins.into_iter().map(|line| Ruin {
        id: line.id,
        name: line.name,
        square: line.square,
    });
    Game::restored(players.collect(), ruins.collect())
}

/// The store, if it can be one.
fn store(lines: Vec<(String, serde_json::Value)>) -> Result<Store, String> {
    let values = lines.into_iter().map(|(key, value)| {
        let datum = Datum::from_json(&value)?;
        Ok((key, datum))
    });
    Store::restored(values.collect::<Result<Vec<_>, String>>()?)
}

/// The session table, if some machine can have it.
fn sessions(lines: Vec<SessionLine>, last_index: u64, last_term: u64) -> Result<Sessions, String> {
    if lines.len() > MAX_SESSIONS {
        return Err(format!("it has {} sessions", lines.len()));
    }
    let mut clients = BTreeMap::new();
    for line in lines {
        if !is_client(&line.client) {
            return Err("a session's client is no client's name".to_string());
        }
        let wrong = |what: &str| Err(format!("session {:?}: {what}", line.client));
        if line.last_index > last_index {
            return wrong("it is newer than the snapshot");
        }
        let mut answers = BTreeMap::new();
        for (serial, index, term, outcome) in line.answers {
            let in_window = (line.floor..line.floor.saturating_add(WINDOW)).contains(&serial);
            if !in_window || serial > MAX_SERIAL || index > line.last_index {
                return Err(format!(
                    "session {:?}: serial {serial} is out of range",
                    line.client
                ));
            }
            if index == 0 || term == 0 || term > last_term {
                return Err(format!(
                    "session {:?}: serial {serial} was answered out of range",
                    line.client
                ));
            }
            let answer = Answer {
                index,
                term,
                outcome,
            };
            if answers.insert(serial, answer).is_some() {
                return Err(format!("session {:?}: serial {serial} twice", line.client));
            }
        }
        let session = Session {
            answers,
            floor: line.floor,
            last_index: line.last_index,
        };
        let is_last = clients
            .last_key_value()
            .is_none_or(|(last, _)| *last < line.client);
        if !is_last {
            return Err(format!("session {:?} is out of order", line.client));
        }
        clients.insert(line.client, session);
    }
    Ok(Sessions::restored(clients))
}

/// A reason that may quote the document, as one line that is not too long.
fn short(reason: &str) -> String {
    const MOST: usize = 200;
    let mut reason = printable(reason).into_owned();
    if let Some((end, _)) = reason.char_indices().nth(MOST) {
        reason.truncate(end);
        reason.push_str("...");
    }
    reason
}

fn checksum(text: &[u8]) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and strings are always JSON")
}

/// One line for each value.
fn lines(values: impl Iterator<Item = impl Serialize>) -> String {
    let lines: Vec<String> = values.map(|value| format!("\n{}", json(&value))).collect();
    match lines.is_empty() {
        true => String::new(),
        false => lines.join(",") + "\n",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::Command;
    use crate::machine::StateMachine as _;
    use crate::raft::{Entry, Payload};

    fn game() -> Game {
        Game::new((1..=3).map(|id| (id, format!("bob{id}"))))
    }

    fn machine(commands: u64) -> Machine<Application> {
        let mut machine = Machine::new(game().into());
        for serial in 1..=commands {
            let client = format!("client \"{}\"", serial % 3);
            let command = Command::new(client, serial, format!("attack {}", serial % 4));
            let _ = machine.apply(&Entry {
                index: machine.last_applied() + 1,
                term: 1 + serial / 10,
                payload: Payload::Command(Arc::new(command.unwrap())),
            });
        }
        machine
    }

    fn document() -> Document {
        let member = |id: NodeId| {
            let member = Member {
                name: format!("bob{id}"),
                address: format!("127.0.0.1:{}", 8000 + id),
                standing: Standing::Voter,
            };
            (id, member)
        };
        let configuration = Configuration::new((1..=3).map(member).collect()).unwrap();
        Document::of(&machine(25), 3, Arc::new(configuration))
    }

    #[test]
    fn what_is_written_is_read_again_and_is_the_same_machine() {
        let document = document();
        let again = Document::read(&document.write()).unwrap();
        assert_eq!(again, document);
        let (mut before, mut after) = (machine(25), again.machine());
        let next = |client: &str, serial| Entry {
            index: 26,
            term: 9,
            payload: Payload::Command(Arc::new(Command::new(client, serial, "attack 2").unwrap())),
        };
        for entry in [next("client \"1\"", 7), next("client \"1\"", 99)] {
            assert_eq!(
                before.clone().apply(&entry).line(),
                after.clone().apply(&entry).line()
            );
        }
        let entry = next("somebody", 1);
        assert_eq!(before.apply(&entry), after.apply(&entry));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let text = document().write();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                assert!(Document::read(&changed).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Document::read(&text[..at]).is_err(), "cut at {at}");
        }
    }

    /// A document with these in it, and the right checksum.
    fn forged(last_index: u64, client: &str, answer_term: u64) -> Result<Document, String> {
        let mut document = document();
        let answer = Answer {
            index: 1,
            term: answer_term,
            outcome: "ok".to_string(),
        };
        let session = Session {
            answers: BTreeMap::from([(7, answer)]),
            floor: 0,
            last_index: 1,
        };
        document.sessions = Sessions::restored(BTreeMap::from([(client.to_string(), session)]));
        document.last_index = last_index;
        Document::read(&document.write())
    }

    #[test]
    fn what_no_client_could_be_told_is_refused_whatever_the_checksum() {
        assert!(forged(25, "a", 3).is_ok());
        assert!(forged(MAX_INDEX, "a", 3).is_ok());
        let refused = |document: Result<_, String>| document.unwrap_err();
        assert!(refused(forged(25, "a", 4)).contains("answered out of range"));
        assert!(refused(forged(25, "a", 0)).contains("answered out of range"));
        for index in [MAX_INDEX + 1, MAX_TERM, i64::MAX as u64, u64::MAX] {
            assert_eq!(
                refused(forged(index, "a", 3)),
                "its last entry is out of range"
            );
        }
        for client in ["", "a\tb", &"a".repeat(65)] {
            assert!(refused(forged(25, client, 3)).contains("no client's name"));
        }
    }

    #[test]
    fn a_refusal_is_one_line_that_does_not_quote_the_document_at_length() {
        for name in ["x".repeat(100_000), "\\n".repeat(50), "é".repeat(1_000)] {
            let why = Document::read(format!("{{\"{name}\":1}}").as_bytes()).unwrap_err();
            assert!(why.len() < 500 && !why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn the_members_of_the_report_have_its_names() {
        let text = document().write();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["lastIndex"], 25);
        assert_eq!(value["lastTerm"], 3);
        assert_eq!(value["lastConfig"], serde_json::json!([1, 2, 3]));
        assert_eq!(
            value["members"][0],
            serde_json::json!({"id": 1, "standing": "voter", "name": "bob1", "address": "127.0.0.1:8001"})
        );
        let servers = value["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 3);
        assert_eq!(
            servers[0],
            serde_json::json!({"id": 1, "url": "127.0.0.1", "port": 8001, "hp": servers[0]["hp"]})
        );
    }

    #[test]
    fn players_and_ruins_stand_where_they_stood() {
        let mut document = document();
        let mut game = document.state.game().unwrap().clone();
        game.configure(&Configuration::of_voters([1, 3]), false);
        game.configure(&Configuration::of_voters([1, 2, 3]), false);
        document.state = game.clone().into();
        let again = Document::read(&document.write()).unwrap();
        let again = again.state.game().unwrap();
        assert_eq!(*again, game);
        assert_eq!((again.players().len(), again.ruins().len()), (3, 1));
    }

    #[test]
    fn a_store_comes_back_as_it_was() {
        let mut store = Store::default();
        for command in [
            r#"put "colour" "red""#,
            r#"put "a \"b\"" {"base64":"AAEC"}"#,
            r#"incr "n""#,
            r#"append "long" "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n""#,
        ] {
            assert!(!store.apply(command).starts_with("refused"), "{command}");
        }
        let document = Document {
            state: store.clone().into(),
            ..document()
        };
        let text = document.write();
        assert_eq!(Document::read(&text), Ok(document));
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["store"][1], serde_json::json!(["colour", "red"]));
        assert_eq!(value.get("servers"), None);
    }

    #[test]
    fn members_in_other_words_than_it_was_sent_with_are_refused() {
        let snapshot = document().snapshot();
        let other = Snapshot {
            configuration: Arc::new(Configuration::of_voters([1, 2, 3])),
            ..snapshot
        };
        assert!(Document::check(&other).unwrap_err().contains("members"));
    }

    #[test]
    fn a_snapshot_that_is_not_of_its_index_is_refused() {
        let snapshot = document().snapshot();
        assert_eq!(Document::check(&snapshot), Ok(()));
        let other = Snapshot {
            last_index: 26,
            ..snapshot
        };
        assert!(Document::check(&other).unwrap_err().contains("index 25"));
    }
}
