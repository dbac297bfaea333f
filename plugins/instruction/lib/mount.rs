//! `RUN --mount`: one mount as comma-separated `key=value` fields.

use wharf_sdk::instruction::{
    BindMount, CacheMount, CacheSharing, Input, Mount, SecretMount, SshMount, TmpfsMount,
};
use wharf_sdk::{Failure, path, refuse};

use crate::list;

/// The fields of one mount, as they are written.
#[derive(Debug, Default)]
struct Fields {
    kind: Option<String>,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    id: Option<String>,
    sharing: Option<CacheSharing>,
    env: Option<String>,
    size: Option<u64>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    read_only: Option<bool>,
    required: Option<bool>,
}

/// Reads the value of one `--mount`. A relative target is below `working_dir`; without a target it is
/// that directory. Fields that say nothing about a type of mount are passed over where BuildKit does.
///
/// # Errors
/// Names the field that is wrong, missing, or of another type of mount.
pub fn parse(text: &str, working_dir: &str) -> Result<Mount, Failure> {
    let mut fields = Fields::default();
    for field in list::fields(text)? {
        fields.set(&field)?;
    }
    let kind = fields.kind.take().unwrap_or_else(|| "bind".to_owned());
    fields.check(&kind)?;
    let target = fields.target.take().map(|target| path::join(working_dir, &target));
    let place = || directory(&kind, target.clone().unwrap_or_else(|| path::clean(working_dir)));
    match kind.as_str() {
        "bind" => Ok(Mount::Bind(fields.bind(place()?))),
        "cache" => Ok(Mount::Cache(fields.cache(place()?))),
        "tmpfs" => Ok(Mount::Tmpfs(TmpfsMount { target: place()?, size: fields.size })),
        "secret" => fields.secret(target).map(Mount::Secret),
        _ => Ok(Mount::Ssh(fields.ssh(target))),
    }
}

/// Where something is mounted: anywhere but on the root itself.
fn directory(kind: &str, target: String) -> Result<String, Failure> {
    if target == "/" {
        let help = format!("write `--mount=type={kind},target=/path`");
        return Err(refuse("invalid mount target \"/\"").help(help));
    }
    Ok(target)
}

