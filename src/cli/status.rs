//! `raftian status`: how a node stands, for people and for programs.

use serde::Serialize;

use super::{Failure, client, print};
use crate::command::printable;
use crate::config::parse_address;
use crate::rpc::codec;
use crate::status::{PeerStatus, Status};

/// Show how a node stands
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian status --to 127.0.0.1:8001
  raftian status --to 127.0.0.1:8001 --json

Match and next index are known to the leader only.")]
pub(super) struct Args {
    /// The node's address
    #[arg(long, value_name = "HOST:PORT", env = "RAFTIAN_TO", value_parser = parse_address)]
    to: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", args.to));
    let status = client(&args.to)
        .call("cluster.status", &[])
        .map_err(|error| failed(&error))?;
    let status = codec::decode_status(&status).map_err(|fault| failed(&fault))?;
    if args.json {
        print(&format!("{}\n", json(&status)))
    } else {
        print(&table(&status))
    }
}

/// A status as people read it; ends in a line break. What comes from another machine is made
/// printable.
pub fn table(status: &Status) -> String {
    let name = printable(&status.name);
    let leader = match status.leader {
        None => "none is known".to_string(),
        Some(id) if id == status.id => name.to_string(),
        Some(id) => match status.peers.iter().find(|peer| peer.id == id) {
            Some(peer) => printable(&peer.name).into_owned(),
            None => format!("node {id}"),
        },
    };
    let mut text = format!(
        "{name} (node {}): {} in term {}\n\
         leader   {leader}\n\
         commit   {}\n\
         applied  {}\n\
         log      {}\n\
         digest   {}\n",
        status.id,
        status.role,
        status.term,
        status.commit_index,
        status.last_applied,
        status.last_index,
        printable(&status.digest),
    );
    if status.peers.is_empty() {
        return text;
    }
    let rows: Vec<[String; 5]> = status.peers.iter().map(row).collect();
    let header = ["PEER", "ADDRESS", "MATCH", "NEXT", "ROUND TRIP"].map(String::from);
    let rows: Vec<[String; 5]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let [peer, address, matched, next, rtt] = [0, 1, 2, 3, 4].map(width);
    text.push('\n');
    for [a, b, c, d, e] in &rows {
        text.push_str(&format!(
            "{a:<peer$}  {b:<address$}  {c:>matched$}  {d:>next$}  {e:>rtt$}\n"
        ));
    }
    text
}

fn row(peer: &PeerStatus) -> [String; 5] {
    let index = |index: Option<u64>| index.map_or("-".to_string(), |index| index.to_string());
    [
        printable(&peer.name).into_owned(),
        printable(&peer.address).into_owned(),
        index(peer.match_index),
        index(peer.next_index),
        peer.rtt_ms
            .map_or("-".to_string(), |ms| format!("{ms:.2} ms")),
    ]
}

/// A status as programs read it: one JSON object on one line, without a line break. Its keys are
/// those of `cluster.status()`, and nil is null.
pub fn json(status: &Status) -> String {
    let object = StatusObject {
        id: status.id,
        name: &status.name,
        role: status.role.as_str(),
        term: status.term,
        leader: status.leader,
        commit_index: status.commit_index,
        last_applied: status.last_applied,
        last_index: status.last_index,
        digest: &status.digest,
        peers: status.peers.iter().map(PeerObject::from).collect(),
    };
    serde_json::to_string(&object).expect("numbers, texts and lists can always be written")
}

#[derive(Serialize)]
struct StatusObject<'a> {
    id: u64,
    name: &'a str,
    role: &'a str,
    term: u64,
    leader: Option<u64>,
    commit_index: u64,
    last_applied: u64,
    last_index: u64,
    digest: &'a str,
    peers: Vec<PeerObject<'a>>,
}

#[derive(Serialize)]
struct PeerObject<'a> {
    id: u64,
    name: &'a str,
    address: &'a str,
    match_index: Option<u64>,
    next_index: Option<u64>,
    rtt_ms: Option<f64>,
}

impl<'a> From<&'a PeerStatus> for PeerObject<'a> {
    fn from(peer: &'a PeerStatus) -> PeerObject<'a> {
        PeerObject {
            id: peer.id,
            name: &peer.name,
            address: &peer.address,
            match_index: peer.match_index,
            next_index: peer.next_index,
            rtt_ms: peer.rtt_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::RoleName;

    fn status() -> Status {
        Status {
            id: 1,
            name: "bob1".to_string(),
            role: RoleName::Leader,
            term: 3,
            leader: Some(1),
            commit_index: 12,
            last_applied: 11,
            last_index: 13,
            digest: "0123456789abcdef".to_string(),
            peers: vec![
                PeerStatus {
                    id: 2,
                    name: "bob2".to_string(),
                    address: "127.0.0.1:8002".to_string(),
                    match_index: Some(12),
                    next_index: Some(100_000),
                    rtt_ms: Some(0.4567),
                },
                PeerStatus {
                    id: 3,
                    name: "a-longer-name".to_string(),
                    address: "h:3".to_string(),
                    match_index: None,
                    next_index: None,
                    rtt_ms: None,
                },
            ],
        }
    }

    #[test]
    fn people_get_a_table() {
        assert_eq!(
            table(&status()),
            "bob1 (node 1): leader in term 3\n\
             leader   bob1\n\
             commit   12\n\
             applied  11\n\
             log      13\n\
             digest   0123456789abcdef\n\
             \n\
             PEER           ADDRESS         MATCH    NEXT  ROUND TRIP\n\
             bob2           127.0.0.1:8002     12  100000     0.46 ms\n\
             a-longer-name  h:3                 -       -           -\n"
        );
    }

    #[test]
    fn the_leader_goes_by_its_name_where_that_is_known() {
        let leader = |leader| {
            let status = Status { leader, ..status() };
            table(&status).lines().nth(1).unwrap().to_string()
        };
        assert_eq!(leader(Some(2)), "leader   bob2");
        assert_eq!(leader(Some(9)), "leader   node 9");
        assert_eq!(leader(None), "leader   none is known");
    }

    #[test]
    fn a_node_cannot_send_codes_to_the_terminal() {
        let mut status = status();
        status.name = "\u{1b}[2J".to_string();
        status.digest = "\u{7}\n".to_string();
        status.peers[0].name = "\u{1b}[2J".to_string();
        status.peers[1].address = "\r".to_string();
        let text = table(&status);
        assert!(
            !text.chars().any(|c| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert_eq!(text.lines().count(), table(&self::status()).lines().count());
    }

    #[test]
    fn programs_get_the_documented_keys() {
        let text = json(&status());
        assert!(!text.contains('\n'));
        let expected = serde_json::json!({
            "id": 1, "name": "bob1", "role": "leader", "term": 3, "leader": 1,
            "commit_index": 12, "last_applied": 11, "last_index": 13,
            "digest": "0123456789abcdef",
            "peers": [
                {"id": 2, "name": "bob2", "address": "127.0.0.1:8002",
                 "match_index": 12, "next_index": 100_000, "rtt_ms": 0.4567},
                {"id": 3, "name": "a-longer-name", "address": "h:3",
                 "match_index": null, "next_index": null, "rtt_ms": null},
            ],
        });
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, expected);
    }
}
