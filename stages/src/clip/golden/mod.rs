//! The room as a whole against `transformers`: goldens made by `make.py` beside this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
