//! XML-RPC over HTTP: how nodes, players and programs talk to a node.
//!
//! One protocol serves all of them. A peer's `append_entries_rpc` and a five-line script's
//! `game.attack` are both a POST of one small XML document, answered by another:
//!
//! ```text
//!   caller                                                       node
//!   Client ── POST /RPC2, methodCall ──────────────────────────> Server (one thread a connection)
//!      │                                                            │ Service::call
//!      │          xml: bytes <-> Call, Value, Fault                 │
//!      └─ <──────────────── 200, methodResponse ────────────────────┘
//! ```
//!
//! * [`value`]: what a document says: values, calls, faults.
//! * [`xml`]: how it is written, and what is refused to be read.
//! * [`http`]: the server, its deadlines and its places.
//! * [`client`]: calls to one address.
//!
//! The layers below know nothing of the ones above: [`http`] carries any bytes, and [`xml`] any
//! method. None of them knows Raft.
//!
//! Whatever comes from outside is refused with a fault (of the document or the method) or an HTTP
//! status (of the request), and costs a bounded amount of time and memory. What a caller may rely on
//! is the fault codes, which are those that XML-RPC implementations agreed on: see
//! [`value::Fault`].
//!
//! Caveats: there is no encryption and no authentication, so a node belongs on a network whose
//! users may play; XML-RPC's `dateTime.iso8601` is read and never written; there is no
//! `system.multicall`, because one call may wait for seconds.

pub mod client;
pub mod codec;
pub mod http;
pub mod methods;
pub mod value;
pub mod xml;
