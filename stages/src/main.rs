//! The program `coreg`: everything it does is in [`stages::cli`].

use std::process::ExitCode;

// Training makes and drops the same large tensors every step; the system's allocator would give each back
// to the kernel and fault it in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stages::cli::main()
}
