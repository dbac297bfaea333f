//! One entry of a tar, and the headers it is made of.
//!
//! ustar, GNU (long names, base-256 numbers, sparse files) and PAX (POSIX 2001) headers are
//! read. A later header wins over an earlier one: PAX over GNU over ustar.

use std::io;
use std::ops::Range;

use tar::{EntryType, Header};

use super::Limits;

/// Why bytes are not a tar that can be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// They can not be read, or not decompressed.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// They are something else.
    #[error("the file is not a tar archive, compressed or not")]
    NotAnArchive,
    /// They end too early.
    #[error("the archive ends in the middle of an entry")]
    Truncated,
    /// A header is damaged.
    #[error("the header at byte {offset} of the archive is damaged: {what}")]
    Header {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// An entry of a kind that nobody knows.
    #[error("entry `{path}` has the unknown type {kind:?}")]
    Kind {
        /// Which.
        path: String,
        /// The type byte.
        kind: char,
    },
    /// More than anybody needs.
    #[error("the archive has more than {0} entries, which is the most that is read")]
    Entries(u64),
    /// More files than the file system has inodes for.
    #[error("the archive has more than {0} entries, and the file system has no inodes for more")]
    Inodes(u64),
    /// A longer file than anybody needs.
    #[error("entry `{path}` is longer than {limit} bytes, which is the most that a file may have")]
    Length {
        /// Which.
        path: String,
        /// The most allowed.
        limit: u64,
    },
}

/// Keys and values: PAX records, extended attributes.
pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Directory,
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// Where the data of a sparse file belongs; everything else is zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Offset and length, ascending.
    pub(crate) pieces: Vec<(u64, u64)>,
    /// The file's length.
    pub(crate) size: u64,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As written.
    pub(crate) path: Vec<u8>,
    /// As written; for links.
    pub(crate) target: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds and nanoseconds since 1970.
    pub(crate) mtime: (i64, u32),
    /// Bytes of data that follow.
    pub(crate) size: u64,
    pub(crate) xattrs: Pairs,
    pub(crate) sparse: Option<Sparse>,
}

impl Entry {
    /// The length of the file that it makes.
    pub(crate) fn file_size(&self) -> u64 {
        self.sparse.as_ref().map_or(self.size, |sparse| sparse.size)
    }
}

/// A path for people: what a terminal would act upon is escaped.
pub(crate) fn shown(path: &[u8]) -> String {
    let quote = |letter: char| {
        if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() }
    };
    String::from_utf8_lossy(path).chars().map(quote).collect()
}

/// What the headers before an entry said about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extended {
    pub(crate) long_path: Option<Vec<u8>>,
    pub(crate) long_target: Option<Vec<u8>>,
    /// Key and value, in order.
    pub(crate) pax: Pairs,
}

impl Extended {
    /// The last value of a key. An empty one takes the key back.
    pub(crate) fn pax(&self, key: &str) -> Option<&[u8]> {
        let found = self.pax.iter().rev().find(|(name, _)| name == key.as_bytes());
        found.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, &'static str> {
        self.pax(key).map(|text| decimal(text).ok_or("a PAX number is not one")).transpose()
    }
}

pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The records of a PAX header: `length key=value\n`, the length counting itself.
pub(crate) fn pax_records(mut bytes: &[u8]) -> Option<Pairs> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
        let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    Some(records)
}

/// `1234.5678` or `-12.5`, as seconds and nanoseconds upwards.
fn timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    match (whole.starts_with('-'), nanos) {
        (false, nanos) | (true, nanos @ 0) => Some((seconds, nanos)),
        (true, nanos) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
    }
}

/// Whether 512 bytes can be the first header of a tar. A name may be empty where nothing else could
/// be meant.
pub(crate) fn looks_like_header(block: &[u8]) -> bool {
    let Ok(block) = <&[u8; 512]>::try_from(block) else { return false };
    (block[0] != 0 || &block[257..262] == b"ustar") && checksum_fits(block)
}

/// Some old writers summed signed bytes.
pub(crate) fn checksum_fits(block: &[u8; 512]) -> bool {
    let Ok(written) = Header::from_byte_slice(block).cksum() else { return false };
    let inside = |index: usize| (148..156).contains(&index);
    let bytes = || block.iter().enumerate().map(|(index, byte)| if inside(index) { b' ' } else { *byte });
    let unsigned: u32 = bytes().map(u32::from).sum();
    let signed: i32 = bytes().map(|byte| i32::from(byte.cast_signed())).sum();
    written == unsigned || i64::from(written) == i64::from(signed)
}

// Where the numbers of a header are (POSIX.1-1988, "ustar").
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;

