//! What the book holds that nobody writes by hand.
//!
//! ```text
//! wharf-book                      a preprocessor of mdBook: a book comes in as JSON, and goes out again
//! wharf-book supports RENDERER    mdBook asks this first; every renderer is fine
//! wharf-book check DIRECTORY      every link between the pages of a finished book leads somewhere
//! ```
//!
//! A page asks for a generated part with a marker on a line of its own: `{{#contract}}` is the WIT
//! package of `wit/`, `{{#commands}}` is what `wharf COMMAND --help` prints. The program is the one
//! that the variable `WHARF` names.

mod commands;
mod contract;
mod links;
mod pages;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => pages::preprocess(),
        ["supports", _] => Ok(()),
        ["check", directory] => links::check(Path::new(directory)),
        _ => Err("see the first lines of docs/src/main.rs".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "wharf-book: {error}");
            ExitCode::FAILURE
        }
    }
}
