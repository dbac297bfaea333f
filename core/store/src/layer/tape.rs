//! A tar as a sequence of entries, each followed by its data.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::Limits;
use super::entry::{
    Entry, Extended, Kind, Pairs, Sparse, TarError, checksum_fits, decimal, entry, pax_records, shown,
};

const BLOCK: u64 = 512;
/// Names, PAX records and sparse maps are held in memory; none is longer than this.
const EXTENDED_LIMIT: u64 = 1 << 20;

/// Reads a tar. After [`Self::next`], reading gives that entry's data.
pub(crate) struct Tape<'a, R> {
    input: R,
    limits: &'a Limits,
    /// Where in the archive the next byte of `input` is.
    offset: u64,
    /// Bytes of the current entry's data that were not read yet.
    left: u64,
    /// From here on, until another such header.
    global: Pairs,
    entries: u64,
}

impl<'a, R: Read> Tape<'a, R> {
    pub(crate) fn new(input: R, limits: &'a Limits) -> Self {
        Self { input, limits, offset: 0, left: 0, global: Vec::new(), entries: 0 }
    }

    /// Skips what is left of the entry and reads the next one; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        let mut before = Extended { pax: self.global.clone(), ..Extended::default() };
        loop {
            let left = self.left;
            self.skip(left)?;
            self.left = 0;
            self.pad()?;
            let offset = self.offset;
            let Some(block) = self.block()? else { return Ok(None) };
            let header = Header::from_byte_slice(&block);
            match header.entry_type() {
                EntryType::XHeader => before.pax.extend(self.pax(header, offset)?),
                EntryType::XGlobalHeader => {
                    let records = self.pax(header, offset)?;
                    before.pax.splice(0..0, records.iter().cloned());
                    self.global.extend(records);
                }
                EntryType::GNULongName => before.long_path = Some(self.long(header, offset)?),
                EntryType::GNULongLink => before.long_target = Some(self.long(header, offset)?),
                // The label of a volume.
                kind if kind.as_byte() == b'V' => {}
                _ => return self.entry(header, &before, offset).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, before: &Extended, offset: u64) -> Result<Entry, TarError> {
        let mut entry = entry(header, before, offset)?;
        self.entries += 1;
        if self.entries > self.limits.inodes.min(self.limits.entries) {
            let Limits { entries, inodes, .. } = *self.limits;
            return Err(if inodes < entries { TarError::Inodes(inodes) } else { TarError::Entries(entries) });
        }
        self.left = entry.size;
        entry.sparse = self.sparse(header, before, &entry, offset)?;
        entry.size = self.left;
        if entry.file_size() > self.limits.bytes {
            return Err(TarError::Length { path: shown(&entry.path), limit: self.limits.bytes });
        }
        Ok(entry)
    }

    /// The input, when everything was read.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// The next header; `None` for the block of zeros that ends a tar, or the end of the input.
    fn block(&mut self) -> Result<Option<[u8; 512]>, TarError> {
        let mut block = [0; 512];
        let mut filled = 0;
        while filled < block.len() {
            match self.read_input(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 if self.offset < BLOCK => return Err(TarError::NotAnArchive),
                0 => return Err(TarError::Truncated),
                count => filled += count,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let first = self.offset == BLOCK;
        match checksum_fits(&block) {
            true => Ok(Some(block)),
            false if first => Err(TarError::NotAnArchive),
            false => Err(TarError::Header { offset: self.offset - BLOCK, what: "checksum" }),
        }
    }

    fn read_input(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        loop {
            match self.input.read(buffer) {
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
    }

    fn skip(&mut self, count: u64) -> Result<(), TarError> {
        let skipped =
            io::copy(&mut (&mut self.input).take(count), &mut io::sink()).map_err(TarError::Read)?;
        self.offset += skipped;
        if skipped == count { Ok(()) } else { Err(TarError::Truncated) }
    }

    /// Data is followed by zeros up to a whole block.
    fn pad(&mut self) -> Result<(), TarError> {
        self.skip(self.offset.next_multiple_of(BLOCK) - self.offset)
    }

    /// The content of a header that describes the next entry.
    fn content(&mut self, header: &Header, offset: u64) -> Result<Vec<u8>, TarError> {
        let wrong = |what| TarError::Header { offset, what };
        let size = header.entry_size().map_err(|_| wrong("size"))?;
        if size > EXTENDED_LIMIT {
            return Err(wrong("an extended header is longer than 1 MiB"));
        }
        let mut content = Vec::new();
        let read = (&mut self.input).take(size).read_to_end(&mut content).map_err(TarError::Read)?;
        self.offset += read as u64;
        if read as u64 == size { Ok(content) } else { Err(TarError::Truncated) }
    }

    fn pax(&mut self, header: &Header, offset: u64) -> Result<Pairs, TarError> {
        let content = self.content(header, offset)?;
        pax_records(&content).ok_or(TarError::Header { offset, what: "PAX records" })
    }

    /// A GNU long name ends with a NUL.
    fn long(&mut self, header: &Header, offset: u64) -> Result<Vec<u8>, TarError> {
        let mut name = self.content(header, offset)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn sparse(
        &mut self,
        header: &Header,
        before: &Extended,
        entry: &Entry,
        offset: u64,
    ) -> Result<Option<Sparse>, TarError> {
        if entry.kind != Kind::File {
            return Ok(None);
        }
        let wrong = |what| TarError::Header { offset, what };
        let real = || -> Result<u64, TarError> {
            let size = before.number("GNU.sparse.realsize").map_err(wrong)?;
            let size = size.or(before.number("GNU.sparse.size").map_err(wrong)?);
            size.ok_or_else(|| wrong("sparse size"))
        };
        let sparse = if header.entry_type() == EntryType::GNUSparse {
            self.old_sparse(header, offset)?
        } else if before.pax("GNU.sparse.major") == Some(b"1") {
            Sparse { size: real()?, pieces: self.sparse_map_in_data(offset)? }
        } else if let Some(map) = before.pax("GNU.sparse.map") {
            let numbers = map.split(|byte| *byte == b',').map(decimal).collect::<Option<Vec<u64>>>();
            Sparse { size: real()?, pieces: pairs(numbers).ok_or_else(|| wrong("sparse map"))? }
        } else if before.pax("GNU.sparse.numblocks").is_some() {
            let keys = ["GNU.sparse.offset", "GNU.sparse.numbytes"];
            let ours = before.pax.iter().filter(|(key, _)| keys.iter().any(|own| own.as_bytes() == key));
            let numbers = ours.map(|(_, value)| decimal(value)).collect::<Option<Vec<u64>>>();
            Sparse { size: real()?, pieces: pairs(numbers).ok_or_else(|| wrong("sparse map"))? }
        } else {
            return Ok(None);
        };
        let fits = fits(&sparse, self.left);
        if fits { Ok(Some(sparse)) } else { Err(wrong("the sparse map does not fit the data")) }
    }

    /// Four pieces in the header, 21 in each block that follows.
    fn old_sparse(&mut self, header: &Header, offset: u64) -> Result<Sparse, TarError> {
        let wrong = |what| TarError::Header { offset, what };
        let gnu = header.as_gnu().ok_or_else(|| wrong("sparse header"))?;
        let size = gnu.real_size().map_err(|_| wrong("sparse size"))?;
        let mut pieces = Vec::new();
        let mut add = |found: &tar::GnuSparseHeader| -> Result<(), TarError> {
            if !found.is_empty() {
                let piece = found.offset().and_then(|offset| Ok((offset, found.length()?)));
                pieces.push(piece.map_err(|_| wrong("sparse map"))?);
            }
            Ok(())
        };
        gnu.sparse.iter().try_for_each(&mut add)?;
        let mut more = gnu.is_extended();
        let mut blocks = 0;
        while more {
            let mut next = tar::GnuExtSparseHeader::new();
            self.input.read_exact(next.as_mut_bytes()).map_err(|_| TarError::Truncated)?;
            self.offset += BLOCK;
            next.sparse.iter().try_for_each(&mut add)?;
            more = next.is_extended();
            blocks += 1;
            if blocks * BLOCK > EXTENDED_LIMIT {
                return Err(wrong("the sparse map is longer than 1 MiB"));
            }
        }
        Ok(Sparse { pieces, size })
    }

    /// Version 1.0 writes the map as lines before the data, filled up to a whole block.
    fn sparse_map_in_data(&mut self, offset: u64) -> Result<Vec<(u64, u64)>, TarError> {
        let wrong = |what| TarError::Header { offset, what };
        let mut text = Vec::new();
        let mut block = [0; 512];
        loop {
            if self.left < BLOCK || text.len() as u64 > EXTENDED_LIMIT {
                return Err(wrong("sparse map"));
            }
            self.read_exact(&mut block).map_err(|_| TarError::Truncated)?;
            text.extend_from_slice(&block);
            let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines = text[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let numbers: Vec<Option<u64>> = lines.map(decimal).collect();
            let wanted = numbers.first().copied().flatten().and_then(|count| count.checked_mul(2));
            match wanted {
                Some(wanted) if (numbers.len() as u64) > wanted => {
                    let wanted = usize::try_from(wanted).map_err(|_| wrong("sparse map"))?;
                    let numbers = numbers[1..=wanted].iter().copied().collect();
                    return pairs(numbers).ok_or_else(|| wrong("sparse map"));
                }
                None if end > 0 => return Err(wrong("sparse map")),
                _ => {}
            }
        }
    }
}

fn pairs(numbers: Option<Vec<u64>>) -> Option<Vec<(u64, u64)>> {
    let numbers = numbers?;
    let pairs = numbers.chunks(2).map(|pair| Some((*pair.first()?, *pair.get(1)?)));
    pairs.collect()
}

/// Ascending, inside the file, and as long as the data that follows.
fn fits(sparse: &Sparse, data: u64) -> bool {
    let mut end = 0;
    let mut sum: u64 = 0;
    for (offset, length) in &sparse.pieces {
        let Some(next) = offset.checked_add(*length) else { return false };
        if *offset < end || next > sparse.size {
            return false;
        }
        (end, sum) = (next, sum + length);
    }
    sum == data
}

impl<R: Read> Read for Tape<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        match self.input.read(&mut buffer[..most])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.left -= count as u64;
                self.offset += count as u64;
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
        read_within(bytes, &Limits { entries: 100, ..Limits::default() })
    }

    fn read_within(bytes: &[u8], limits: &Limits) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
        let mut tape = Tape::new(bytes, limits);
        let mut found = Vec::new();
        while let Some(entry) = tape.next()? {
            let mut data = Vec::new();
            tape.read_to_end(&mut data).map_err(TarError::Read)?;
            found.push((entry, data));
        }
        Ok(found)
    }

    fn header(kind: EntryType, name: &str, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        header.set_cksum();
        header
    }

    fn member(kind: EntryType, name: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = header(kind, name, data.len() as u64).as_bytes().to_vec();
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn pax_wins_over_the_header_and_lasts_for_one_entry() {
        let mut bytes = member(EntryType::XGlobalHeader, "g", b"12 gid=1234\n");
        bytes.extend(member(EntryType::XHeader, "x", b"11 path=zz\n15 uid=3000000\n17 mtime=9.25000\n"));
        bytes.extend(member(EntryType::Regular, "a", b"one"));
        bytes.extend(member(EntryType::Regular, "b", b""));
        let found = read(&bytes).unwrap();
        let (entry, data) = &found[0];
        assert_eq!((entry.path.as_slice(), entry.uid, entry.gid), (b"zz".as_slice(), 3_000_000, 1234));
        assert_eq!((entry.mtime, data.as_slice()), ((9, 250_000_000), b"one".as_slice()));
        let (entry, _) = &found[1];
        assert_eq!((entry.path.as_slice(), entry.uid, entry.gid), (b"b".as_slice(), 0, 1234));
    }

    #[test]
    fn a_number_that_was_left_out_is_zero() {
        let mut header = header(EntryType::Regular, "a", 0);
        for field in [100..108, 108..116, 116..124, 124..136, 136..148] {
            header.as_mut_bytes()[field].fill(0);
        }
        header.as_mut_bytes()[108..116].fill(b' ');
        header.set_cksum();
        let (entry, data) = &read(header.as_bytes()).unwrap()[0];
        assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime, data.len()), (0, 0, 0, (0, 0), 0));
    }

    #[test]
    fn the_pax_size_is_the_size() {
        let mut bytes = member(EntryType::XHeader, "x", b"13 size=1024\n");
        bytes.extend(header(EntryType::Regular, "outer", 0).as_bytes());
        bytes.extend(member(EntryType::Regular, "hidden", b""));
        bytes.extend([0; 512]);
        let found = read(&bytes).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1.len(), 1024);
    }

    #[test]
    fn sparse_files_of_every_kind_are_read() {
        let mut data = b"2\n0\n3\n5000\n2\n".to_vec();
        data.resize(512, 0);
        data.extend(b"abcde");
        let bytes = crate::layer::sample::Tar::default()
            .pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"real"),
                ("GNU.sparse.realsize", b"99999"),
            ])
            .file("GNUSparseFile.0/real", &data)
            .pax(&[
                ("GNU.sparse.size", b"10"),
                ("GNU.sparse.numblocks", b"1"),
                ("GNU.sparse.offset", b"4"),
                ("GNU.sparse.numbytes", b"2"),
            ])
            .file("old", b"yz")
            .open();
        let found = read(&bytes).unwrap();
        let sparse = found[0].0.sparse.clone().unwrap();
        assert_eq!((sparse.pieces, sparse.size), (vec![(0, 3), (5000, 2)], 99999));
        assert_eq!(
            (found[0].0.path.as_slice(), found[0].1.as_slice()),
            (b"real".as_slice(), b"abcde".as_slice())
        );
        assert_eq!(found[1].0.sparse.clone().unwrap().pieces, [(4, 2)]);
    }

    #[test]
    fn damage_is_an_error() {
        let good = member(EntryType::Regular, "a", b"data");
        assert!(matches!(read(b"not a tar"), Err(TarError::NotAnArchive)));
        assert!(matches!(read(&good[..514]), Err(TarError::Read(_))));
        assert!(matches!(read(&[&good[..], b"x"].concat()), Err(TarError::Truncated)));
        let mut bad = good.clone();
        bad[0] ^= 1;
        assert!(matches!(read(&bad), Err(TarError::NotAnArchive)));
        assert!(matches!(read(&[good.clone(), bad].concat()), Err(TarError::Header { offset: 1024, .. })));
        assert!(matches!(read(&good.repeat(101)), Err(TarError::Entries(100))));
        let few = Limits { inodes: 2, ..Limits::default() };
        assert_eq!(read_within(&good.repeat(2), &few).unwrap().len(), 2);
        let error = read_within(&good.repeat(3), &few).unwrap_err();
        assert!(
            error.to_string().contains("more than 2 entries, and the file system has no inodes"),
            "{error}"
        );
        let short = Limits { bytes: 3, ..Limits::default() };
        let error = read_within(&good, &short).unwrap_err();
        assert!(error.to_string().contains("`a` is longer than 3 bytes"), "{error}");
        assert!(matches!(read(&member(EntryType::XHeader, "x", b"99 a=b\n")), Err(TarError::Header { .. })));
        let long = header(EntryType::GNULongName, "l", 1 << 33).as_bytes().to_vec();
        assert!(matches!(read(&long), Err(TarError::Header { .. })));
        assert!(matches!(read(&member(EntryType::new(b'?'), "q", b"")), Err(TarError::Kind { .. })));
    }
}
