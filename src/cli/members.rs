//! `raftian members`: who belongs to a cluster, and changing it.

use std::fmt::Write as _;

use super::{Failure, client, print};
use crate::command::printable;
use crate::config::parse_address;
use crate::node::event::{MemberStatus, Members};
use crate::raft::NodeId;
use crate::raft::configuration::check_member;
use crate::rpc::client::{CallError, Client};
use crate::rpc::codec;
use crate::rpc::value::{Struct, Value};

/// Show and change who belongs to a cluster
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian members list --to 127.0.0.1:8001
  raftian members add 6:eve@127.0.0.1:8006 --to 127.0.0.1:8001
  raftian members promote 6 --to 127.0.0.1:8001
  raftian members promote 6 7 --remove 2 3 --to 127.0.0.1:8001     replace two in one step
  raftian members remove 3 --to 127.0.0.1:8001
  raftian members transfer 2 --to 127.0.0.1:8001                   node 2 is to lead

Any node will do: it asks the leader. A new member begins as a learner, which gets the log and does
not vote; promoted, it votes and plays. Without --to, RAFTIAN_TO says whom to ask.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Who belongs to the cluster, as a node knows it
    List {
        #[command(flatten)]
        to: To,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Make nodes members: learners at first
    Add {
        /// Each as ID@HOST:PORT or ID:NAME@HOST:PORT; without a name it is bobID
        #[arg(value_name = "NODE", required = true, value_parser = parse_node)]
        nodes: Vec<NewNode>,
        #[command(flatten)]
        to: To,
    },
    /// Members leave; a player who leaves becomes a ruin
    Remove {
        /// Their ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<NodeId>,
        #[command(flatten)]
        to: To,
    },
    /// Learners that have caught up become voters, and players
    Promote {
        /// Their ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<NodeId>,
        /// Members that leave in the same step
        #[arg(long, value_name = "ID", num_args = 1..)]
        remove: Vec<NodeId>,
        #[command(flatten)]
        to: To,
    },
    /// Hand the leadership over
    Transfer {
        /// To whom; without one, to whoever lags behind least
        #[arg(value_name = "ID")]
        id: Option<NodeId>,
        #[command(flatten)]
        to: To,
    },
}

#[derive(Debug, clap::Args)]
struct To {
    /// A node's address
    #[arg(long, value_name = "HOST:PORT", env = "RAFTIAN_TO", value_parser = parse_address)]
    to: String,
}

/// A node that is to become a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewNode {
    pub id: NodeId,
    pub name: String,
    pub address: String,
}

impl NewNode {
    /// As `cluster.add` takes it.
    pub(super) fn value(&self) -> Value {
        let mut members = Struct::default();
        members.insert("id", number(self.id));
        members.insert("name", Value::from(self.name.as_str()));
        members.insert("address", Value::from(self.address.as_str()));
        Value::Struct(members)
    }
}

fn parse_node(text: &str) -> Result<NewNode, String> {
    let (who, address) = text
        .split_once('@')
        .ok_or("write ID@HOST:PORT or ID:NAME@HOST:PORT, such as 6:eve@127.0.0.1:8006")?;
    let (id, name) = match who.split_once(':') {
        Some((id, name)) => (id, name.to_string()),
        None => (who, format!("bob{who}")),
    };
    let id: NodeId = id
        .parse()
        .map_err(|_| format!("{id:?} is no id: write a number"))?;
    let address = parse_address(address)?;
    check_member(id, &name, &address)?;
    Ok(NewNode { id, name, address })
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (to, method, params) = match &args.what {
        What::List { to, json } => {
            let members = ask(&client(&to.to), "cluster.members", &[])
                .and_then(read)
                .map_err(|error| Failure::new(format!("{}: {error}", to.to)))?;
            return match json {
                true => print(&format!("{}\n", json_line(&members))),
                false => print(&table(&members)),
            };
        }
        What::Transfer { id, to } => {
            let params: Vec<Value> = id.iter().map(|&id| number(id)).collect();
            let answer = ask(&client(&to.to), "cluster.transfer", &params)
                .map_err(|error| Failure::new(format!("{}: {error}", to.to)))?;
            let (leader, term) = codec::decode_leads(&answer).map_err(Failure::new)?;
            return print(&format!("node {leader} leads in term {term}\n"));
        }
        What::Add { nodes, to } => {
            let nodes = nodes.iter().map(NewNode::value).collect();
            (to, "cluster.add", vec![Value::Array(nodes)])
        }
        What::Remove { ids, to } => (to, "cluster.remove", vec![numbers(ids)]),
        What::Promote { ids, remove, to } => {
            let params = vec![numbers(ids), numbers(remove)];
            (to, "cluster.promote", params)
        }
    };
    let members = ask(&client(&to.to), method, &params)
        .and_then(read)
        .map_err(|error| Failure::new(format!("{}: {error}", to.to)))?;
    print(&table(&members))
}

