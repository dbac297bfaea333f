//! `serve-registry`: the images here, for other machines to pull.

use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wharf_model::Reference;
use wharf_store::archive::{SaveError, write_layer};
use wharf_store::registry::{self, Layers, Offer};
use wharf_store::{HomeError, Layer};

use super::line::pass_on;
use crate::Engine;
use crate::home::Home;

/// So many clients at the same time; whoever comes next waits.
const CLIENTS: usize = 256;
/// After a client that could not be let in.
const BREATH: Duration = Duration::from_millis(10);

/// Why images can not be offered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is not to be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificate or its key can not be used.
    #[error("cannot use {what}")]
    Tls {
        /// Which file.
        what: String,
        /// Why not.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No image has that name.
    #[error("no such image: {}", .0.familiar())]
    Unknown(Reference),
    /// The line broke.
    #[error("the line to the other machine broke")]
    Line(#[source] io::Error),
}

/// Who listens.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    offer: Arc<Offer>,
    tls: Option<Arc<ServerConfig>>,
}

impl Listening {
    /// Where.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers whoever comes, for ever.
    pub fn serve(self) {
        let (places, taken) = sync_channel(CLIENTS);
        let taken = Arc::new(Mutex::new(taken));
        loop {
            // When no place is free, the next one stays in the listener's queue.
            if places.send(()).is_err() {
                return;
            }
            let place = Place(Arc::clone(&taken));
            let Ok((stream, _)) = self.listener.accept() else {
                // A client that is gone before it was seen is none; of descriptors, more may be free soon.
                thread::sleep(BREATH);
                continue;
            };
            let (offer, tls) = (Arc::clone(&self.offer), self.tls.clone());
            // Without a thread for it, the client is sent away, and its place is free again.
            let _ = thread::Builder::new().spawn(move || {
                let _place = place;
                // What is wrong with one client is told to that client.
                let _ = registry::serve(&offer, stream, tls.as_ref());
            });
        }
    }
}

/// One of so many clients; the place is free when it is dropped.
struct Place(Arc<Mutex<Receiver<()>>>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).try_recv();
    }
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and those between it and the authority.
    pub certificate: std::path::PathBuf,
    /// Its private key.
    pub key: std::path::PathBuf,
}

impl Engine {
    /// Gets ready to offer the images of these names, or all that have one, at an address.
    ///
    /// # Errors
    /// When one of the names is not here, or the address or the certificate can not be used.
    pub fn listen(
        &'static self,
        address: SocketAddr,
        names: Vec<Reference>,
        tls: Option<&TlsFiles>,
    ) -> Result<Listening, ServeError> {
        for name in &names {
            let found = self.store.resolve(&name.to_string());
            found.map_err(|_| ServeError::Unknown(name.clone()))?;
        }
        let tls = tls.map(tls_config).transpose()?;
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        Ok(Listening { listener, offer: self.offer(names), tls })
    }

    /// Offers images to the one at the other end of standard input and output, until it goes away.
    ///
    /// # Errors
    /// When it goes away in the middle.
    pub fn serve_line(&'static self, names: Vec<Reference>, line: (File, File)) -> Result<(), ServeError> {
        let (ours, theirs) = UnixStream::pair().map_err(ServeError::Line)?;
        let passing = pass_on(line, theirs).map_err(ServeError::Line)?;
        registry::serve_line(&self.offer(names), ours).map_err(ServeError::Line)?;
        // It does not panic; what is on its way arrives.
        let _ = passing.join();
        Ok(())
    }

    pub(crate) fn offer(&'static self, names: Vec<Reference>) -> Arc<Offer> {
        Arc::new(Offer::new(&self.store, Arc::new(FromSnapshots(self)), names))
    }
}

/// Layers as the storage driver has them.
struct FromSnapshots(&'static Engine);

impl Layers for FromSnapshots {
    fn write(&self, layer: &Layer, out: &mut dyn Write) -> Result<(), SaveError> {
        let failed = |source: HomeError| SaveError::Home { layer: layer.chain_id, source };
        let snapshots = self.0.default_snapshots().map_err(|error| failed(error.into()))?;
        write_layer(&self.0.store, layer, &mut Home::new(&snapshots), out)
    }
}

fn tls_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, ServeError> {
    let failed =
        |path: &std::path::Path, reason| ServeError::Tls { what: path.display().to_string(), reason };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| failed(&files.certificate, error.into()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| failed(&files.key, error.into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    Ok(Arc::new(config.map_err(|error| failed(&files.certificate, error.into()))?))
}
