//! What is known about the contents of a directory's files, kept from one build to the next.
//!
//! ```text
//! <root>/digests/<device>-<inode>     of one build context
//!
//! "wharf-digests-1\n"
//! records, sorted by device and inode, each 88 bytes; numbers are little-endian
//!     device u64, inode u64, size u64
//!     ctime seconds i64, nanoseconds u64, mtime seconds i64, nanoseconds u32
//!     whether the file has attributes that are copied u32
//!     SHA-256 of its content, 32 bytes
//! SHA-256 of everything before, 32 bytes
//! ```
//!
//! It is read whole, and written whole to a new file that takes the old one's place. A file that is
//! damaged, cut short or of another version is as good as none, and nobody waits for the disk
//! because of it. A directory keeps so many records at most; all directories together keep so many
//! bytes, and the one that was written longest ago goes first.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, BufWriter, IntoInnerError, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::Stat;
use wharf_model::{Digest, Hasher};

use super::known::{Known, Looks};

const MAGIC: &[u8; 16] = b"wharf-digests-1\n";
const RECORD: usize = 88;
const CHECK: usize = 32;
/// Records of one directory.
const MOST: usize = 400_000;
/// Bytes of all directories.
const ROOM: u64 = 256 << 20;

/// The records of one directory.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    records: Vec<u8>,
}

impl Kept {
    /// What was kept for the directory with this stat; nothing when there is none.
    pub(super) fn load(home: &Path, context: &Stat) -> Self {
        let path = home.join(format!("{}-{}", context.st_dev, context.st_ino));
        let records = read(&path).unwrap_or_default();
        Self { path, records }
    }

    /// What is known about a file that looks like this.
    pub(super) fn find(&self, looks: &Looks) -> Option<Known> {
        let (mut low, mut high) = (0, self.records.len() / RECORD);
        while low < high {
            let middle = low.midpoint(high);
            let (found, known) = decoded(self.record(middle));
            match found.place().cmp(&looks.place()) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return (found == *looks).then_some(known),
            }
        }
        None
    }

    /// Keeps these too, in the place of what was known of the same files. They are sorted, and each
    /// file is there once.
    pub(super) fn add<'a>(&self, fresh: impl ExactSizeIterator<Item = (&'a Looks, Known)>) -> io::Result<()> {
        let home = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home)?;
        let file = tempfile::NamedTempFile::new_in(home)?;
        let mut out = Checked { out: BufWriter::new(file), hasher: Hasher::new() };
        out.put(MAGIC)?;
        self.merge(fresh, &mut out)?;
        let Checked { mut out, hasher } = out;
        out.write_all(hasher.finish().as_bytes())?;
        out.into_inner().map_err(IntoInnerError::into_error)?.persist(&self.path)?;
        make_room(home, &self.path)
    }

    fn merge<'a>(
        &self,
        fresh: impl ExactSizeIterator<Item = (&'a Looks, Known)>,
        out: &mut Checked,
    ) -> io::Result<()> {
        let count = self.records.len() / RECORD;
        // When there are too many, those of files that this build did not ask for go.
        let old = if count + fresh.len() > MOST { 0 } else { count };
        let mut next = 0;
        for (looks, known) in fresh.take(MOST) {
            while next < old {
                match decoded(self.record(next)).0.place().cmp(&looks.place()) {
                    Ordering::Less => out.put(self.record(next))?,
                    Ordering::Equal => {}
                    Ordering::Greater => break,
                }
                next += 1;
            }
            out.put(&encoded(looks, &known))?;
        }
        out.put(&self.records[next.min(old) * RECORD..old * RECORD])
    }

    fn record(&self, number: usize) -> &[u8] {
        &self.records[number * RECORD..(number + 1) * RECORD]
    }
}

/// The records of a file that is whole.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let records = length.checked_sub(MAGIC.len() + CHECK)?;
    if !records.is_multiple_of(RECORD) || records > MOST * RECORD {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    file.read_to_end(&mut bytes).ok()?;
    let (content, check) = bytes.split_at_checked(length - CHECK)?;
    if !content.starts_with(MAGIC) || Digest::of(content).as_bytes() != check {
        return None;
    }
    bytes.truncate(length - CHECK);
    bytes.drain(..MAGIC.len());
    Some(bytes)
}

