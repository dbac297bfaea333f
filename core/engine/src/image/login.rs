//! `login` and `logout`: whom registries take us for.

use std::sync::Arc;

use wharf_model::registry::Route;
use wharf_store::registry::{
    Certificates, ConfigFile, CredentialsError, Keeper, Login, Logins, Patience, PullError, Session,
    check_login,
};

use crate::Engine;

pub use wharf_store::registry::DOCKER;

/// Why nobody was logged in, or out.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] PullError),
    /// The login can not be read or kept.
    #[error(transparent)]
    Keep(#[from] CredentialsError),
}

impl LoginError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.next_step(),
            Self::Keep(_) => None,
        }
    }
}

/// The same for every registry.
struct Given(Login);

impl Logins for Given {
    fn login(&self, _: &str) -> Result<Login, String> {
        Ok(self.0.clone())
    }
}

impl Engine {
    /// Asks a registry, by host and port, whether it believes a user, and keeps the login if it does.
    ///
    /// # Errors
    /// When the registry refuses, or the login can not be kept.
    pub fn log_in(&self, registry: &str, user: &str, password: &str) -> Result<Keeper, LoginError> {
        let login = Login::Password { user: user.to_owned(), password: password.to_owned() };
        check_login(&self.session_as(login.clone()), registry)?;
        Ok(self.logins().keep(registry, &login)?)
    }

    /// Asks a registry whether the login that is kept is still good; false when none is.
    ///
    /// # Errors
    /// When the registry refuses it, or the login can not be read.
    pub fn is_logged_in(&self, registry: &str) -> Result<bool, LoginError> {
        match self.logins().find(registry)? {
            Login::Anonymous => Ok(false),
            login => {
                check_login(&self.session_as(login), registry)?;
                Ok(true)
            }
        }
    }

    /// Forgets a login; false when there was none.
    ///
    /// # Errors
    /// When it can not be forgotten.
    pub fn log_out(&self, registry: &str) -> Result<bool, LoginError> {
        Ok(self.logins().forget(registry)?)
    }

    pub(crate) fn logins(&self) -> ConfigFile {
        ConfigFile::at(&self.options.registries.logins)
    }

    fn session_as(&self, login: Login) -> Arc<Session> {
        self.session_with(Box::new(Given(login)))
    }

    /// Ways, certificates and logins of one pull or push.
    pub(crate) fn session_with(&self, logins: Box<dyn Logins>) -> Arc<Session> {
        self.session_by(self.config().registries.clone(), logins)
    }

    /// To a registry of which any certificate will do, or none at all.
    pub(crate) fn session_without_proof(&self, registry: &str, plain_http: bool) -> Arc<Session> {
        let mut routes = self.config().registries.clone();
        if routes.iter().all(|route| route.prefix != registry) {
            routes.push(Route { prefix: registry.to_owned(), ..Route::default() });
        }
        for route in routes.iter_mut().filter(|route| route.prefix.split('/').next() == Some(registry)) {
            route.insecure = true;
            route.plain_http = Some(plain_http);
        }
        self.session_by(routes, Box::new(self.logins()))
    }

    fn session_by(&self, routes: Vec<Route>, logins: Box<dyn Logins>) -> Arc<Session> {
        let certificates = Certificates::below(self.options.registries.certificates.clone());
        Arc::new(Session::new(routes, certificates, Patience::default(), logins))
    }
}
