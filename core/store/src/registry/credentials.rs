//! Logins, where docker keeps them.
//!
//! ```text
//! config.json
//!   auths        server -> user:password in base64, or a token for tokens
//!   credHelpers  server -> program that keeps its login
//!   credsStore   program that keeps all others
//! ```
//!
//! The program is called `docker-credential-NAME` and is told `get`, `store` or `erase`, with the rest on
//! standard input. What else the file holds is none of our business and stays as it is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::auth::{Login, Logins};
use super::endpoint::{DOCKER, DOCKER_HOST};
use crate::layer::shown;

/// What docker calls its own registry.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";
/// A user of this name stands for a token.
const TOKEN_USER: &str = "<token>";
/// Bytes of the file.
const LIMIT: u64 = 4 << 20;
/// Bytes of what a program has to say beside its answer.
const SAID: usize = 2048;

/// Docker's `config.json`.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
}

/// Why a login can not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file.
    #[error("cannot use {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A program that keeps logins.
    #[error("the program {program}, which keeps logins, failed: {reason}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        reason: String,
    },
}

/// Where a login is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// In the file itself, for everybody to read who can read the file.
    File(PathBuf),
    /// By a program.
    Program(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl Logins for ConfigFile {
    fn login(&self, registry: &str) -> Result<Login, String> {
        self.find(registry).map_err(|error| match &error {
            CredentialsError::File { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        })
    }
}

impl ConfigFile {
    /// The file at `path`, which may be missing.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The login for a registry.
    ///
    /// # Errors
    /// When the file is damaged or a program fails.
    pub fn find(&self, registry: &str) -> Result<Login, CredentialsError> {
        let config = self.read()?;
        if let Some(program) = program(&config, registry) {
            return asked(&program, registry);
        }
        let entries = config.get("auths").and_then(Value::as_object);
        let entry = entries.and_then(|entries| entries.iter().find(|(key, _)| host(key) == registry));
        entry.map_or(Ok(Login::Anonymous), |(_, entry)| {
            of_entry(entry).ok_or_else(|| self.damaged(&format!("the login for {registry} can not be read")))
        })
    }

    /// Keeps a login.
    ///
    /// # Errors
    /// When the file can not be written or a program fails.
    pub fn keep(&self, registry: &str, login: &Login) -> Result<Keeper, CredentialsError> {
        let mut config = self.read()?;
        if let Some(program) = program(&config, registry) {
            let (user, secret) = pair(login);
            let text = json!({ "ServerURL": key(registry), "Username": user, "Secret": secret }).to_string();
            run(&program, "store", &text)?;
            return Ok(Keeper::Program(program));
        }
        let entries = config.entry("auths").or_insert_with(|| json!({}));
        let entries = entries.as_object_mut().ok_or_else(|| self.damaged("`auths` is no table"))?;
        entries.retain(|other, _| host(other) != registry);
        entries.insert(key(registry), entry(login));
        self.write(&config)?;
        Ok(Keeper::File(self.path.clone()))
    }

    /// Forgets a login; false when there was none.
    ///
    /// # Errors
    /// When the file can not be written or a program fails.
    pub fn forget(&self, registry: &str) -> Result<bool, CredentialsError> {
        let mut config = self.read()?;
        let mut found = false;
        if let Some(program) = program(&config, registry) {
            found = asked(&program, registry)? != Login::Anonymous;
            if found {
                run(&program, "erase", &key(registry))?;
            }
        }
        let Some(entries) = config.get_mut("auths").and_then(Value::as_object_mut) else { return Ok(found) };
        let before = entries.len();
        entries.retain(|other, _| host(other) != registry);
        if entries.len() < before {
            found = true;
            self.write(&config)?;
        }
        Ok(found)
    }

    fn read(&self) -> Result<Map<String, Value>, CredentialsError> {
        let failed = |source| CredentialsError::File { path: self.path.clone(), source };
        let text = match File::open(&self.path) {
            Ok(file) => {
                let mut text = Vec::new();
                io::copy(&mut io::Read::take(file, LIMIT), &mut text).map_err(failed)?;
                text
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Map::new());
            }
            Err(error) => return Err(failed(error)),
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        // The parser's own words are about a place, and repeat nothing of the file but a key.
        serde_json::from_slice(&text).map_err(|error| self.damaged(&error.to_string()))
    }

    /// The file appears when it is whole, where a link of its name leads, for its owner alone.
    fn write(&self, config: &Map<String, Value>) -> Result<(), CredentialsError> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = |source| CredentialsError::File { path: path.clone(), source };
        let directory = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let draft = directory.join(format!(".config.json.{}", std::process::id()));
        let mut text = serde_json::to_string_pretty(config).map_err(|error| failed(error.into()))?;
        text.push('\n');
        let _ = fs::remove_file(&draft);
        let written = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, &path));
        written.inspect_err(|_| drop(fs::remove_file(&draft))).map_err(failed)
    }

    fn damaged(&self, reason: &str) -> CredentialsError {
        CredentialsError::Damaged { path: self.path.clone(), reason: reason.to_owned() }
    }
}

