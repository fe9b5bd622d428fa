//! The program `coreg`: everything it does is in [`stages::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: stages::allocator::MiMalloc = stages::allocator::MiMalloc;

fn main() -> ExitCode {
    stages::allocator::keep_freed_memory();
    stages::cli::main()
}
