//! XML-RPC over HTTP.
pub mod client;
pub mod http;
pub mod value;
pub mod xml;
