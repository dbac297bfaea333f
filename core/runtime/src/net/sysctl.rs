//! Kernel settings below `/proc/sys/net`, which belong to the network namespace of the thread that
//! opens them.

use std::io;
use std::path::{Path, PathBuf};

use super::NetError;

/// Refuses every key that is not plainly below `net/`.
pub(super) fn check(key: &str) -> Result<(), NetError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if key.starts_with("net/") && key.split('/').all(plain) {
        Ok(())
    } else {
        Err(NetError::SysctlName { key: key.to_owned() })
    }
}

/// Sets `key` in the calling thread's namespace. Answers what it was; `None` when it was that.
pub(super) fn set(key: &str, value: &str) -> Result<Option<String>, NetError> {
    check(key)?;
    let change = || -> io::Result<Option<String>> {
        let before = std::fs::read_to_string(path(key))?;
        if before.trim_end() == value {
            return Ok(None);
        }
        std::fs::write(path(key), value)?;
        Ok(Some(before.trim_end().to_owned()))
    };
    change().map_err(|source| NetError::Sysctl { key: key.to_owned(), value: value.to_owned(), source })
}

fn path(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_net_are_settings() {
        for (key, good) in [
            ("net/ipv4/ip_forward", true),
            ("net/ipv4/conf/eth0.5/rp_filter", true),
            ("kernel/core_pattern", false),
            ("net/../kernel/core_pattern", false),
            ("net", false),
            ("net//x", false),
            ("/net/ipv4/ip_forward", false),
            ("net/ipv4/./ip_forward", false),
        ] {
            assert_eq!(check(key).is_ok(), good, "{key}");
        }
    }
}
