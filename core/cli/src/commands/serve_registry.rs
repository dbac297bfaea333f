use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::PathBuf;

use wharf_engine::Engine;
use wharf_engine::image::{ServeError, TlsFiles};
use wharf_model::Reference;

use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Offer the images here to other machines, as a registry that is only read from
#[derive(Debug, clap::Args)]
pub(crate) struct ServeRegistry {
    /// Listen on this address and port
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Speak TLS with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Answer the one client on standard input and output
    #[arg(long, hide = true, conflicts_with_all = ["listen", "tls_cert"])]
    stdio: bool,
    /// Offer these images, instead of all that have a name
    names: Vec<Reference>,
}

impl ServeRegistry {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        if self.stdio { self.answer_one(engine) } else { self.listen(engine) }
    }

    fn listen(&self, engine: &'static Engine) -> Result<u8, Report> {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let tls = tls.map(|(certificate, key)| TlsFiles { certificate, key });
        let listening = engine.listen(self.listen, self.names.clone(), tls.as_ref()).map_err(failed)?;
        let address = listening.address().map_err(Report::failed)?;
        let shown = if is_local(address.ip()) { "localhost".to_owned() } else { host(address.ip()) };
        output::say(&format!("serving on {address}; wharf pull {shown}:{}/NAME", address.port()));
        if !is_local(address.ip()) {
            output::say("note: whoever reaches this address can read these images");
            if tls.is_none() {
                output::say(
                    "note: other machines ask for TLS, unless their config says otherwise; see --tls-cert",
                );
            }
        }
        listening.serve();
        Ok(0)
    }

    fn answer_one(&self, engine: &'static Engine) -> Result<u8, Report> {
        let line = standard().map_err(Report::failed)?;
        engine.serve_line(self.names.clone(), line).map_err(failed)?;
        Ok(0)
    }
}

/// Standard input and output as they are, without what is between them and a terminal.
pub(super) fn standard() -> io::Result<(File, File)> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    Ok((input.into(), output.into()))
}

fn is_local(address: IpAddr) -> bool {
    address.is_loopback()
}

fn host(address: IpAddr) -> String {
    if address.is_unspecified() { "HOST".to_owned() } else { SocketAddr::new(address, 0).ip().to_string() }
}

fn failed(error: ServeError) -> Report {
    let is_unknown = matches!(error, ServeError::Unknown(_));
    let report = Report::failed(error);
    if is_unknown { report.hint("`wharf images` lists those that are here") } else { report }
}
