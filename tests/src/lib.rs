//! What the tests share: a hub on loopback. It knows nothing of coreg.

pub mod hub;
