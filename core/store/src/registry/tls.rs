//! Certificates, as docker finds them: `certs.d/HOST:PORT/`.
//!
//! ```text
//! *.crt                 certificate authorities that are believed beside the system's own
//! NAME.cert, NAME.key   the certificate that is shown to the server, and its key
//! ```
//!
//! There may be several such directories, the site's and the user's; what is in each counts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder, Identity};

/// The directories that hold one directory for each server.
#[derive(Debug, Clone)]
pub struct Certificates(Vec<PathBuf>);

impl Certificates {
    /// In these.
    pub fn below(directories: Vec<PathBuf>) -> Self {
        Self(directories)
    }

    /// Whether a server, as host and port, has a directory here.
    pub(super) fn has(&self, server: &str) -> bool {
        self.of(server).next().is_some()
    }

    fn of(&self, server: &str) -> impl Iterator<Item = PathBuf> {
        // A server's name comes from a URL's host or a checked reference, and holds no slash.
        let server = server.replace('/', "");
        self.0.iter().map(move |directory| directory.join(&server)).filter(|path| path.is_dir())
    }

    /// Adds what is there for a server.
    pub(super) fn add(&self, server: &str, mut builder: ClientBuilder) -> Result<ClientBuilder, String> {
        for directory in self.of(server) {
            let found = Found::in_directory(&directory)?;
            if !found.authorities.is_empty() {
                builder = builder.tls_certs_merge(found.authorities);
            }
            if let Some(identity) = found.identity {
                builder = builder.identity(identity);
            }
        }
        Ok(builder)
    }
}

struct Found {
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
}

impl Found {
    fn in_directory(directory: &Path) -> Result<Self, String> {
        let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut names: Vec<PathBuf> = fs::read_dir(directory)
            .and_then(|entries| {
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()
            })
            .map_err(|error| failed(directory, &error))?;
        names.sort();
        let mut found = Self { authorities: Vec::new(), identity: None };
        for path in names {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            match extension {
                "crt" => {
                    let text = fs::read(&path).map_err(|error| failed(&path, &error))?;
                    let read = Certificate::from_pem_bundle(&text).map_err(|error| failed(&path, &error))?;
                    found.authorities.extend(read);
                }
                "cert" => found.identity = Some(identity(&path)?),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn identity(path: &Path) -> Result<Identity, String> {
    let key = path.with_extension("key");
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut both = read(path)?;
    both.push(b'\n');
    both.extend(read(&key)?);
    Identity::from_pem(&both).map_err(|error| format!("{}: {error}", path.display()))
}