/// Puts an entry together from its header and what came before it.
pub(crate) fn entry(header: &Header, before: &Extended, offset: u64) -> Result<Entry, TarError> {
    let wrong = |what| TarError::Header { offset, what };
    let field = |value: io::Result<u64>, at: Range<usize>, what| match is_blank(&header.as_bytes()[at]) {
        true => Ok(0),
        false => value.map_err(|_| wrong(what)),
    };
    let or_pax = |key, own: io::Result<u64>, at| match before.number(key).map_err(wrong)? {
        Some(number) => Ok(number),
        None => field(own, at, key),
    };
    let mtime = match before.pax("mtime") {
        Some(text) => timestamp(text).ok_or_else(|| wrong("mtime"))?,
        None => (field(header.mtime(), MTIME, "mtime")?.cast_signed(), 0),
    };
    let path = path(header, before);
    let kind = kind(header, &path, offset)?;
    let data = matches!(kind, Kind::File);
    let size = or_pax("size", header.entry_size(), SIZE)?;
    let target = before.pax("linkpath").map(<[u8]>::to_vec).or_else(|| before.long_target.clone());
    let target = target.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
    Ok(Entry {
        target: target.unwrap_or_default(),
        kind,
        mode: u32::try_from(field(header.mode().map(u64::from), MODE, "mode")? & 0o7777).unwrap_or_default(),
        uid: or_pax("uid", header.uid(), UID)?,
        gid: or_pax("gid", header.gid(), GID)?,
        mtime,
        // Links may give the size of what they point to, but no data follows.
        size: if data { size } else { 0 },
        xattrs: xattrs(before),
        sparse: None,
        path,
    })
}

/// Some writers leave a number out that is 0.
fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

fn path(header: &Header, before: &Extended) -> Vec<u8> {
    let pax = before.pax("GNU.sparse.name").or_else(|| before.pax("path"));
    let long = pax.map(<[u8]>::to_vec).or_else(|| before.long_path.clone());
    long.unwrap_or_else(|| header.path_bytes().into_owned())
}

fn kind(header: &Header, path: &[u8], offset: u64) -> Result<Kind, TarError> {
    let device = || {
        let numbers = header.device_major().and_then(|major| Ok((major, header.device_minor()?)));
        let wrong = |_| TarError::Header { offset, what: "device number" };
        numbers.map(|(major, minor)| (major.unwrap_or(0), minor.unwrap_or(0))).map_err(wrong)
    };
    Ok(match header.entry_type() {
        // Before ustar, a directory was a file whose name ends in a slash.
        EntryType::Regular if header.as_bytes()[156] == 0 && path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Directory => Kind::Directory,
        EntryType::Char => device().map(|(major, minor)| Kind::Char(major, minor))?,
        EntryType::Block => device().map(|(major, minor)| Kind::Block(major, minor))?,
        EntryType::Fifo => Kind::Fifo,
        other => return Err(TarError::Kind { path: shown(path), kind: char::from(other.as_byte()) }),
    })
}

fn xattrs(before: &Extended) -> Pairs {
    let mut found: Pairs = Vec::new();
    for (key, value) in &before.pax {
        let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else { continue };
        found.retain(|(old, _)| old != name);
        found.push((name.to_vec(), value.clone()));
    }
    found
}

/// Why a name in an archive can not be a path below a root.
pub(crate) fn normalised(path: &[u8], limits: &Limits) -> Result<Vec<u8>, &'static str> {
    let mut clean = Vec::with_capacity(path.len());
    let mut depth = 0;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err("`..` would leave the archive"),
            part if part.contains(&0) => return Err("a name holds a NUL byte"),
            part if part.len() > limits.name => return Err("a name is too long"),
            part => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(part);
                depth += 1;
            }
        }
    }
    match () {
        () if depth > limits.depth => Err("it is too many directories deep"),
        () if clean.len() > limits.path => Err("it is too long"),
        () => Ok(clean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_count_their_own_length() {
        let records = pax_records(b"12 path=abc\n16 mtime=-1.5e=\n").unwrap();
        assert_eq!(records[0], (b"path".to_vec(), b"abc".to_vec()));
        assert_eq!(records[1], (b"mtime".to_vec(), b"-1.5e=".to_vec()));
        for bad in [&b"13 path=abc\n"[..], b"99 path=abc\n", b"x", b"3 a", b"0 a=b\n", b"12 pathxabc\n"] {
            assert!(pax_records(bad).is_none(), "for {bad:?}");
        }
    }

    #[test]
    fn times_before_1970_round_down() {
        for (text, time) in [
            ("1.5", Some((1, 500_000_000))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.25", Some((-1, 750_000_000))),
            ("7", Some((7, 0))),
            ("1.0000000019", Some((1, 1))),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(timestamp(text.as_bytes()), time, "for {text}");
        }
    }

    #[test]
    fn names_stay_below_the_root() {
        let limits = Limits { depth: 3, name: 4, path: 10, ..Limits::default() };
        for (path, clean) in [("/a/./b//", Some("a/b")), ("./", Some("")), ("..", None), ("a/../b", None)] {
            assert_eq!(normalised(path.as_bytes(), &limits).ok().as_deref(), clean.map(str::as_bytes));
        }
        for path in ["a/b/c/d", "abcde", "aaaa/bbbb/cccc", "a\0b"] {
            assert!(normalised(path.as_bytes(), &limits).is_err(), "for {path:?}");
        }
    }

    #[test]
    fn a_header_may_have_no_name() {
        let mut header = Header::new_ustar();
        header.set_size(0);
        header.set_cksum();
        assert!(looks_like_header(header.as_bytes()));
        assert!(!looks_like_header(&[0; 512]));
    }

    #[test]
    fn a_terminal_sees_no_escapes() {
        assert_eq!(shown(b"a\x1b[31m\nb\xff"), "a\\u{1b}[31m\\nb\u{fffd}");
    }
}
