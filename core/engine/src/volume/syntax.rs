//! The `-v` syntax: `[source:]target[:options]`, and `--mount`'s `key=value,...`.
//!
//! A source that begins with `/` is a path of the host, any other is the name of a volume.
//! Front ends make `./x` absolute before it comes here.

/// What one `-v`, `--mount` or `--tmpfs` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountRequest {
    /// A path of the host.
    Bind {
        /// The path.
        source: String,
        /// Where.
        target: String,
        /// No writes.
        read_only: bool,
        /// `rprivate` unless said otherwise.
        propagation: String,
        /// A missing path is made (`-v`) or an error (`--mount`).
        create: bool,
    },
    /// A volume.
    Volume {
        /// `None` makes an anonymous one.
        name: Option<String>,
        /// Where.
        target: String,
        /// No writes.
        read_only: bool,
        /// A fresh one is not filled from the image.
        no_copy: bool,
    },
    /// Memory.
    Tmpfs {
        /// Where.
        target: String,
        /// Mount options.
        options: Vec<String>,
    },
}

/// Why a text does not say what to mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid volume specification `{text}`: {cause}")]
pub struct MountSyntaxError {
    text: String,
    cause: String,
}

impl MountRequest {
    /// Where it is mounted.
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Volume { target, .. } | Self::Tmpfs { target, .. } => target,
        }
    }

    /// Reads a `-v`.
    ///
    /// # Errors
    /// When the text is not of the form; a Windows path gets an error of its own.
    pub fn parse_volume(text: &str) -> Result<Self, MountSyntaxError> {
        let failed = |cause: String| MountSyntaxError { text: text.to_owned(), cause };
        refuse_windows_path(text).map_err(failed)?;
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            [target] => volume(None, target, &[]).map_err(failed),
            [source, target] => named(source, target, &[]).map_err(failed),
            [source, target, options] => {
                let options: Vec<&str> = options.split(',').collect();
                named(source, target, &options).map_err(failed)
            }
            _ => Err(failed("expected at most `source:target:options`".to_owned())),
        }
    }

    /// Reads a `--mount`.
    ///
    /// # Errors
    /// When a key is unknown or a needed one is missing.
    pub fn parse_mount(text: &str) -> Result<Self, MountSyntaxError> {
        let failed = |cause: String| MountSyntaxError { text: text.to_owned(), cause };
        let mut fields = Fields::default();
        for pair in text.split(',') {
            fields.set(pair).map_err(failed)?;
        }
        fields.request().map_err(failed)
    }

    /// Reads a `--tmpfs`: `target[:options]`.
    ///
    /// # Errors
    /// When the target is not absolute.
    pub fn parse_tmpfs(text: &str) -> Result<Self, MountSyntaxError> {
        let failed = |cause: String| MountSyntaxError { text: text.to_owned(), cause };
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let options = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
        Ok(Self::Tmpfs { target: checked_target(target).map_err(failed)?, options })
    }
}

#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a str>,
    source: Option<&'a str>,
    target: Option<&'a str>,
    read_only: bool,
    no_copy: bool,
    propagation: Option<&'a str>,
    options: Vec<String>,
}

impl<'a> Fields<'a> {
    fn set(&mut self, pair: &'a str) -> Result<(), String> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
        match key {
            "type" => self.kind = Some(value),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "readonly" | "ro" => self.read_only = boolean(key, value)?,
            "volume-nocopy" => self.no_copy = boolean(key, value)?,
            "bind-propagation" => self.propagation = Some(value),
            "tmpfs-size" => self.options.push(format!("size={value}")),
            "tmpfs-mode" => self.options.push(format!("mode={value}")),
            _ => return Err(format!("unknown key `{key}`")),
        }
        Ok(())
    }

