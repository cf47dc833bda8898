//! The `relapse` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(relapse::cli::main().code())
}
