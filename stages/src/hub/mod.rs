//! The Hugging Face hub: the only room that opens a connection.

pub(crate) mod cache;
pub mod client;
pub(crate) mod environment;
pub(crate) mod request;
pub(crate) mod retry;
pub(crate) mod watch;
