//! Which compression a file has, told by its content and never by its name.

use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};

use liblzma::stream::{CONCATENATED, Stream};

use super::entry::looks_like_header;

const BUFFER: usize = 256 * 1024;
const BLOCK: usize = 512;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// The media type of a layer that is compressed so. The OCI specification has no word for
    /// the last two; theirs follow its pattern.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::Bzip2 => "application/vnd.oci.image.layer.v1.tar+bzip2",
            Self::Xz => "application/vnd.oci.image.layer.v1.tar+xz",
        }
    }
}

/// Whether a file that begins like this may be an archive. `head` should have 512 bytes if the
/// file has. Whether a compressed file holds a tar is told by [`holds_tar`].
pub fn is_archive(head: &[u8]) -> Option<Compression> {
    let magics: [(&[u8], Compression); 4] = [
        (&[0x1f, 0x8b, 0x08], Compression::Gzip),
        (b"BZh", Compression::Bzip2),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
        (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
    ];
    let compressed = magics.iter().find(|(magic, _)| head.starts_with(magic));
    compressed.map(|(_, kind)| *kind).or_else(|| looks_like_header(head).then_some(Compression::Plain))
}

/// Whether a file is a tar, compressed or not. Leaves it at its beginning. An archive without
/// entries is none.
///
/// # Errors
/// When the file can not be read.
pub fn holds_tar(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    file.rewind()?;
    let head = read_head(file)?;
    let found = match is_archive(&head) {
        None => false,
        Some(Compression::Plain) => true,
        Some(kind) => {
            file.rewind()?;
            // What does not decompress is no archive.
            let inner = decoder(kind, BufReader::new(&mut *file)).and_then(|mut inner| read_head(&mut inner));
            inner.is_ok_and(|inner| looks_like_header(&inner))
        }
    };
    file.rewind()?;
    Ok(found)
}

/// The first block, or less when there is less.
fn read_head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(BLOCK);
    input.take(BLOCK as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A dictionary as large as the file says would be taken otherwise; `xz -9` needs an eighth of it.
const XZ_MEMORY: u64 = 512 << 20;

fn decoder<'a>(kind: Compression, input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match kind {
        Compression::Plain => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(input)?),
    })
}

/// The uncompressed content of `input`, whatever it is.
pub(crate) fn decompress<'a>(mut input: impl Read + 'a) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let head = read_head(&mut input)?;
    let kind = is_archive(&head).unwrap_or(Compression::Plain);
    let whole = Cursor::new(head).chain(input);
    let reader: Box<dyn Read + 'a> = match kind {
        Compression::Plain => Box::new(whole),
        kind => decoder(kind, BufReader::with_capacity(BUFFER, whole))?,
    };
    Ok((kind, reader))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tar() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        builder.append_data(&mut header, "a", b"hello".as_slice()).unwrap();
        builder.into_inner().unwrap()
    }

    fn compressed(plain: &[u8]) -> Vec<(Compression, Vec<u8>)> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(plain).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(plain).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(plain).unwrap();
        vec![
            (Compression::Plain, plain.to_vec()),
            (Compression::Gzip, gzip.finish().unwrap()),
            (Compression::Bzip2, bzip2.finish().unwrap()),
            (Compression::Xz, xz.finish().unwrap()),
            (Compression::Zstd, zstd::encode_all(plain, 1).unwrap()),
        ]
    }

    #[test]
    fn every_compression_is_told_by_content() {
        for (kind, bytes) in compressed(&tar()) {
            assert_eq!(is_archive(&bytes[..bytes.len().min(512)]), Some(kind));
            assert!(holds_tar(&mut Cursor::new(&bytes)).unwrap(), "{kind:?}");
            let (found, mut reader) = decompress(bytes.as_slice()).unwrap();
            let mut plain = Vec::new();
            reader.read_to_end(&mut plain).unwrap();
            assert_eq!((found, plain), (kind, tar()));
        }
    }

    #[test]
    fn other_files_are_no_archives() {
        for (_, bytes) in compressed(b"just text, long enough to be more than nothing").drain(..) {
            assert!(!holds_tar(&mut Cursor::new(bytes)).unwrap());
        }
        for bytes in [b"".as_slice(), b"#!/bin/sh\n", &[0; 1024], &[0x1f, 0x8b, 8, 0, 1]] {
            assert!(!holds_tar(&mut Cursor::new(bytes)).unwrap(), "for {bytes:?}");
        }
    }
}
