//! The process that watches one container; started by `wharf` and by nobody else.

use std::process::ExitCode;

fn main() -> ExitCode {
    match wharf_runtime::monitor::serve::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // the starter sees its channel close, and says so
    }
}
