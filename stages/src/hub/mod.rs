//! The Hugging Face hub: the only room that opens a connection.
//!
//! A caller takes [`client::Hub::fetch`]. Under it: `cache` (where a file lies and whether it is whole), `request`
//! (single requests to a hub), `refusal` (what a hub means by a status), `transport` (HTTP), `retry`, and
//! `environment` with `proxy` (what users have set).

pub(crate) mod cache;
pub mod client;
pub(crate) mod environment;
pub(crate) mod monitor;
mod proxy;
mod refusal;
pub(crate) mod request;
mod retry;
mod transport;
