//! Mount options as `mount(8)` and the OCI runtime spec write them.

use libc::{
    MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MS_PRIVATE, MS_SHARED, MS_SLAVE,
    MS_UNBINDABLE,
};

/// All bits of the access time attribute: it is a number, not flags.
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

/// What a mount's options ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `Some(true)` is `rbind`.
    pub(crate) bind: Option<Recursive>,
    /// `MOUNT_ATTR_*` of the mount.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` to take away.
    pub(crate) clear: u64,
    /// `MOUNT_ATTR_*` of the mount and of those below it.
    pub(crate) set_below: u64,
    /// `MS_PRIVATE` and the like, and whether it is also for those below.
    pub(crate) propagation: Option<(u64, Recursive)>,
    /// For the file system: `size=64m`.
    pub(crate) data: Vec<String>,
}

/// Whether something is also about the mounts below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recursive {
    /// It is.
    Yes,
    /// Only about this one.
    No,
}

impl Options {
    /// Reads options; words that no mount attribute has are the file system's.
    ///
    /// `ro` of an `rbind` is about the mounts below too: a read-only volume with a writable mount
    /// inside is not what anybody means.
    pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut options = Self::default();
        for word in words {
            options.add(word);
        }
        if options.bind == Some(Recursive::Yes) && options.set & MOUNT_ATTR_RDONLY != 0 {
            options.set_below |= MOUNT_ATTR_RDONLY;
        }
        options
    }

    fn add(&mut self, word: &str) {
        match word {
            "" | "defaults" | "z" | "Z" | "nocopy" => {}
            "bind" => self.bind = Some(Recursive::No),
            "rbind" => self.bind = Some(Recursive::Yes),
            _ => {
                if let Some((set, bits)) = attribute(word) {
                    self.change(set, bits);
                } else if let Some(Some((true, bits))) = word.strip_prefix('r').map(attribute) {
                    self.set_below |= bits;
                } else if let Some(propagation) = propagation(word) {
                    self.propagation = Some(propagation);
                } else {
                    self.data.push(word.to_owned());
                }
            }
        }
    }

    fn change(&mut self, set: bool, bits: u64) {
        let all = if bits & ATIME != 0 { bits | ATIME } else { bits };
        self.set &= !all;
        self.clear |= all;
        if set {
            self.set |= bits;
            self.clear &= !bits | if bits & ATIME != 0 { ATIME } else { 0 };
        }
    }
}

/// Whether a word sets or clears, and which attribute.
fn attribute(word: &str) -> Option<(bool, u64)> {
    Some(match word {
        "ro" => (true, MOUNT_ATTR_RDONLY),
        "rw" => (false, MOUNT_ATTR_RDONLY),
        "nosuid" => (true, MOUNT_ATTR_NOSUID),
        "suid" => (false, MOUNT_ATTR_NOSUID),
        "nodev" => (true, MOUNT_ATTR_NODEV),
        "dev" => (false, MOUNT_ATTR_NODEV),
        "noexec" => (true, MOUNT_ATTR_NOEXEC),
        "exec" => (false, MOUNT_ATTR_NOEXEC),
        "noatime" => (true, MOUNT_ATTR_NOATIME),
        "strictatime" => (true, MOUNT_ATTR_STRICTATIME),
        "atime" | "relatime" | "norelatime" | "nostrictatime" => (false, ATIME),
        "nodiratime" => (true, MOUNT_ATTR_NODIRATIME),
        "diratime" => (false, MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => (true, MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => (false, MOUNT_ATTR_NOSYMFOLLOW),
        _ => return None,
    })
}

/// Reads `private`, `rshared` and the like.
pub(crate) fn propagation(word: &str) -> Option<(u64, Recursive)> {
    let kind = |word| match word {
        "private" => Some(MS_PRIVATE),
        "shared" => Some(MS_SHARED),
        "slave" => Some(MS_SLAVE),
        "unbindable" => Some(MS_UNBINDABLE),
        _ => None,
    };
    match kind(word) {
        Some(kind) => Some((kind, Recursive::No)),
        None => word.strip_prefix('r').and_then(kind).map(|kind| (kind, Recursive::Yes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_attributes_propagation_and_data() {
        let options = Options::parse(["nosuid", "strictatime", "mode=755", "rprivate", "size=65536k"]);

        assert_eq!(options.set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME);
        assert_eq!(options.propagation, Some((MS_PRIVATE, Recursive::Yes)));
        assert_eq!(options.data, ["mode=755", "size=65536k"]);
    }

    #[test]
    fn the_last_word_wins() {
        for (words, set) in [
            (vec!["ro", "rw"], 0),
            (vec!["rw", "ro"], MOUNT_ATTR_RDONLY),
            (vec!["noatime", "relatime"], 0),
            (vec!["noatime", "strictatime"], MOUNT_ATTR_STRICTATIME),
        ] {
            assert_eq!(Options::parse(words.clone()).set, set, "for {words:?}");
        }
    }

    #[test]
    fn read_only_reaches_below_a_recursive_bind() {
        for (words, below) in [
            (vec!["bind", "ro"], 0),
            (vec!["rbind", "ro"], MOUNT_ATTR_RDONLY),
            (vec!["bind", "rro"], MOUNT_ATTR_RDONLY),
        ] {
            assert_eq!(Options::parse(words.clone()).set_below, below, "for {words:?}");
        }
    }
}
