//! `raftian attack`: one attack from the command line.

use super::{Failure, client, print};
use crate::command::printable;
use crate::config::parse_address;
use crate::machine::Answer;
use crate::rpc::client::CallError;
use crate::rpc::codec;
use crate::rpc::value::Value;

/// How often an attack is sent when the connection breaks before the answer.
const TRIES: u32 = 3;

/// Attack a player and wait until the attack is applied
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian attack 3 --to 127.0.0.1:8001
  RAFTIAN_TO=127.0.0.1:8001 raftian attack 3

Any node will do: it forwards the attack to the leader.
Prints where the attack stands in the log and what came of it:
  index 12, term 3, outcome hp 70")]
pub(super) struct Args {
    /// Whom: the player's id
    #[arg(value_name = "PLAYER", value_parser = clap::value_parser!(u64).range(1..=9))]
    player: u64,
    /// A node's address
    #[arg(long, value_name = "HOST:PORT", env = "RAFTIAN_TO", value_parser = parse_address)]
    to: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = client(&args.to);
    // An identity of its own, so that sending it again after a lost reply does no harm.
    let name = Value::from(format!("attack-{:016x}", rand::random::<u64>()));
    let params = [
        name,
        Value::Int(1),
        format!("attack {}", args.player).into(),
    ];
    let mut tried = 0;
    let answer = loop {
        tried += 1;
        match client.call("submit_rpc", &params) {
            Ok(answer) => break answer,
            Err(CallError::Broken(_)) if tried < TRIES => {}
            Err(CallError::Fault(fault)) => {
                return Err(Failure::new(format!(
                    "{}: {}",
                    args.to,
                    printable(&fault.message)
                )));
            }
            Err(error) => return Err(Failure::new(format!("{}: {error}", args.to))),
        }
    };
    let answer = codec::decode_answer(&answer)
        .map_err(|fault| Failure::new(format!("{}: {}", args.to, fault.message)))?;
    print(&format!("{}\n", outcome_line(&answer)))
}

/// What is printed of an attack that was applied, without a line break. The answer comes from
/// another machine, so it is made printable.
pub fn outcome_line(answer: &Answer) -> String {
    format!(
        "index {}, term {}, outcome {}",
        answer.index,
        answer.term,
        printable(&answer.outcome)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_is_one_line_whatever_the_node_answers() {
        let mut answer = Answer {
            index: 12,
            term: 3,
            outcome: "hp 70".to_string(),
        };
        assert_eq!(outcome_line(&answer), "index 12, term 3, outcome hp 70");
        answer.outcome = "a\n\u{1b}[2J".to_string();
        assert_eq!(
            outcome_line(&answer),
            "index 12, term 3, outcome a\\n\\u{1b}[2J"
        );
    }
}
