//! What the tests share: a hub on loopback that knows nothing of coreg, a small data set drawn by
//! formulas, and a world in a temporary folder in which the program itself is run.

pub mod ballots;
pub mod child;
pub mod hub;
pub mod shapes;
pub mod world;
