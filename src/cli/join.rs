//! `raftian join`: a new player of a cluster that is there already.
//!
//! The node that is asked says who the members are and how the cluster is configured. The new node
//! becomes a learner, starts with an empty folder, gets the log, and asks to vote as soon as it has
//! caught up. All of this can be done again: whoever returns finds the seat that they left.
//!
//! What the contact has said is kept beside the node's data. So a node that returns needs its contact only
//! to be asked whether anything has changed: after a power cut nobody may be there to ask, and those who
//! once joined must be able to go on by themselves.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::members::{NewNode, ask, read};
use super::node_args::RunArgs;
use super::serve::until_signal;
use super::{Failure, client, require_board};
use crate::bot::{self, Both};
use crate::command::printable;
use crate::config::{Cluster, Config, NodeConfig, Storage, parse_address};
use crate::game::MAX_PLAYERS;
use crate::node::Node;
use crate::node::event::Members;
use crate::node::queues::{Orders, Update};
use crate::raft::{NodeId, Standing};
use crate::rpc::client::Client;
use crate::rpc::codec;
use crate::rpc::http;
use crate::rpc::value::Value;
use crate::rpc::xml;
use crate::ui::{self, Seat, terminal};

/// How long somebody who joins tries, before they are told that it does not work.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the contact has said last, as it said it: an answer to `cluster.members`, in the node's folder.
const REMEMBERED: &str = "members.xml";
/// No answer is longer.
const MOST_REMEMBERED: u64 = 1 << 20;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Join a cluster that is there already, as a new player
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian join 127.0.0.1:8001                   in one more terminal
  raftian join 192.168.1.10:8001 --name eve     from another machine
  raftian join 127.0.0.1:8001 --id 6            once more, after a quit
  raftian join 127.0.0.1:8001 --no-screen       a node without a screen

The new node gets the log first, and votes and plays when it has caught up. It stays a member when it
quits; raftian members remove makes it leave for good.")]
pub(super) struct Args {
    /// Any member's address
    #[arg(value_name = "HOST:PORT", env = "RAFTIAN_TO", value_parser = parse_address)]
    contact: String,
    /// The new player's id; without one, the lowest that is free
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9))]
    id: Option<u64>,
    /// Its name, and that of its folders; without one, bob and the id
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where to listen, and where the others call it; without one, a free port of this machine
    #[arg(long, value_name = "HOST:PORT", env = "RAFTIAN_ADDRESS", value_parser = parse_address)]
    address: Option<String>,
    /// It plays by itself
    #[arg(long)]
    bot: bool,
    /// Run without a screen, as raftian serve does
    #[arg(long, conflicts_with = "bot")]
    no_screen: bool,
    #[command(flatten)]
    run: RunArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if !args.no_screen {
        terminal::require().map_err(Failure::new)?;
    }
    let wanted = Wanted {
        ids: 1..=MAX_PLAYERS,
        id: args.id,
        name: args.name.clone(),
        prefix: "bob",
        address: args.address.clone(),
    };
    let newcomer = Newcomer::new(&args.contact, wanted, |config| args.run.apply(config))?;
    if !args.no_screen {
        newcomer.require_board("raftian join --no-screen")?;
    }
    newcomer.become_member()?;
    let NodeConfig { id, address, .. } = newcomer.node.clone();
    if args.no_screen {
        return serve(args, newcomer);
    }
    let (screen, inbox) = ui::inbox();
    let (bot, updates) = bot::inbox();
    let view: Box<dyn Orders> = match args.bot {
        true => Box::new(Both(screen.clone(), bot)),
        false => Box::new(screen.clone()),
    };
    let seat = newcomer.seat(false);
    let mut running = newcomer.start(&args.run, Some(view), |_| ())?;
    if args.bot {
        bot::start(id, running.commands(), updates).map_err(Failure::new)?;
    }
    let told = screen.clone();
    promote(address, id, move |text| {
        told.offer(Update::Notice(text));
    })?;
    let exit = ui::run(seat, running.commands(), screen, inbox);
    super::leave(&mut running, &exit);
    super::end_of_play(exit)
}

fn serve(args: &Args, newcomer: Newcomer) -> Result<(), Failure> {
    let NodeConfig {
        id, name, address, ..
    } = newcomer.node.clone();
    let then = || {
        promote(address, id, |text| {
            let _ = writeln!(io::stderr(), "raftian: {text}");
        })
    };
    until_signal(&name, |end| newcomer.start(&args.run, None, end), then)
}

/// What somebody who joins asks for.
pub(super) struct Wanted {
    /// Which ids there are to choose from.
    pub ids: RangeInclusive<NodeId>,
    /// The id, if it is to be this one.
    pub id: Option<NodeId>,
    /// The name, likewise.
    pub name: Option<String>,
    /// What a name begins with that was not given.
    pub prefix: &'static str,
    /// Where it listens, likewise.
    pub address: Option<String>,
}