    fn request(self) -> Result<MountRequest, String> {
        let target = checked_target(self.target.ok_or("`target` is missing")?)?;
        match self.kind.unwrap_or("volume") {
            "bind" => Ok(MountRequest::Bind {
                source: absolute(self.source.ok_or("a bind needs a `source`")?)?,
                target,
                read_only: self.read_only,
                propagation: propagation(self.propagation.unwrap_or("rprivate"))?,
                create: false,
            }),
            "volume" => Ok(MountRequest::Volume {
                name: self.source.filter(|name| !name.is_empty()).map(checked_name).transpose()?,
                target,
                read_only: self.read_only,
                no_copy: self.no_copy,
            }),
            "tmpfs" => Ok(MountRequest::Tmpfs { target, options: self.options }),
            other => Err(format!("`{other}` is not a type: expected bind, volume or tmpfs")),
        }
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{key}` is true or false, not `{value}`")),
    }
}

/// `d:/x:/y` would otherwise be a volume called `d`.
fn refuse_windows_path(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let drive = bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    if drive && (bytes[2] == b'\\' || (bytes[2] == b'/' && text[2..].contains(':'))) {
        return Err(
            "this is a Windows path, and containers need Linux paths such as /srv/log:/data".to_owned()
        );
    }
    Ok(())
}

fn named(source: &str, target: &str, options: &[&str]) -> Result<MountRequest, String> {
    match source {
        "" => Err("the part before the `:` is empty".to_owned()),
        path if path.starts_with('/') => bind(path, target, options),
        name => volume(Some(checked_name(name)?), target, options),
    }
}

fn bind(source: &str, target: &str, options: &[&str]) -> Result<MountRequest, String> {
    let mut read_only = false;
    let mut spread = "rprivate".to_owned();
    for option in options {
        match *option {
            "ro" => read_only = true,
            "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            other => spread = propagation(other)?,
        }
    }
    let (source, target) = (absolute(source)?, checked_target(target)?);
    Ok(MountRequest::Bind { source, target, read_only, propagation: spread, create: true })
}

fn volume(name: Option<String>, target: &str, options: &[&str]) -> Result<MountRequest, String> {
    let (mut read_only, mut no_copy) = (false, false);
    for option in options {
        match *option {
            "ro" => read_only = true,
            "nocopy" => no_copy = true,
            "rw" | "z" | "Z" | "copy" => {}
            other => return Err(format!("invalid mode: {other}")),
        }
    }
    Ok(MountRequest::Volume { name, target: checked_target(target)?, read_only, no_copy })
}

fn propagation(text: &str) -> Result<String, String> {
    match text {
        "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => Ok(text.to_owned()),
        other => Err(format!("invalid mode: {other}")),
    }
}

fn absolute(path: &str) -> Result<String, String> {
    if path.starts_with('/') && !path.contains('\0') {
        Ok(clean(path))
    } else {
        Err(format!("the source `{path}` must be an absolute path"))
    }
}

fn checked_target(path: &str) -> Result<String, String> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(format!("invalid mount path: `{path}` mount path must be absolute"));
    }
    match clean(path).as_str() {
        "/" => Err("the destination can not be `/`".to_owned()),
        target => Ok(target.to_owned()),
    }
}

pub(crate) fn checked_name(name: &str) -> Result<String, String> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if first && rest && name.len() <= 255 {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "`{name}` is not a volume name, only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed; a host directory needs an absolute path"
        ))
    }
}

/// The path without `.`, `..`, doubled and trailing slashes, by text alone.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_bind_and_a_name_is_a_volume() {
        let bind = MountRequest::parse_volume("/a/../b/:/c/:ro").unwrap();
        assert_eq!(
            bind,
            MountRequest::Bind {
                source: "/b".into(),
                target: "/c".into(),
                read_only: true,
                propagation: "rprivate".into(),
                create: true
            }
        );
        let volume = |name: Option<&str>, no_copy| MountRequest::Volume {
            name: name.map(Into::into),
            target: "/d".into(),
            read_only: false,
            no_copy,
        };
        assert_eq!(MountRequest::parse_volume("data:/d:nocopy"), Ok(volume(Some("data"), true)));
        assert_eq!(MountRequest::parse_volume("/d"), Ok(volume(None, false)));
        assert_eq!(MountRequest::parse_mount("src=data,dst=/d"), Ok(volume(Some("data"), false)));
    }

    #[test]
    fn a_windows_path_is_called_one() {
        for text in ["d:/dockerTest/httpServer/log:/root/httpServer/", "C:\\x:/y"] {
            let error = MountRequest::parse_volume(text).unwrap_err().to_string();
            assert!(error.contains("Windows path"), "{error}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", ":/a", "/a:b", "/a:/b:xx", "a:/b:rshared", "a:/b:c:d", "a/b:/c", "/a:/", "x:"] {
            assert!(MountRequest::parse_volume(text).is_err(), "for {text:?}");
        }
        for text in ["type=bind,target=/a", "type=x,target=/a", "source=a", "target=/a,foo=1", "target=a"] {
            assert!(MountRequest::parse_mount(text).is_err(), "for {text:?}");
        }
    }
}