impl Fields {
    fn set(&mut self, field: &str) -> Result<(), Failure> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        let key = key.to_lowercase();
        let need = || value.ok_or_else(|| refuse(format!("mount field `{key}` needs a value: `{key}=...`")));
        match key.as_str() {
            "type" => self.kind = Some(need()?.to_lowercase()),
            "from" => self.from = Some(need()?.to_owned()),
            "source" | "src" => self.source = Some(need()?.to_owned()),
            "target" | "dst" | "destination" => self.target = Some(need()?.to_owned()),
            "id" => self.id = Some(need()?.to_owned()),
            "env" => self.env = Some(need()?.to_owned()),
            "sharing" => self.sharing = Some(sharing(need()?)?),
            "size" => self.size = Some(size(need()?)?),
            "mode" => self.mode = Some(number(&key, need()?, 8)?),
            "uid" => self.uid = Some(number(&key, need()?, 10)?),
            "gid" => self.gid = Some(number(&key, need()?, 10)?),
            "ro" | "readonly" => self.read_only = Some(boolean(&key, value)?),
            "rw" | "readwrite" => self.read_only = Some(!boolean(&key, value)?),
            "required" => self.required = Some(boolean(&key, value)?),
            _ => return Err(refuse(format!("unexpected key '{key}' in '{field}'")).help(KNOWN)),
        }
        Ok(())
    }

    /// Each type of mount has its own fields.
    fn check(&self, kind: &str) -> Result<(), Failure> {
        let known: &[&str] = match kind {
            "bind" | "tmpfs" if self.mode.is_some() || self.uid.is_some() || self.gid.is_some() => {
                return Err(refuse(format!("mode, uid and gid are not allowed for a {kind} mount")));
            }
            "bind" => &["from", "source", "ro", "id", "env"],
            "cache" => &["from", "source", "ro", "id", "env", "sharing", "mode", "uid", "gid"],
            "tmpfs" => &["from", "source", "ro", "id", "env", "size"],
            "secret" if self.source.is_some() && self.id.is_some() => {
                return Err(
                    refuse("both source and id can't be set").help("`source` is another name of `id`")
                );
            }
            "secret" => &["source", "ro", "id", "env", "required", "mode", "uid", "gid"],
            "ssh" => &["from", "source", "ro", "id", "env", "required", "mode", "uid", "gid"],
            _ => {
                let help = "known types: bind, cache, tmpfs, secret, ssh";
                return Err(refuse(format!("unsupported mount type \"{kind}\"")).help(help));
            }
        };
        let given = [
            ("from", self.from.is_some()),
            ("source", self.source.is_some()),
            ("ro", self.read_only.is_some()),
            ("id", self.id.is_some()),
            ("sharing", self.sharing.is_some()),
            ("env", self.env.is_some()),
            ("size", self.size.is_some()),
            ("mode", self.mode.is_some()),
            ("uid", self.uid.is_some()),
            ("gid", self.gid.is_some()),
            ("required", self.required.is_some()),
        ];
        match given.iter().find(|(name, set)| *set && !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) => Err(refuse(format!("a {kind} mount has no field `{name}`"))
                .help(format!("its fields: type, target, {}", known.join(", ")))),
        }
    }

    fn bind(self, target: String) -> BindMount {
        BindMount {
            source: self.from.map_or(Input::Local, Input::Named),
            source_path: self.source.unwrap_or_else(|| "/".to_owned()),
            target,
            writable: self.read_only == Some(false),
        }
    }

    fn cache(self, target: String) -> CacheMount {
        CacheMount {
            id: self.id.unwrap_or_else(|| target.clone()),
            target,
            sharing: self.sharing.unwrap_or(CacheSharing::Shared),
            read_only: self.read_only == Some(true),
            source: self.from.map_or(Input::Scratch, Input::Named),
            source_path: self.source.unwrap_or_else(|| "/".to_owned()),
            mode: self.mode.unwrap_or(0o755),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
        }
    }

    fn secret(self, target: Option<String>) -> Result<SecretMount, Failure> {
        let from_target = target.as_deref().and_then(path::file_name);
        let id = self.source.or(self.id).or_else(|| from_target.map(Into::into)).ok_or_else(|| {
            refuse("a secret mount needs an id or a target").help("write `--mount=type=secret,id=NAME`")
        })?;
        let default_target = || {
            let name = path::file_name(&id).unwrap_or(&id);
            format!("/run/secrets/{name}")
        };
        let target = if self.env.is_some() { target } else { Some(target.unwrap_or_else(default_target)) };
        Ok(SecretMount {
            id,
            target,
            env: self.env,
            required: self.required.unwrap_or(false),
            mode: self.mode.unwrap_or(0o400),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
        })
    }

    fn ssh(self, target: Option<String>) -> SshMount {
        SshMount {
            id: self.id.unwrap_or_else(|| "default".to_owned()),
            target,
            required: self.required.unwrap_or(false),
            mode: self.mode.unwrap_or(0o600),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
        }
    }
}

const KNOWN: &str = "known keys: type, from, source, target, readonly, readwrite, id, sharing, required, size, mode, uid, gid, env";

/// Whether a field without a value, or with one that Go takes for a truth, is on.
pub(crate) fn boolean(key: &str, value: Option<&str>) -> Result<bool, Failure> {
    match value.map(str::to_lowercase).as_deref() {
        None | Some("true" | "1" | "t") => Ok(true),
        Some("false" | "0" | "f") => Ok(false),
        Some(other) => {
            Err(refuse(format!("invalid value for {key}: {other}")).help("write `true` or `false`"))
        }
    }
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, Failure> {
    let help = if radix == 8 { "write an octal number such as 0755" } else { "write a number" };
    let plain = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = u32::from_str_radix(value, radix).ok().filter(|_| plain);
    let in_range = number.filter(|number| radix != 8 || *number <= 0o7777);
    in_range.ok_or_else(|| refuse(format!("invalid value {value} for {key}")).help(help))
}

fn sharing(value: &str) -> Result<CacheSharing, Failure> {
    match value.to_lowercase().as_str() {
        "shared" => Ok(CacheSharing::Shared),
        "private" => Ok(CacheSharing::Private),
        "locked" => Ok(CacheSharing::Locked),
        other => {
            Err(refuse(format!("unsupported sharing value \"{other}\""))
                .help("write shared, private or locked"))
        }
    }
}

/// Bytes: a number, perhaps with k, m, g or t, each 1024 times the one before.
fn size(value: &str) -> Result<u64, Failure> {
    let wrong = || refuse(format!("invalid size \"{value}\"")).help("write for example `64m` or `1g`");
    let lower = value.to_lowercase();
    let digits = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = lower.get(digits.len()..).unwrap_or_default();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
