//! Starting nodes, for the commands that run some.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use tracing::level_filters::LevelFilter;

use super::Failure;
use crate::config::{Config, NodeConfig};
use crate::logging::NodeLog;
use crate::node::queues::Orders;
use crate::node::{Node, Setup};
use crate::orders_log::OrdersLog;
use crate::rpc::http;

/// Listens at a node's address. A name stands for the first of its addresses that can be used.
pub(super) fn listen(config: &Config, node: &NodeConfig) -> Result<TcpListener, Failure> {
    let bind = || -> io::Result<TcpListener> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "there is no host of that name");
        for address in node.address.to_socket_addrs()? {
            match http::bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    };
    bind().map_err(|error| Failure::new(config.explain_bind(node.id, &error)))
}

/// Listens on a free port of this machine.
pub(super) fn listen_anywhere() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = http::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Starts a node with its log files. Where these cannot be made, it runs without them: a full disk
/// is no reason not to play.
pub(super) fn node(
    config: &Config,
    node: &NodeConfig,
    listener: TcpListener,
    view: Option<Box<dyn Orders>>,
    level: LevelFilter,
    max_connections: usize,
) -> Result<Node, Failure> {
    let dir = config.logs_of(node);
    let orders_log =
        OrdersLog::create(&dir).unwrap_or_else(|error| OrdersLog::without_file(&dir, &error));
    let log = NodeLog::create(&dir, level).unwrap_or_else(|_| NodeLog::off());
    let setup = Setup {
        config,
        node,
        listener,
        view,
        storage: Box::new(crate::storage::Memory::default()),
        recovered: crate::storage::Recovered::default(),
        on_failure: Box::new(|_| {}),
        orders_log,
        log,
        max_connections,
    };
    Node::start(setup).map_err(|error| Failure::new(format!("{}: {error}", node.name)))
}
