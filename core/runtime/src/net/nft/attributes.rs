//! Netlink attributes: length, kind, value, padding.

const HEADER: usize = 4;
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;

/// Attributes one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(crate) fn nested(self, kind: u16, value: Self) -> Self {
        self.nested_bytes(kind, &value.0)
    }

    /// Attributes as the kernel sent them.
    pub(crate) fn nested_bytes(self, kind: u16, value: &[u8]) -> Self {
        self.bytes(kind | NESTED, value)
    }
}

/// The value at the end of a path of kinds, each inside of the one before.
pub(crate) fn find<'a>(mut bytes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    for wanted in path {
        bytes = loop {
            let [l0, l1, k0, k1] = *bytes.first_chunk::<HEADER>()?;
            let length = usize::from(u16::from_ne_bytes([l0, l1]));
            let value = bytes.get(HEADER..length)?;
            if u16::from_ne_bytes([k0, k1]) & KIND == *wanted {
                break value;
            }
            bytes = bytes.get(length.next_multiple_of(4)..)?;
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_written() {
        let inner = Attributes::new().number(1, 5).text(2, "abc");
        let all = Attributes::new().bytes(9, b"x").nested(3, inner);
        assert_eq!(find(all.as_bytes(), &[3, 2]), Some(&b"abc\0"[..]));
        assert_eq!(find(all.as_bytes(), &[3, 1]), Some(&[0, 0, 0, 5][..]));
        assert_eq!(find(all.as_bytes(), &[9]), Some(&b"x"[..]));
        assert_eq!(find(all.as_bytes(), &[4]), None);
        assert_eq!(find(&all.as_bytes()[..6], &[3]), None);
        assert_eq!(find(&[0, 0, 0, 0], &[1]), None);
    }
}
