//! The keys that take a client away from a container without ending it.
//!
//! Written `ctrl-p,ctrl-q`: keys separated by commas, each one character or `ctrl-` and one of
//! `a`..`z`, `@`, `[`, `\`, `]`, `^`, `_`. Nothing means that there is no such sequence. Bytes that
//! may be the start of the sequence are held back until the next byte tells; when it was not the
//! sequence they are delivered.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A sequence of keys; empty when detaching by keys is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DetachKeys(Vec<u8>);

/// The text does not name keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown key `{key}` in detach keys `{text}`")]
pub struct NotKeys {
    key: String,
    text: String,
}

impl Default for DetachKeys {
    /// ctrl-p,ctrl-q
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl FromStr for DetachKeys {
    type Err = NotKeys;

    fn from_str(text: &str) -> Result<Self, NotKeys> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let code = |key: &str| key_code(key).ok_or_else(|| NotKeys { key: key.into(), text: text.into() });
        text.split(',').map(code).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for DetachKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, &code) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match code {
                0..32 => write!(f, "{comma}ctrl-{}", char::from(code + 64).to_ascii_lowercase())?,
                _ => write!(f, "{comma}{}", char::from(code))?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for DetachKeys {
    type Error = NotKeys;

    fn try_from(text: String) -> Result<Self, NotKeys> {
        text.parse()
    }
}

impl From<DetachKeys> for String {
    fn from(keys: DetachKeys) -> Self {
        keys.to_string()
    }
}

fn key_code(key: &str) -> Option<u8> {
    let name = key.get(..5).filter(|start| start.eq_ignore_ascii_case("ctrl-")).map(|_| &key[5..]);
    match (name.unwrap_or(key).as_bytes(), name.is_some()) {
        ([byte], false) if byte.is_ascii() && !byte.is_ascii_control() => Some(*byte),
        ([byte @ (b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'['..=b'_')], true) => {
            Some(byte.to_ascii_uppercase() - 64)
        }
        _ => None,
    }
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub(crate) struct Watch {
    keys: DetachKeys,
    /// How many keys of the sequence were typed last; they are held back.
    held: usize,
}

/// What typed bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// For the container (may be empty: everything is held back).
    Input(Vec<u8>),
    /// The whole sequence came; the bytes before it are for the container.
    Detach(Vec<u8>),
}

impl Watch {
    pub(crate) fn new(keys: DetachKeys) -> Self {
        Self { keys, held: 0 }
    }

    /// Sorts `bytes` into input and the sequence.
    pub(crate) fn typed(&mut self, bytes: &[u8]) -> Typed {
        let mut input = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.step(byte, &mut input);
            if !self.keys.0.is_empty() && self.held == self.keys.0.len() {
                self.held = 0;
                return Typed::Detach(input);
            }
        }
        Typed::Input(input)
    }

    /// The input has ended: what is held back was meant for the container.
    pub(crate) fn ended(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        self.keys.0[..held].to_vec()
    }

    /// Takes one byte; delivers from the front of what is held until the rest may start a sequence.
    fn step(&mut self, byte: u8, input: &mut Vec<u8>) {
        let mut pending = self.keys.0[..self.held].to_vec();
        pending.push(byte);
        let kept = (0..=pending.len())
            .find(|&from| self.keys.0.starts_with(&pending[from..]))
            .unwrap_or(pending.len());
        input.extend_from_slice(&pending[..kept]);
        self.held = pending.len() - kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written() {
        for (text, codes) in [
            ("", vec![]),
            ("ctrl-p,ctrl-q", vec![16, 17]),
            ("CTRL-a,a", vec![1, b'a']),
            ("ctrl-@,ctrl-[,ctrl-_", vec![0, 27, 31]),
        ] {
            let keys: DetachKeys = text.parse().unwrap();
            assert_eq!(keys.0, codes, "for {text:?}");
            assert_eq!(keys.to_string().parse::<DetachKeys>().unwrap(), keys);
        }
        for wrong in ["ctrl-", "ctrl-1", "ab", "a,,b", ",", "é", "shift-a"] {
            assert!(wrong.parse::<DetachKeys>().is_err(), "for {wrong:?}");
        }
    }

    #[test]
    fn the_first_key_is_held_back_until_the_next_byte() {
        let mut watch = Watch::new(DetachKeys::default());
        assert_eq!(watch.typed(b"a\x10"), Typed::Input(b"a".to_vec()));
        assert_eq!(watch.typed(b"b"), Typed::Input(b"\x10b".to_vec()));
        assert_eq!(watch.typed(b"\x10\x10"), Typed::Input(b"\x10".to_vec()));
        assert_eq!(watch.typed(b"\x11more"), Typed::Detach(vec![]));
        assert_eq!(watch.typed(b"x\x10\x11"), Typed::Detach(b"x".to_vec()));
        assert_eq!(watch.typed(b"\x10"), Typed::Input(vec![]));
        assert_eq!(watch.ended(), b"\x10");
        assert_eq!(watch.ended(), b"");
    }

    #[test]
    fn a_sequence_that_repeats_its_start_is_found() {
        let mut watch = Watch::new("a,a,b".parse().unwrap());
        assert_eq!(watch.typed(b"aaab"), Typed::Detach(b"a".to_vec()));
        let mut off = Watch::new("".parse().unwrap());
        assert_eq!(off.typed(b"\x10\x11"), Typed::Input(b"\x10\x11".to_vec()));
    }
}
