//! `raftian kv`: a key-value store from the command line.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Failure, print};
use crate::command::printable;
use crate::config::parse_address;
use crate::kv::Datum;
use crate::kv::client::{Client, Error};

/// Read and write a cluster that runs the key-value store
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  export RAFTIAN_CLUSTER=127.0.0.1:8001,127.0.0.1:8002,127.0.0.1:8003
  raftian kv put colour red
  raftian kv get colour
  raftian kv cas colour red blue              prints true or false
  raftian kv cas colour --if-absent green
  raftian kv put visits 41
  raftian kv incr visits                      prints 42
  raftian kv list vis
  raftian kv get colour --stale               as some node has it

VALUE is a number where it is written like one, and text elsewhere; --text and --base64 say otherwise.
The nodes run with machine = \"kv\", or as raftian serve --machine kv.")]
pub(super) struct Args {
    #[command(subcommand)]
    operation: Operation,
    /// Nodes of the cluster, with commas between them; one has to answer
    #[arg(long, global = true, value_name = "HOST:PORT,...", env = "RAFTIAN_CLUSTER",
          value_delimiter = ',', value_parser = parse_address)]
    cluster: Vec<String>,
    /// Seconds until it gives up
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10.0,
          value_parser = parse_seconds)]
    timeout: f64,
}

#[derive(Debug, clap::Subcommand)]
enum Operation {
    /// Give a key a value
    Put {
        /// 1 to 1024 bytes
        key: String,
        /// At most 256 KiB
        #[arg(allow_negative_numbers = true)]
        value: String,
        #[command(flatten)]
        kind: Kind,
    },
    /// Print a key's value; fails where it has none
    Get {
        /// The key
        key: String,
        /// As some node has it, which may be behind
        #[arg(long)]
        stale: bool,
    },
    /// Take a key's value away; prints whether it had one
    Delete {
        /// The key
        key: String,
    },
    /// Give a key a new value if it has the expected one; prints whether it did
    Cas {
        /// The key
        key: String,
        /// EXPECTED NEW, or only NEW with --if-absent
        #[arg(required = true, num_args = 1..=2, value_name = "VALUE", allow_negative_numbers = true)]
        values: Vec<String>,
        /// No value is expected
        #[arg(long)]
        if_absent: bool,
        #[command(flatten)]
        kind: Kind,
    },
    /// Append to a key's text or bytes; prints the new length in bytes
    Append {
        /// The key
        key: String,
        /// What to append; a number is text here
        #[arg(allow_negative_numbers = true)]
        value: String,
        /// VALUE is base64, and means bytes
        #[arg(long)]
        base64: bool,
    },
    /// Add one to a key's number; prints the new one
    Incr {
        /// The key
        key: String,
    },
    /// Print every key that begins with PREFIX
    List {
        /// All keys, without one
        #[arg(default_value = "")]
        prefix: String,
    },
}

/// What a value on the command line means.
#[derive(Debug, clap::Args)]
struct Kind {
    /// Values are text, whatever they look like
    #[arg(long)]
    text: bool,
    /// Values are base64, and mean bytes
    #[arg(long, conflicts_with = "text")]
    base64: bool,
}

impl Kind {
    fn datum(&self, value: &str) -> Result<Datum, Failure> {
        if self.base64 {
            let bytes = BASE64.decode(value);
            let bytes = bytes.map_err(|why| Failure::Usage(format!("--base64: {why}")))?;
            return Ok(Datum::from(&*bytes));
        }
        Ok(match value.parse::<i64>() {
            // 007 and +7 are text.
            Ok(number) if !self.text && number.to_string() == value => Datum::Int(number),
            _ => Datum::from(value),
        })
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.cluster.is_empty() {
        return Err(Failure::Usage(
            "say where the nodes are: --cluster HOST:PORT,HOST:PORT,... or RAFTIAN_CLUSTER"
                .to_string(),
        ));
    }
    let nodes = args.cluster.iter().map(String::as_str);
    let mut store = Client::new(nodes, Duration::from_secs_f64(args.timeout));
    match &args.operation {
        Operation::Put { key, value, kind } => {
            let value = kind.datum(value)?;
            store.put(key, value).map_err(Failure::new)?;
            print("ok\n")
        }
        Operation::Get { key, stale } => {
            let value = match stale {
                true => store.get_stale(key),
                false => store.get(key),
            };
            match value.map_err(Failure::new)? {
                Some(value) => show(&value),
                None => Err(Failure::new(format!("{} has no value", printable(key)))),
            }
        }
        Operation::Delete { key } => tell(store.delete(key)),
        Operation::Cas {
            key,
            values,
            if_absent,
            kind,
        } => match (&**values, if_absent) {
            ([new], true) => tell(store.cas(key, None, kind.datum(new)?)),
            ([expected, new], false) => {
                tell(store.cas(key, Some(kind.datum(expected)?), kind.datum(new)?))
            }
            _ => Err(Failure::Usage(
                "kv cas KEY EXPECTED NEW, or kv cas KEY --if-absent NEW".to_string(),
            )),
        },
        Operation::Append { key, value, base64 } => {
            let kind = Kind {
                text: !base64,
                base64: *base64,
            };
            tell(store.append(key, kind.datum(value)?))
        }
        Operation::Incr { key } => tell(store.incr(key)),
        Operation::List { prefix } => {
            let keys = store.list(prefix).map_err(Failure::new)?;
            let lines = keys.iter().map(|key| printable(key) + "\n");
            print(&lines.collect::<String>())
        }
    }
}

fn tell(result: Result<impl ToString, Error>) -> Result<(), Failure> {
    print(&format!("{}\n", result.map_err(Failure::new)?.to_string()))
}

/// Text as it is, for pipes; where a person looks at it, without what could do something to their
/// terminal. Bytes are base64.
fn show(value: &Datum) -> Result<(), Failure> {
    match value {
        Datum::Int(number) => print(&format!("{number}\n")),
        Datum::Bytes(bytes) => print(&format!("{}\n", BASE64.encode(bytes))),
        Datum::Text(text) if io::stdout().is_terminal() => print(&format!("{}\n", printable(text))),
        Datum::Text(text) => print(&format!("{text}\n")),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    const MOST: f64 = 3600.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=MOST).contains(&seconds) => Ok(seconds),
        _ => Err(format!("a number of seconds from 0.1 to {MOST}")),
    }
}
