//! Writing a tar so that the same files always give the same bytes.

use std::io::{self, Write};

use rustix::fs::FileType;
use tar::{EntryType, Header};

use super::entry::Pairs;

const BLOCK: u64 = 512;
/// The largest numbers that the octal fields of ustar hold.
const OCTAL_7: u64 = 0o7_777_777;
const OCTAL_11: u64 = 0o77_777_777_777;

/// One entry to write.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: FileType,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    /// Bytes of data that follow.
    pub(crate) size: u64,
    /// Of a device node, as the kernel writes it.
    pub(crate) device: u64,
    /// Of a link.
    pub(crate) target: Vec<u8>,
    pub(crate) hard: bool,
    pub(crate) xattrs: Pairs,
}

impl Line {
    /// An empty file that means a deletion. It must not depend on when it was deleted.
    pub(crate) fn deletion(path: Vec<u8>) -> Self {
        Self {
            path,
            kind: FileType::RegularFile,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
            device: 0,
            target: Vec::new(),
            hard: false,
            xattrs: Vec::new(),
        }
    }

    /// The same file, as a further name of `first`.
    pub(crate) fn linked_to(mut self, first: Vec<u8>) -> Self {
        (self.target, self.hard, self.size, self.xattrs) = (first, true, 0, Vec::new());
        self
    }

    fn entry_type(&self) -> EntryType {
        match self.kind {
            _ if self.hard => EntryType::Link,
            FileType::Directory => EntryType::Directory,
            FileType::Symlink => EntryType::Symlink,
            FileType::CharacterDevice => EntryType::Char,
            FileType::BlockDevice => EntryType::Block,
            FileType::Fifo => EntryType::Fifo,
            _ => EntryType::Regular,
        }
    }

    /// As in a tar: directories end in a slash, the root is `./`.
    fn name(&self) -> Vec<u8> {
        match (self.kind == FileType::Directory, self.path.is_empty()) {
            (true, true) => b"./".to_vec(),
            (true, false) => [self.path.as_slice(), b"/"].concat(),
            _ => self.path.clone(),
        }
    }
}

/// Writes entries.
pub(crate) struct Scribe<W> {
    out: W,
    /// Bytes of the current entry's data.
    written: u64,
}

impl<W: Write> Scribe<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, written: 0 }
    }

    /// Writes the headers of an entry. Its data must follow, then [`Self::pad`].
    pub(crate) fn line(&mut self, line: &Line) -> io::Result<()> {
        let name = line.name();
        let records = pax(line, &name);
        if !records.is_empty() {
            let mut header = header(EntryType::XHeader, records.len() as u64);
            fill(&mut header.as_mut_bytes()[..100], b"PaxHeader");
            header.set_cksum();
            self.out.write_all(header.as_bytes())?;
            self.data(&records)?;
            self.pad()?;
        }
        let mut header = header(line.entry_type(), line.size.min(OCTAL_11));
        fill(&mut header.as_mut_bytes()[..100], &name);
        fill(&mut header.as_mut_bytes()[157..257], &line.target);
        header.set_mode(line.mode);
        header.set_uid(u64::from(line.uid).min(OCTAL_7));
        header.set_gid(u64::from(line.gid).min(OCTAL_7));
        header.set_mtime(line.mtime.clamp(0, OCTAL_11.cast_signed()).cast_unsigned());
        if matches!(line.kind, FileType::CharacterDevice | FileType::BlockDevice) {
            header.set_device_major(rustix::fs::major(line.device))?;
            header.set_device_minor(rustix::fs::minor(line.device))?;
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    /// Writes data of the last entry.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Ends the data of the last entry.
    pub(crate) fn pad(&mut self) -> io::Result<()> {
        let missing = self.written.next_multiple_of(BLOCK) - self.written;
        self.written = 0;
        self.out.write_all(&[0; 512][..usize::try_from(missing).unwrap_or(0)])
    }

    /// Writes the end of the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 1024])?;
        Ok(self.out)
    }
}

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// As much as fits; what does not fit is in a PAX record.
fn fill(field: &mut [u8], value: &[u8]) {
    let count = field.len().min(value.len());
    field[..count].copy_from_slice(&value[..count]);
}

/// The records for what ustar can not hold, in a fixed order.
fn pax(line: &Line, name: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| records.extend(record(key, value));
    let number = |value: u64| value.to_string().into_bytes();
    if name.len() > 100 {
        add(b"path", name);
    }
    if line.target.len() > 100 {
        add(b"linkpath", &line.target);
    }
    if line.size > OCTAL_11 {
        add(b"size", &number(line.size));
    }
    if u64::from(line.uid) > OCTAL_7 {
        add(b"uid", &number(line.uid.into()));
    }
    if u64::from(line.gid) > OCTAL_7 {
        add(b"gid", &number(line.gid.into()));
    }
    if line.mtime < 0 || line.mtime.cast_unsigned() > OCTAL_11 {
        add(b"mtime", line.mtime.to_string().as_bytes());
    }
    for (key, value) in &line.xattrs {
        add(&[b"SCHILY.xattr.", key.as_slice()].concat(), value);
    }
    records
}

/// The length counts its own digits, so it is found by trying.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    let mut text = format!("{length} ").into_bytes();
    text.extend_from_slice(key);
    text.push(b'=');
    text.extend_from_slice(value);
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::entry::pax_records;

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in [1, 2, 3, 4, 5, 6, 7, 90, 91, 92, 93, 94, 95, 96, 990, 991, 992, 993, 994, 995] {
            let value = vec![b'v'; length];
            let bytes = record(b"k", &value);
            assert_eq!(pax_records(&bytes), Some(vec![(b"k".to_vec(), value)]), "for {length}");
        }
    }
}
