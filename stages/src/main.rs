//! The program `coreg`: everything it does is in [`stages::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: stages::runtime::allocator::MiMalloc = stages::runtime::allocator::MiMalloc;

fn main() -> ExitCode {
    stages::runtime::allocator::keep_freed_memory();
    stages::cli::main()
}