/// The key of a registry in the file.
fn key(registry: &str) -> String {
    if registry == DOCKER { DOCKER_KEY.to_owned() } else { registry.to_owned() }
}

/// The registry that a key is for; old keys are whole addresses.
fn host(key: &str) -> &str {
    let plain = key.split_once("://").map_or(key, |(_, rest)| rest);
    let host = plain.split('/').next().unwrap_or_default();
    if matches!(host, "index.docker.io" | DOCKER_HOST) { DOCKER } else { host }
}

/// The program that keeps the login of a registry.
fn program(config: &Map<String, Value>, registry: &str) -> Option<String> {
    let helpers = config.get("credHelpers").and_then(Value::as_object);
    let own = helpers.and_then(|helpers| helpers.iter().find(|(key, _)| host(key) == registry));
    let name = own.map(|(_, name)| name).or(config.get("credsStore"))?.as_str()?;
    (!name.is_empty()).then(|| format!("docker-credential-{name}"))
}

fn of_entry(entry: &Value) -> Option<Login> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Some(Login::Identity(token.to_owned()));
    }
    if let Some(token) = text("registrytoken") {
        return Some(Login::Token(token.to_owned()));
    }
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Some(Login::Password { user: user.to_owned(), password: password.to_owned() });
    }
    let Some(packed) = text("auth") else { return Some(Login::Anonymous) };
    let plain = STANDARD.decode(packed).or_else(|_| STANDARD_NO_PAD.decode(packed)).ok()?;
    let plain = String::from_utf8(plain).ok()?;
    let (user, password) = plain.trim_end_matches('\0').split_once(':')?;
    Some(Login::Password { user: user.to_owned(), password: password.to_owned() })
}

fn entry(login: &Login) -> Value {
    match login {
        Login::Anonymous => json!({}),
        Login::Password { user, password } => {
            json!({ "auth": STANDARD.encode(format!("{user}:{password}")) })
        }
        Login::Identity(token) => json!({ "identitytoken": token }),
        Login::Token(token) => json!({ "registrytoken": token }),
    }
}

/// As programs know it.
fn pair(login: &Login) -> (&str, &str) {
    match login {
        Login::Anonymous => ("", ""),
        Login::Password { user, password } => (user, password),
        Login::Identity(token) | Login::Token(token) => (TOKEN_USER, token),
    }
}

fn asked(program: &str, registry: &str) -> Result<Login, CredentialsError> {
    let text = match run(program, "get", &key(registry)) {
        Ok(text) => text,
        Err(CredentialsError::Program { reason, .. }) if reason.contains("credentials not found") => {
            return Ok(Login::Anonymous);
        }
        Err(error) => return Err(error),
    };
    let told: Told = serde_json::from_str(&text).map_err(|_| CredentialsError::Program {
        program: program.to_owned(),
        reason: "its answer is not the JSON of a login".to_owned(),
    })?;
    Ok(match (told.username.as_str(), told.secret) {
        (_, secret) if secret.is_empty() => Login::Anonymous,
        (TOKEN_USER, secret) => Login::Identity(secret),
        (user, password) => Login::Password { user: user.to_owned(), password },
    })
}

/// Runs a program that keeps logins; what it prints comes back.
fn run(program: &str, verb: &str, input: &str) -> Result<String, CredentialsError> {
    let failed = |reason: String| CredentialsError::Program { program: program.to_owned(), reason };
    if program.contains('/') {
        return Err(failed("its name holds a slash".to_owned()));
    }
    // Not a pipe: whatever the program leaves running may keep that open.
    let said = memfd_create("credentials", MemfdFlags::CLOEXEC).map(File::from);
    let said = said.map_err(|error| failed(error.to_string()))?;
    let stderr = said.try_clone().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read says in its own way what is wrong.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let mut begun = [0; SAID];
    let count = said.read_at(&mut begun, 0).unwrap_or(0);
    let said = String::from_utf8_lossy(&begun[..count]);
    Err(failed(excuse(&text, &said).unwrap_or_else(|| output.status.to_string())))
}

