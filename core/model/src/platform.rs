//! What an image runs on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system and a processor, in the words of the OCI image index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, ... (Go's names).
    pub architecture: String,
    /// `v7`, `v8`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform that this program was compiled for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "riscv64gc" => "riscv64",
            other => other,
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    /// Whether both are of the same system and processor, whatever its variant.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.os, &self.architecture) == (&other.os, &other.architecture)
    }

    /// How well something for this platform serves who wants that one: the lower, the better; `None` does
    /// not.
    pub fn rank_for(&self, wanted: &Self) -> Option<u32> {
        if !self.is_like(wanted) {
            return None;
        }
        let number = |variant: &Option<String>| {
            let default = if self.architecture == "arm64" { 8 } else { 0 };
            let digits = variant.as_deref().map(|variant| variant.trim_start_matches('v'));
            digits.map_or(Some(default), |digits| digits.parse::<u32>().ok())
        };
        match (&wanted.variant, number(&self.variant)) {
            (Some(_), own_number) if own_number == number(&wanted.variant) => Some(0),
            (Some(_), _) => None,
            // Without a word of it: the plainest for amd64, the newest that every machine has for arm.
            (None, Some(own_number)) if self.architecture == "arm" => {
                (own_number <= 7).then_some(7_u32.saturating_sub(own_number))
            }
            (None, Some(own_number)) => Some(own_number),
            (None, None) => Some(99),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(out, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: expected OS/ARCHITECTURE[/VARIANT], such as linux/arm64")]
pub struct PlatformError(String);

/// Go's names of systems that are known by themselves, as containerd has them.
const SYSTEMS: [&str; 14] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "solaris",
    "windows",
];
/// Go's names of processors that are known by themselves, and other names of them.
const PROCESSORS: [&str; 24] = [
    "386", "aarch64", "amd64", "arm", "arm64", "armel", "armhf", "i386", "i686", "loong64", "mips", "mips64",
    "mips64le", "mipsle", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390x", "sparc64", "wasm",
    "x86-64", "x86_64",
];

impl FromStr for Platform {
    type Err = PlatformError;

    /// `linux/arm64`, `linux/arm/v7`, or `arm64` alone; the kernel's names of processors are taken as well.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let (lower, host) = (text.to_lowercase(), Self::host().architecture);
        let parts: Vec<&str> = lower.split('/').collect();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if parts.iter().any(|part| part.is_empty() || !part.bytes().all(word)) {
            return Err(PlatformError(text.to_owned()));
        }
        let (os, architecture, variant) = match parts[..] {
            [os] if SYSTEMS.contains(&os) => (os, host.as_str(), None),
            [architecture] if PROCESSORS.contains(&architecture) => ("linux", architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(PlatformError(text.to_owned())),
        };
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            ("i386" | "i686", variant) => ("386", variant),
            other => other,
        };
        let variant = variant.map(str::to_owned);
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_as_they_are_typed() {
        for (text, platform) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("linux", &Platform::host().to_string()),
            ("linux/arm/v7", "linux/arm/v7"),
            ("Linux/armhf", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), platform);
        }
        for text in ["", "foo", "v8", "linux/", "a/b/c/d", "linux/a b", "linux//v7"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
