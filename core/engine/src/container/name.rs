//! Names of containers: given ones are checked, missing ones made up.
//!
//! Docker's class plus `:`, because deployment scripts name containers `server:v1`; one
//! character is enough.

use std::io;

/// Why a name is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.:-]* are allowed")]
pub struct NameError(String);

/// Checks a name; a leading `/` is docker's way to write one and is dropped.
pub(super) fn check(name: &str) -> Result<&str, NameError> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let first = bare.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
    let fine = first && rest && bare.len() <= 255;
    if fine { Ok(bare) } else { Err(NameError(name.chars().take(300).collect())) }
}

/// The name a container has in `/etc/hosts` and DNS, where `:` is not allowed.
pub(crate) fn host_part(name: &str) -> String {
    name.replace(':', "-")
}

/// A fresh id: 64 hex digits, of which the first 12 are never all decimal, so that a short id
/// can not be taken for a number.
pub(crate) fn fresh_id() -> io::Result<String> {
    loop {
        let mut bytes = [0; 32];
        fill_random(&mut bytes)?;
        let id = hex::encode(bytes);
        if id[..12].bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return Ok(id);
        }
    }
}

/// A name that is easy to say, such as `calm_harbour`.
pub(super) fn make_up() -> io::Result<String> {
    let mut bytes = [0; 2];
    fill_random(&mut bytes)?;
    let pick = |words: &[&'static str], byte: u8| words[usize::from(byte) % words.len()];
    Ok(format!("{}_{}", pick(&LIKE, bytes[0]), pick(&THING, bytes[1])))
}

fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    use io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}

const LIKE: [&str; 32] = [
    "amber", "bold", "brisk", "calm", "clear", "coastal", "deep", "eager", "early", "fair", "fresh",
    "gentle", "golden", "grand", "green", "hardy", "keen", "lively", "lucid", "merry", "misty", "nimble",
    "noble", "quiet", "rapid", "salty", "silver", "steady", "sunny", "swift", "tidal", "windy",
];

const THING: [&str; 32] = [
    "anchor", "bay", "beacon", "boat", "bow", "buoy", "cabin", "canal", "cargo", "compass", "crane", "crew",
    "current", "deck", "dock", "ferry", "gull", "harbour", "hull", "island", "jetty", "keel", "lagoon",
    "mast", "pier", "pilot", "quay", "reef", "rudder", "sail", "tide", "wave",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_is_part_of_a_name() {
        for name in ["a", "server-container:v0", "/x", "A.b_c-1"] {
            assert_eq!(check(name), Ok(name.trim_start_matches('/')));
        }
        for name in ["", "/", "-a", ":a", "a b", "a/b", "ä", &"x".repeat(256)] {
            assert!(check(name).is_err(), "for {name:?}");
        }
    }

    #[test]
    fn made_up_names_and_ids_are_names() {
        assert!(check(&make_up().unwrap()).is_ok());
        assert_eq!(fresh_id().unwrap().len(), 64);
    }
}
