//! `kv-node`: a node, or a store, as a process of its own.
//!
//! The only place with sockets, files, signals and the operating system's clock. Everything else is the library; what it
//! needs of the system it gets through the five doors that `host` implements.

mod host;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    host::main()
}
