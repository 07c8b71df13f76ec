//! XML-RPC over HTTP.
pub mod value;