/// A node that joins a cluster, before it runs.
pub(super) struct Newcomer {
    contact: String,
    pub node: NodeConfig,
    members: Members,
    config: Config,
    listener: TcpListener,
}

impl Newcomer {
    /// Asks the contact who the members are, and finds an id, a name, a folder and an address.
    pub(super) fn new(
        contact: &str,
        wanted: Wanted,
        change: impl FnOnce(&mut Config),
    ) -> Result<Newcomer, Failure> {
        let mut config = Config {
            cluster: Cluster::default(),
            storage: Storage::default(),
            nodes: Vec::new(),
            source: PathBuf::from(format!("the members of {contact}")),
        };
        change(&mut config);
        let (members, is_alone) = match members_of(contact) {
            Ok(members) => (members, false),
            Err(why) => (remembered(&config.cluster.data, &wanted).ok_or(why)?, true),
        };
        config.cluster = Cluster {
            name: members.cluster.clone(),
            machine: members.machine,
            heartbeat_ms: members.heartbeat_ms,
            election_timeout_ms: members.election_timeout_ms,
            ..config.cluster
        };
        config.storage.snapshot_entries = members.snapshot_entries;
        let known = |id: NodeId| members.members.iter().find(|member| member.id == id);
        let name_of = |id: NodeId| match (known(id), &wanted.name) {
            (Some(member), _) => member.name.clone(),
            (None, Some(name)) => name.clone(),
            (None, None) => format!("{}{id}", wanted.prefix),
        };
        let has_data = |name: &str| {
            let entries = config.cluster.data.join(name).read_dir();
            entries.is_ok_and(|mut entries| entries.next().is_some())
        };
        // A member of that name returns, if its data is here.
        let returning = wanted.name.as_ref().and_then(|name| {
            let member = members.members.iter().find(|member| member.name == *name);
            member.map(|member| member.id)
        });
        // Rather one that nobody has ever had: whoever had it before may still run somewhere.
        let used = used_ids(contact);
        let is_free = |id: &NodeId| known(*id).is_none() && !has_data(&name_of(*id));
        let free = || {
            let ids = || wanted.ids.clone().filter(is_free);
            ids().find(|id| !used.contains(id)).or(ids().next())
        };
        let id = wanted.id.or(returning).or_else(free).ok_or_else(|| {
            Failure::new(format!(
                "{contact}: no id from {} to {} is free",
                wanted.ids.start(),
                wanted.ids.end()
            ))
        })?;
        let name = name_of(id);
        if let Some(member) = known(id)
            && member.standing != Standing::Learner
            && !has_data(&name)
        {
            return Err(Failure::new(format!(
                "node {id} ({name}) is a member already, and its data is not in {}: take another id, \
                 or name its folder with --data. Whoever has lost their data needs a new id",
                config.cluster.data.join(&name).display()
            )));
        }
        let address = wanted
            .address
            .or(known(id).map(|member| member.address.clone()));
        let (listener, address) = match address {
            Some(address) => (listen(&address)?, address),
            None => {
                let listener = listen_towards(contact)
                    .map_err(|error| Failure::new(format!("no free port: {error}")))?;
                let address = listener.local_addr().map_err(Failure::new)?.to_string();
                (listener, address)
            }
        };
        let node = NodeConfig {
            id,
            name,
            address,
            listen: None,
            line: 0,
        };
        crate::raft::configuration::check_member(id, &node.name, &node.address)
            .map_err(Failure::Usage)?;
        if is_alone {
            let _ = writeln!(
                io::stderr(),
                "raftian: {contact} does not answer; {} goes on with what is in {}",
                node.name,
                printable(&config.data_of(&node).to_string_lossy())
            );
        }
        // What was remembered of the others may be old. The log knows better where they are.
        let others = members.members.iter();
        let others = others.filter(|member| member.id != id && !is_alone);
        config.nodes = others
            .map(|member| NodeConfig {
                id: member.id,
                name: member.name.clone(),
                address: member.address.clone(),
                listen: None,
                line: 0,
            })
            .chain([node.clone()])
            .collect();
        config.nodes.sort_by_key(|node| node.id);
        Ok(Newcomer {
            contact: contact.to_string(),
            node,
            members,
            config,
            listener,
        })
    }

    /// Whether there is something to look at.
    pub(super) fn require_board(&self, instead: &str) -> Result<(), Failure> {
        require_board(&self.config, instead)
    }

    /// Makes the node a learner, unless it is a member already.
    pub(super) fn become_member(&self) -> Result<(), Failure> {
        let NodeConfig {
            id, name, address, ..
        } = self.node.clone();
        if self.members.members.iter().any(|member| member.id == id) {
            return Ok(());
        }
        let new = NewNode { id, name, address };
        let client = client(&self.contact);
        until_it_works(|| match ask(&client, "cluster.add", &[new.value()]) {
            Ok(_) => Ok(()),
            Err(why) => {
                // The answer to an earlier try may have been lost.
                let members = members_of(&self.contact).map(|members| members.members);
                let mut members = members.unwrap_or_default().into_iter();
                match members.any(|m| m.id == new.id && m.address == new.address) {
                    true => Ok(()),
                    false => Err(why),
                }
            }
        })
        .map_err(|why| Failure::new(format!("{}: {why}", self.contact)))
    }

