//! The Hugging Face hub: the only room that opens a connection.

mod cache;
pub mod client;
mod environment;
mod request;
mod retry;
mod watch;