/// A failed `get` prints why, and no secret; what else is wrong is said on standard error. A terminal is not to act
/// upon either.
fn excuse(text: &str, said: &str) -> Option<String> {
    let first = text.lines().next().unwrap_or_default();
    let first = first.get(..first.floor_char_boundary(SAID)).unwrap_or_default();
    let lines = std::iter::once(first).chain(said.lines()).map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(|line| shown(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Login {
        Login::Password { user: user.into(), password: password.into() }
    }

    #[test]
    fn docker_s_file_is_read_as_docker_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = ConfigFile::at(&dir.path().join("config.json"));
        assert_eq!(file.find("h.io").unwrap(), Login::Anonymous);
        let text = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6cGE6c3M="},
            "h.io:5000":{"auth":"bWU6cGE6c3M"}, "https://old.io/v1/":{"auth":"YTpi"},
            "id.io":{"auth":"MDAwOg==","identitytoken":"refresh"}, "empty.io":{}, "bad.io":{"auth":"!"}}}"#;
        fs::write(&file.path, text).unwrap();
        for (registry, login) in [
            ("docker.io", password("me", "pa:ss")),
            ("h.io:5000", password("me", "pa:ss")),
            ("h.io", Login::Anonymous),
            ("old.io", password("a", "b")),
            ("id.io", Login::Identity("refresh".into())),
            ("empty.io", Login::Anonymous),
        ] {
            assert_eq!(file.find(registry).unwrap(), login, "{registry}");
        }
        assert!(matches!(file.find("bad.io"), Err(CredentialsError::Damaged { .. })));
        fs::write(&file.path, "[]").unwrap();
        assert!(matches!(file.find("h.io"), Err(CredentialsError::Damaged { .. })));
    }

    #[test]
    fn a_login_is_kept_for_its_owner_alone_and_nothing_else_changes() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real.json");
        fs::write(&real, r#"{"psFormat":"x","auths":{"https://h.io/v1/":{"auth":"YTpi"}}}"#).unwrap();
        fs::create_dir(dir.path().join("docker")).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("docker/config.json")).unwrap();
        let file = ConfigFile::at(&dir.path().join("docker/config.json"));
        file.keep("h.io", &password("me", "new")).unwrap();
        file.keep("docker.io", &Login::Identity("t".into())).unwrap();
        assert_eq!(file.find("h.io").unwrap(), password("me", "new"));
        assert_eq!(file.find("docker.io").unwrap(), Login::Identity("t".into()));
        let text = fs::read_to_string(&real).unwrap();
        assert!(
            text.contains("\"psFormat\": \"x\"")
                && text.contains(DOCKER_KEY)
                && !text.contains("v1/\":{\"auth\":\"YTpi")
        );
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(file.path.is_symlink());
        assert!(file.forget("h.io").unwrap() && !file.forget("h.io").unwrap());
        assert_eq!(file.find("h.io").unwrap(), Login::Anonymous);
        assert_eq!(file.find("docker.io").unwrap(), Login::Identity("t".into()));
        let fresh = ConfigFile::at(&dir.path().join("a/b/config.json"));
        fresh.keep("h.io", &password("u", "p")).unwrap();
        assert_eq!(fresh.find("h.io").unwrap(), password("u", "p"));
    }

    #[test]
    fn what_a_program_says_is_bounded_and_shown() {
        assert_eq!(excuse("locked\nmore", "").as_deref(), Some("locked"));
        assert_eq!(excuse("", "a\x1b[31m\n\nb\n").as_deref(), Some("a\\u{1b}[31m; b"));
        assert_eq!(excuse("why", "and how").as_deref(), Some("why; and how"));
        assert_eq!(excuse(" \n", "\n"), None);
    }

    #[test]
    fn a_program_has_no_path() {
        assert!(matches!(run("docker-credential-../evil", "get", ""), Err(CredentialsError::Program { .. })));
        let config = json!({ "credHelpers": { "h.io": "own", "https://index.docker.io/v1/": "hub" }, "credsStore": "all" });
        let config = config.as_object().unwrap();
        for (registry, name) in [("h.io", "own"), ("docker.io", "hub"), ("other.io", "all")] {
            assert_eq!(program(config, registry), Some(format!("docker-credential-{name}")));
        }
    }
}