/// A file whose end says what it holds.
struct Checked {
    out: BufWriter<tempfile::NamedTempFile>,
    hasher: Hasher,
}

impl Checked {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }
}

fn encoded(looks: &Looks, known: &Known) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let (seconds, nanoseconds) = looks.modified;
    let eights = [
        looks.device,
        looks.inode,
        looks.size,
        looks.changed.0.cast_unsigned(),
        looks.changed.1,
        seconds.cast_unsigned(),
    ];
    for (number, value) in eights.iter().enumerate() {
        record[number * 8..number * 8 + 8].copy_from_slice(&value.to_le_bytes());
    }
    record[48..52].copy_from_slice(&u32::try_from(nanoseconds).unwrap_or(u32::MAX).to_le_bytes());
    record[52..56].copy_from_slice(&u32::from(known.has_attributes).to_le_bytes());
    record[56..].copy_from_slice(known.digest.as_bytes());
    record
}

fn decoded(record: &[u8]) -> (Looks, Known) {
    let eight = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[at..at + 8]);
        bytes
    };
    let four = |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
    let mut digest = [0; 32];
    digest.copy_from_slice(&record[56..RECORD]);
    let looks = Looks {
        device: u64::from_le_bytes(eight(0)),
        inode: u64::from_le_bytes(eight(8)),
        size: u64::from_le_bytes(eight(16)),
        changed: (i64::from_le_bytes(eight(24)), u64::from_le_bytes(eight(32))),
        modified: (i64::from_le_bytes(eight(40)), u64::from(four(48))),
    };
    (looks, Known { digest: Digest::from_bytes(digest), has_attributes: four(52) != 0 })
}

/// Removes what was written longest ago until the rest fits; never `newest`.
fn make_room(home: &Path, newest: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(home)?.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        files.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), entry.path()));
    }
    files.sort();
    let mut size: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, length, path) in files.iter().filter(|(.., path)| path != newest) {
        if size <= ROOM {
            break;
        }
        fs::remove_file(path)?;
        size -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(inode: u64) -> Looks {
        Looks { device: 1, inode, size: 3, changed: (-5, 7), modified: (9, 11) }
    }

    fn known(text: &str) -> Known {
        Known { digest: Digest::of(text), has_attributes: text.is_empty() }
    }

    fn add(kept: &Kept, fresh: &[(Looks, Known)]) {
        kept.add(fresh.iter().map(|(looks, known)| (looks, *known))).unwrap();
    }

    fn home() -> (tempfile::TempDir, Stat) {
        let dir = tempfile::tempdir().unwrap();
        let stat = rustix::fs::stat(dir.path()).unwrap();
        (dir, stat)
    }

    #[test]
    fn what_was_added_is_found_as_long_as_it_looks_the_same() {
        let (dir, stat) = home();
        add(&Kept::load(dir.path(), &stat), &[(looks(2), known("a")), (looks(5), known(""))]);
        let changed = Looks { size: 4, ..looks(5) };
        let more = [(looks(1), known("b")), (changed.clone(), known("c")), (looks(9), known("d"))];
        add(&Kept::load(dir.path(), &stat), &more);
        let kept = Kept::load(dir.path(), &stat);
        for (looks, expected) in [
            (looks(1), Some("b")),
            (looks(2), Some("a")),
            (looks(3), None),
            (looks(5), None),
            (changed, Some("c")),
            (looks(9), Some("d")),
            (Looks { device: 2, ..looks(2) }, None),
            (Looks { changed: (-5, 8), ..looks(2) }, None),
            (Looks { modified: (9, 12), ..looks(2) }, None),
        ] {
            assert_eq!(kept.find(&looks), expected.map(known), "{looks:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let (dir, stat) = home();
        let kept = Kept::load(dir.path(), &stat);
        add(&kept, &[(looks(2), known("a"))]);
        let whole = fs::read(&kept.path).unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        for bytes in [flipped(0), flipped(40), flipped(whole.len() - 1), whole[..90].to_vec(), Vec::new()] {
            fs::write(&kept.path, bytes).unwrap();
            assert_eq!(Kept::load(dir.path(), &stat).find(&looks(2)), None);
        }
        fs::write(&kept.path, whole).unwrap();
        assert_eq!(Kept::load(dir.path(), &stat).find(&looks(2)), Some(known("a")));
    }
}
