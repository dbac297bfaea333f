//! Whether a registry believes a login.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::HeaderMap;
use wharf_model::registry::Route;

use super::endpoint;
use super::error::RegistryError;
use super::payload::Payload;
use super::pull::{PullError, runtime};
use super::session::{Call, Session};

/// Asks a registry, by host and port, whether the login of this session is good. One that asks nobody who
/// he is finds every login good.
///
/// # Errors
/// When it can not be reached, or refuses.
pub fn check_login(session: &Arc<Session>, registry: &str) -> Result<(), PullError> {
    let certificates = &session.certificates;
    let routes: &[Route] = &session.routes;
    let endpoint = endpoint::of_registry(registry, routes, &|server| certificates.has(server))?;
    let mut url = endpoint.base.clone();
    url.set_path("/v2/");
    let call = Call {
        endpoint: &endpoint,
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Payload::None,
        scopes: &[],
        what: "a login".to_owned(),
    };
    let asked = runtime()?.block_on(session.send(&call));
    match asked {
        Ok(_) => Ok(()),
        Err(RegistryError::Denied { said, .. }) => {
            Err(RegistryError::Login { registry: registry.to_owned(), said }.into())
        }
        Err(error) => Err(error.into()),
    }
}
