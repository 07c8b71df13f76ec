//! The client: calls to one address, over connections that are kept.
//!
//! A [`Client`] promises that a call ends within its timeout, whatever the other end does, and
//! that an error says whether the request may have reached it ([`CallError::reached`]): only then
//! is sending the same again a decision of the caller's.
//!
//! It is a `ureq` agent of its own, so that nothing one address does holds up the calls to another.
//! Names are looked up when a connection is made, not for each call, and an address in digits never
//! needs looking up: `ureq`'s own resolver would start a thread for each call that has a timeout.
//! A reply is read to its end before anything is made of it, because only then can its connection
//! serve the next call. A connection that has been idle for longer than servers keep one is not
//! used again, nor is one that the other end is seen to have closed.
//!
//! Caveats. A server may close an idle connection in the very moment in which a call leaves on it;
//! that call fails, and is not repeated here, because this module cannot know whether repeating is
//! harmless. A name is looked up by the system, in a thread that outlives the timeout when the
//! system takes longer.

use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, TcpConnector};

use super::value::{Fault, Value};
use super::xml;

/// How long an idle connection is used again; our server closes it after 30 s.
const MAX_IDLE: Duration = Duration::from_secs(20);

/// Longest reply. Requests have at most 1 MiB; a reply that carries as much has a frame, too, and what
/// came in pieces may go out as a whole.
pub const MAX_REPLY: u64 = 1536 * 1024;

/// Calls to one address. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    url: String,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub enum CallError {
    /// No connection, so nothing was sent.
    Connect(String),
    /// No reply in time.
    TimedOut,
    /// The connection broke before the whole reply was here.
    Broken(String),
    /// The server refused the request before it looked at the call.
    Status(u16),
    /// The reply is not one to an XML-RPC call.
    NotXmlRpc(Fault),
    /// The method was called and answered with a fault.
    Fault(Fault),
}

impl CallError {
    /// Whether the request may have reached the other end, and have had its effect there.
    pub fn reached(&self) -> bool {
        !matches!(self, CallError::Connect(_))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Connect(why) => write!(f, "cannot connect: {why}"),
            CallError::TimedOut => write!(f, "no reply in time"),
            CallError::Broken(why) => write!(f, "the connection broke: {why}"),
            CallError::Status(status) => write!(f, "refused with HTTP status {status}"),
            CallError::NotXmlRpc(fault) => write!(f, "the reply is no XML-RPC: {}", fault.message),
            CallError::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

impl Client {
    /// Calls go to `address`, which is `HOST:PORT`, and each ends within `timeout`.
    pub fn new(address: &str, timeout: Duration) -> Client {
        /// More than a reply's few headers; the rest of it is body.
        const BUFFER: usize = 32 * 1024;
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .no_delay(true)
            .max_idle_age(MAX_IDLE)
            .max_response_header_size(BUFFER)
            .input_buffer_size(BUFFER)
            .output_buffer_size(2 * BUFFER)
            .user_agent(concat!("raftian/", env!("CARGO_PKG_VERSION")))
            .build();
        Client {
            agent: Agent::with_parts(config, Dialer::default(), LookUpLater),
            url: format!("http://{address}/RPC2"),
        }
    }

    /// Calls a method and waits for what it returns.
    pub fn call(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        let document = self.exchange(&xml::encode_call(method, params))?;
        xml::decode_response(&document)
            .map_err(CallError::NotXmlRpc)?
            .map_err(CallError::Fault)
    }

    /// Sends one document and receives another.
    fn exchange(&self, document: &[u8]) -> Result<Vec<u8>, CallError> {
        let mut response = self
            .agent
            .post(&self.url)
            .content_type("text/xml")
            .send(document)
            .map_err(failed)?;
        let mut reply = Vec::new();
        response
            .body_mut()
            .with_config()
            .limit(MAX_REPLY)
            .reader()
            .read_to_end(&mut reply)
            .map_err(|error| failed(error.into()))?;
        match response.status().as_u16() {
            200 => Ok(reply),
            status => Err(CallError::Status(status)),
        }
    }
}

/// What an error of ureq's means for a caller.
fn failed(error: ureq::Error) -> CallError {
    match error {
        ureq::Error::Other(error) if error.is::<NoConnection>() => {
            CallError::Connect(error.to_string())
        }
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            CallError::Connect("the address is not HOST:PORT".to_owned())
        }
        ureq::Error::Timeout(_) => CallError::TimedOut,
        ureq::Error::Io(error) => match error.get_ref().and_then(|e| e.downcast_ref()) {
            // Errors while a body is read come wrapped.
            Some(ureq::Error::Timeout(_)) => CallError::TimedOut,
            _ if error.kind() == io::ErrorKind::TimedOut => CallError::TimedOut,
            _ => CallError::Broken(error.to_string()),
        },
        error => CallError::Broken(error.to_string()),
    }
}

/// No connection could be made. ureq's own errors don't tell that from a connection that broke.
#[derive(Debug)]
struct NoConnection(ureq::Error);

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ureq::Error::Timeout(_) => f.write_str("no answer in time"),
            ureq::Error::HostNotFound => f.write_str("there is no host of that name"),
            ureq::Error::Io(error) => error.fmt(f),
            error => error.fmt(f),
        }
    }
}

impl std::error::Error for NoConnection {}

/// ureq resolves before it looks for a connection that it has kept, that is, for each call. So this
/// resolves only what needs no looking up, and leaves names to the [`Dialer`].
#[derive(Debug)]
struct LookUpLater;

impl Resolver for LookUpLater {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        if let Some(address) = in_digits(uri) {
            addresses.push(address);
        }
        Ok(addresses)
    }
}

/// The address of a URL that has no name in it.
fn in_digits(uri: &Uri) -> Option<SocketAddr> {
    uri.authority()?.as_str().parse().ok()
}

/// Makes connections, and says so when it cannot.
#[derive(Debug, Default)]
struct Dialer {
    tcp: TcpConnector,
    resolver: DefaultResolver,
}

impl Connector for Dialer {
    type Out = <TcpConnector as Connector>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let connect = || {
            if !details.addrs.is_empty() {
                return self.tcp.connect(details, chained);
            }
            let begun = Instant::now();
            let addrs = self
                .resolver
                .resolve(details.uri, details.config, details.timeout)?;
            let left = details.timeout.after.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(ureq::Error::Timeout(details.timeout.reason));
            }
            self.tcp.connect(
                &ConnectionDetails {
                    addrs,
                    timeout: NextTimeout {
                        after: left.into(),
                        ..details.timeout
                    },
                    run_connector: details.run_connector.clone(),
                    register_shutdown: details.register_shutdown.clone(),
                    current_time: details.current_time.clone(),
                    ..*details
                },
                chained,
            )
        };
        connect().map_err(|error| ureq::Error::Other(Box::new(NoConnection(error))))
    }
}