    /// Who sits at the screen.
    pub(super) fn seat(&self, watches: bool) -> Seat {
        let voters = self.members.members.iter();
        let voters = voters.filter(|member| member.standing != Standing::Learner);
        Seat {
            id: self.node.id,
            players: voters
                .map(|member| (member.id, member.name.clone()))
                .collect(),
            title: self.config.cluster.name.clone(),
            watches,
        }
    }

    /// Starts the node.
    pub(super) fn start(
        self,
        run: &RunArgs,
        view: Option<Box<dyn Orders>>,
        on_failure: impl FnOnce(&str) + Send + 'static,
    ) -> Result<Node, Failure> {
        let node = run.start(
            &self.config,
            &self.node,
            true,
            self.listener,
            view,
            on_failure,
        )?;
        // Without it the node returns only where its contact answers, as it did today.
        let _ = remember(&self.contact, &self.config.data_of(&self.node));
        Ok(node)
    }
}

/// Keeps what the contact says now. A file that is there already stays until the new one is whole.
fn remember(contact: &str, folder: &Path) -> io::Result<()> {
    let Ok(answer) = ask(&client(contact), "cluster.members", &[]) else {
        return Ok(());
    };
    let unfinished = folder.join("members.tmp");
    fs::write(&unfinished, xml::encode_response(&Ok(answer)))?;
    fs::rename(unfinished, folder.join(REMEMBERED))
}

/// The members as they were when that very node was started last, if its data is here.
fn remembered(data: &Path, wanted: &Wanted) -> Option<Members> {
    data.read_dir().ok()?.flatten().find_map(|folder| {
        let mut document = Vec::new();
        let file = File::open(folder.path().join(REMEMBERED)).ok()?;
        file.take(MOST_REMEMBERED).read_to_end(&mut document).ok()?;
        let answer = xml::decode_response(&document).ok()?.ok()?;
        let members = codec::decode_members(&answer).ok()?;
        let mut own = members.members.iter();
        let own = own.find(|member| *member.name == *folder.file_name())?;
        let is_it = match (wanted.id, &wanted.name) {
            (Some(id), _) => id == own.id,
            (None, Some(name)) => *name == own.name,
            (None, None) => false,
        };
        is_it.then_some(members)
    })
}

fn members_of(contact: &str) -> Result<Members, Failure> {
    ask(&client(contact), "cluster.members", &[])
        .and_then(read)
        .map_err(|why| Failure::new(format!("{contact}: {why}")))
}

/// Whose ruins stand on the board.
fn used_ids(contact: &str) -> Vec<NodeId> {
    let board = ask(&client(contact), "game.board", &[]);
    board.map_or_else(|_| Vec::new(), |board| codec::decode_ruins(&board))
}

/// Asks to vote until the node does, on a thread of its own. The node itself is asked, which knows
/// who leads, whoever has left meanwhile. `tell` hears why, if it never does.
fn promote(
    address: String,
    id: NodeId,
    tell: impl Fn(String) + Send + 'static,
) -> Result<(), Failure> {
    let work = move || {
        let client: Client = client(&address);
        let id = Value::Int(i64::try_from(id).unwrap_or(i64::MAX));
        let promoted =
            until_it_works(
                || match ask(&client, "cluster.promote", std::slice::from_ref(&id)) {
                    Err(why) if why.contains("votes already") => Ok(()),
                    answer => answer.map(|_| ()),
                },
            );
        if let Err(why) = promoted {
            tell(format!("this node does not vote yet: {why}"));
        }
    };
    thread::Builder::new()
        .name("promote".to_string())
        .spawn(work)
        .map(|_| ())
        .map_err(Failure::new)
}

/// Tries again and again, for a while: a leader may be missing, or another change be under way.
pub(super) fn until_it_works(mut what: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match what() {
            Ok(()) => return Ok(()),
            Err(why) if Instant::now() > until => return Err(why),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn listen(address: &str) -> Result<TcpListener, Failure> {
    let bind = || -> io::Result<TcpListener> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "there is no host of that name");
        for address in address.to_socket_addrs()? {
            match http::bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    };
    bind().map_err(|error| Failure::new(format!("{address} cannot be listened on: {error}")))
}

/// Listens on a free port, at the address at which this machine reaches the contact.
fn listen_towards(contact: &str) -> io::Result<TcpListener> {
    let own = TcpStream::connect(contact)?.local_addr()?.ip();
    http::bind(SocketAddr::new(own, 0))
}
