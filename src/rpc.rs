//! XML-RPC over HTTP.
pub mod client;
pub mod codec;
pub mod http;
pub mod methods;
pub mod value;
pub mod xml;