/// Calls a method, and says in one printable line what went wrong.
pub(super) fn ask(client: &Client, method: &str, params: &[Value]) -> Result<Value, String> {
    client.call(method, params).map_err(|error| match error {
        CallError::Fault(fault) => printable(&fault.message).into_owned(),
        error => printable(&error.to_string()).into_owned(),
    })
}

/// The members in an answer.
pub(super) fn read(answer: Value) -> Result<Members, String> {
    codec::decode_members(&answer).map_err(|fault| fault.message)
}

fn numbers(ids: &[NodeId]) -> Value {
    Value::Array(ids.iter().map(|&id| number(id)).collect())
}

fn number(id: NodeId) -> Value {
    Value::Int(i64::try_from(id).unwrap_or(i64::MAX))
}

/// The members as people read them; ends in a line break.
fn table(members: &Members) -> String {
    let mut text = format!(
        "cluster {}, members since {}{}{}\n\n",
        printable(&members.cluster),
        match members.index {
            0 => "the start".to_string(),
            index => format!("index {index}"),
        },
        if members.committed {
            ""
        } else {
            ", not committed yet"
        },
        if members.joint {
            ", voters are changing"
        } else {
            ""
        },
    );
    let leads = |member: &MemberStatus| members.leader == Some(member.id);
    let row = |member: &MemberStatus| {
        [
            member.id.to_string(),
            printable(&member.name).into_owned(),
            printable(&member.address).into_owned(),
            member.standing.as_str().to_string(),
            match member.match_index {
                Some(index) => index.to_string(),
                None if leads(member) => "leads".to_string(),
                None => "-".to_string(),
            },
        ]
    };
    let header = ["ID", "NAME", "ADDRESS", "STANDING", "MATCH"].map(String::from);
    let rows: Vec<[String; 5]> = std::iter::once(header)
        .chain(members.members.iter().map(row))
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(width);
    for [id, name, address, standing, matched] in &rows {
        let _ = writeln!(
            text,
            "{id:>a$}  {name:<b$}  {address:<c$}  {standing:<d$}  {matched:>e$}"
        );
    }
    text
}

/// The members as programs read them: one JSON object, with the keys of `cluster.members()`.
fn json_line(members: &Members) -> String {
    codec::members(members).to_json().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::Kind;
    use crate::raft::Standing;

    #[test]
    fn a_node_is_written_as_an_id_perhaps_a_name_and_an_address() {
        let node = |id, name: &str, address: &str| NewNode {
            id,
            name: name.to_string(),
            address: address.to_string(),
        };
        assert_eq!(
            parse_node("6@127.0.0.1:8006"),
            Ok(node(6, "bob6", "127.0.0.1:8006"))
        );
        assert_eq!(parse_node("7:eve@[::1]:1"), Ok(node(7, "eve", "[::1]:1")));
        for wrong in [
            "6",
            "6@",
            "x@h:1",
            "0@h:1",
            "6:@h:1",
            "6:a b@h:1",
            "6@h:0",
            "@h:1",
        ] {
            assert!(parse_node(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn people_get_a_table_and_programs_the_documented_keys() {
        let member = |id: NodeId, standing, match_index| MemberStatus {
            id,
            name: format!("bob{id}"),
            address: format!("127.0.0.1:800{id}"),
            standing,
            match_index,
        };
        let members = Members {
            machine: Kind::Game,
            cluster: "lan\u{1b}".to_string(),
            id: 1,
            leader: Some(1),
            term: 4,
            index: 17,
            committed: false,
            joint: true,
            members: vec![
                member(1, Standing::Voter, None),
                member(2, Standing::Outgoing, Some(16)),
                member(3, Standing::Learner, None),
            ],
            heartbeat_ms: 50,
            election_timeout_ms: (150, 300),
            snapshot_entries: 10_000,
        };
        assert_eq!(
            table(&members),
            "cluster lan\\u{1b}, members since index 17, not committed yet, voters are changing\n\
             \n\
             ID  NAME  ADDRESS         STANDING  MATCH\n\
             \u{20}1  bob1  127.0.0.1:8001  voter     leads\n\
             \u{20}2  bob2  127.0.0.1:8002  outgoing     16\n\
             \u{20}3  bob3  127.0.0.1:8003  learner       -\n"
        );
        let read: serde_json::Value = serde_json::from_str(&json_line(&members)).unwrap();
        assert_eq!(read["members"][1]["standing"], "outgoing");
        assert_eq!(read["election_timeout_ms"], serde_json::json!([150, 300]));
        assert_eq!(read["members"][2]["match_index"], serde_json::Value::Null);
    }
}
