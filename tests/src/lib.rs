//! What the tests share: a project in a temporary folder, in which the program itself is run on a small data set from
//! a hub on loopback, and readers and writers of the tables that go in and come out.

pub mod disk;
pub mod hub;
pub mod image_set;
pub mod program;
pub mod project;
pub mod tables;
pub mod votes_table;
