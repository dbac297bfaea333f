//! `build --secret`: where a secret comes from.
//!
//! A secret is read when a program needs it, and is kept in memory for as long as that program runs. It
//! is in no key, no record and no message: those hold its id.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Nobody keeps a secret of more bytes; a file that is longer was named by mistake.
const LONGEST: u64 = 500 << 10;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// In a variable of whoever builds.
    Env(String),
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The text names none.
    #[error("invalid secret `{text}`: {cause}")]
    Syntax {
        /// As given.
        text: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Its file.
    #[error("cannot read secret `{id}` from {path}", path = .path.display())]
    Read {
        /// Which one.
        id: String,
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its file is no secret.
    #[error("secret `{id}` is longer than {} KiB", LONGEST >> 10)]
    TooLong {
        /// Which one.
        id: String,
    },
    /// A variable can not hold it.
    #[error("secret `{id}` is not text, and a variable holds only that")]
    NotText {
        /// Which one.
        id: String,
    },
    /// A RUN needs one that was not given.
    #[error("secret `{id}`: not found")]
    NotGiven {
        /// Which one.
        id: String,
        /// One that was given, and is called nearly that.
        meant: Option<String>,
    },
}

impl SecretError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::NotGiven { meant: Some(meant), .. } => Some(format!("did you mean {meant}?")),
            Self::NotGiven { id, .. } => Some(format!(
                "give it with `--secret id={id},src=FILE` or `--secret id={id},env=VARIABLE`, or leave `required` out"
            )),
            Self::Syntax { .. } => {
                Some("write `--secret id=NAME,src=FILE` or `id=NAME,env=VARIABLE`".to_owned())
            }
            _ => None,
        }
    }
}

/// The fields of a secret, as they are written.
#[derive(Default)]
struct Fields<'t> {
    kind: Option<&'t str>,
    id: Option<&'t str>,
    src: Option<&'t str>,
    env: Option<&'t str>,
}

impl SecretSource {
    /// `id=NAME[,src=FILE|,env=VARIABLE][,type=file|env]`; what is called like the secret is meant when
    /// nothing else is: a variable, when `is_set` says that there is one, else a file.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(text: &str, is_set: impl Fn(&str) -> bool) -> Result<(String, Self), SecretError> {
        let fields =
            Fields::read(text).map_err(|cause| SecretError::Syntax { text: text.to_owned(), cause })?;
        let id = fields.id.unwrap_or_default();
        let file = |path: &str| Self::File(path.into());
        let source = match (fields.kind, fields.src, fields.env) {
            (Some("env"), src, env) => Self::Env(env.or(src).unwrap_or(id).to_owned()),
            (_, Some(path), _) => file(path),
            (Some(_), None, _) => file(id),
            (None, None, Some(env)) => Self::Env(env.to_owned()),
            (None, None, None) if is_set(id) => Self::Env(id.to_owned()),
            (None, None, None) => file(id),
        };
        Ok((id.to_owned(), source))
    }

    /// Fails early when the secret is not there.
    pub(super) fn check(&self, id: &str) -> Result<(), SecretError> {
        let Self::File(path) = self else { return Ok(()) };
        let failed = |source| SecretError::Read { id: id.to_owned(), path: path.clone(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if metadata.len() > LONGEST { Err(SecretError::TooLong { id: id.to_owned() }) } else { Ok(()) }
    }

    /// The secret itself; a variable that is not set is an empty one.
    pub(super) fn read(&self, id: &str) -> Result<Vec<u8>, SecretError> {
        let path = match self {
            Self::Env(name) => return Ok(std::env::var_os(name).unwrap_or_default().into_vec()),
            Self::File(path) => path,
        };
        let failed = |source| SecretError::Read { id: id.to_owned(), path: path.clone(), source };
        let mut content = Vec::new();
        let mut file = File::open(path).map_err(failed)?.take(LONGEST + 1);
        file.read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > LONGEST {
            return Err(SecretError::TooLong { id: id.to_owned() });
        }
        Ok(content)
    }
}

impl<'t> Fields<'t> {
    fn read(text: &'t str) -> Result<Self, String> {
        let mut fields = Self::default();
        for field in text.split(',') {
            let (key, value) =
                field.split_once('=').ok_or_else(|| format!("`{field}` is no field: expected KEY=VALUE"))?;
            match key.trim().to_lowercase().as_str() {
                "type" if matches!(value, "file" | "env") => fields.kind = Some(value),
                "type" => return Err(format!("unsupported type `{value}`: expected file or env")),
                "id" => fields.id = Some(value),
                "src" | "source" => fields.src = Some(value),
                "env" => fields.env = Some(value),
                other => return Err(format!("unexpected key `{other}`: expected type, id, src or env")),
            }
        }
        match fields.id {
            None | Some("") => Err("it has no id".to_owned()),
            Some(_) => Ok(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_a_file_or_in_a_variable() {
        let env = |name: &str| SecretSource::Env(name.to_owned());
        let file = |path: &str| SecretSource::File(path.into());
        for (text, id, source) in [
            ("id=a,src=/f", "a", file("/f")),
            ("id=a,source=/f,type=file", "a", file("/f")),
            ("type=env,id=a", "a", env("a")),
            ("type=env,id=a,src=V", "a", env("V")),
            ("id=a,env=V", "a", env("V")),
            ("id=a", "a", file("a")),
            ("id=SET", "SET", env("SET")),
            ("id=SET,type=file", "SET", file("SET")),
        ] {
            let parsed = SecretSource::parse(text, |name| name == "SET").unwrap();
            assert_eq!(parsed, (id.to_owned(), source), "for {text}");
        }
    }

    #[test]
    fn what_is_no_secret_says_why() {
        for (text, why) in [
            ("src=/f", "no id"),
            ("id=,src=/f", "no id"),
            ("id=a,type=vault", "unsupported type `vault`"),
            ("id=a,mode=0400", "unexpected key `mode`"),
            ("a", "`a` is no field"),
        ] {
            let error = SecretSource::parse(text, |_| false).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, vec![0; 500 << 10]).unwrap();
        let source = SecretSource::File(path.clone());
        assert!(source.check("a").is_ok());
        assert_eq!(source.read("a").unwrap().len(), 500 << 10);
        std::fs::write(&path, vec![0; (500 << 10) + 1]).unwrap();
        assert!(matches!(source.check("a"), Err(SecretError::TooLong { .. })));
        assert!(matches!(source.read("a"), Err(SecretError::TooLong { .. })));
    }
}
