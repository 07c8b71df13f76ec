//! The options that `play` and `serve` share, and what they make of the configuration.

use std::net::TcpListener;
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use super::start::{self, Start};
use super::{Failure, parse_level};
use crate::config::{Config, NodeConfig, parse_address};
use crate::node::Node;
use crate::node::queues::Orders;

/// Which node, and what differs from its configuration.
#[derive(Debug, clap::Args)]
pub(super) struct NodeArgs {
    /// Which node of the configuration this is
    #[arg(long, value_name = "N", env = "RAFTIAN_ID",
          value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(super) id: u64,
    /// The configuration; without one, config/local.toml
    #[arg(long, value_name = "FILE", env = "RAFTIAN_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Listen here, and not where the configuration says
    #[arg(long, value_name = "HOST:PORT", env = "RAFTIAN_ADDRESS", value_parser = parse_address)]
    pub(super) address: Option<String>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

/// How a node runs, whichever it is.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The folder for the log files, and not the configuration's
    #[arg(long, value_name = "DIR", env = "RAFTIAN_LOGS")]
    pub(super) logs: Option<PathBuf>,
    /// The folder for what a node must not forget, and not the configuration's
    #[arg(long, value_name = "DIR", env = "RAFTIAN_DATA")]
    pub(super) data: Option<PathBuf>,
    /// How many connections to serve at most
    #[arg(long, value_name = "N", default_value_t = 256, env = "RAFTIAN_MAX_CONNECTIONS",
          value_parser = clap::value_parser!(u16).range(2..))]
    pub(super) max_connections: u16,
    /// How much goes to node.log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "RAFTIAN_LOG_LEVEL",
          value_parser = parse_level)]
    pub(super) log_level: LevelFilter,
    /// Write what the core is told, and what it asks for, to this file, for `raftian replay`. An
    /// earlier file stays beside it as FILE.1, FILE.2 and so on
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
}

impl RunArgs {
    /// Starts the node as these options say.
    pub(super) fn start(
        &self,
        config: &Config,
        node: &NodeConfig,
        joins: bool,
        listener: TcpListener,
        view: Option<Box<dyn Orders>>,
        on_failure: impl FnOnce(&str) + Send + 'static,
    ) -> Result<Node, Failure> {
        let start = Start {
            listener,
            joins,
            players: None,
            view,
            level: self.log_level,
            trace: self.trace.clone(),
            max_connections: self.max_connections.into(),
            on_failure: Box::new(on_failure),
        };
        start::node(config, node, start)
    }

    /// The configuration with these options applied.
    pub(super) fn apply(&self, config: &mut Config) {
        if let Some(logs) = &self.logs {
            config.cluster.logs.clone_from(logs);
        }
        if let Some(data) = &self.data {
            config.cluster.data.clone_from(data);
        }
    }
}

impl NodeArgs {
    /// Starts the node as these options say.
    pub(super) fn start(
        &self,
        config: &Config,
        node: &NodeConfig,
        listener: TcpListener,
        view: Option<Box<dyn Orders>>,
        on_failure: impl FnOnce(&str) + Send + 'static,
    ) -> Result<Node, Failure> {
        self.run
            .start(config, node, false, listener, view, on_failure)
    }

    /// The configuration with these options applied, and this node's part of it.
    pub(super) fn configure(&self) -> Result<(Config, NodeConfig), Failure> {
        let mut config = Config::locate(self.config.as_deref())?;
        self.run.apply(&mut config);
        if let Some(address) = &self.address {
            config.listen_at(self.id, address.clone())?;
        }
        match config.node(self.id) {
            Some(node) => {
                let node = node.clone();
                Ok((config, node))
            }
            None => {
                let ids: Vec<String> = config.nodes.iter().map(|n| n.id.to_string()).collect();
                Err(Failure::Usage(format!(
                    "--id {}: {} has no such node; its ids are {}. Whoever has joined later starts \
                     with raftian join",
                    self.id,
                    config.file(),
                    ids.join(", ")
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        node: NodeArgs,
    }

    fn configure(options: &str) -> Result<(Config, NodeConfig), Failure> {
        let arguments = std::iter::once("raftian").chain(options.split(' '));
        Alone::try_parse_from(arguments).unwrap().node.configure()
    }

    #[test]
    fn options_come_before_the_configuration() {
        let (config, node) =
            configure("--id 2 --logs /l --data /d --address Localhost:9002").unwrap();
        assert_eq!(config.cluster.logs, Path::new("/l"));
        assert_eq!(config.cluster.data, Path::new("/d"));
        assert_eq!(config.logs_of(&node), Path::new("/l/bob2"));
        assert_eq!(node.listens_at(), "localhost:9002");
        assert_eq!(node.address, "127.0.0.1:8002", "the others call it there");
        assert_eq!(config.node(2), Some(&node));
        assert_eq!(config.node(1).unwrap().address, "127.0.0.1:8001");
    }

    #[test]
    fn a_node_that_is_not_there_is_wrong_usage() {
        assert!(matches!(
            configure("--id 9 --address a:1"),
            Err(Failure::Usage(_))
        ));
    }
}
