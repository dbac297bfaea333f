//! Network drivers: how containers are joined to a network.

pub use crate::bindings::network::exports::wharf::plugin::network_driver::{
    Attachment, DriverInfo, HostFacts, Network, Port, Subnet,
};
pub use crate::bindings::network::wharf::plugin::network_plan::{
    Action, Address, Bridge, FirewallRule, Forward, InterfaceResult, Masquerade, Namespace, PinSource, Place,
    Plan, Route, Step, Sysctl, Traffic, Veth,
};
use crate::manifest::{self, Manifest, Package, Request};
use crate::state::View;
use crate::{Failure, Settings};

/// Decides about links, addresses and rules; the engine makes them, and undoes them by itself.
pub trait NetworkDriver {
    /// Its name and what it needs.
    fn describe() -> DriverInfo;

    /// What it needs to be granted, and what for.
    fn requests() -> Vec<Request> {
        Vec::new()
    }

    /// Whether the driver works on this host with these settings; asked when they are first used.
    ///
    /// # Errors
    /// Says what is missing.
    fn validate_settings(settings: &Settings, _facts: &HostFacts) -> Result<(), Failure> {
        crate::setting::only(settings, &[])
    }

    /// What the network itself needs. Every step must be repeatable.
    ///
    /// # Errors
    /// When the network cannot be.
    fn plan_network(
        token: &str,
        network: &Network,
        facts: &HostFacts,
        state: &dyn View,
    ) -> Result<Plan, Failure>;

    /// What one container needs.
    ///
    /// # Errors
    /// When it cannot join.
    fn plan_attach(
        token: &str,
        attachment: &Attachment,
        facts: &HostFacts,
        state: &dyn View,
    ) -> Result<Plan, Failure>;

    /// Gives back what the engine cannot undo, such as a remote lease.
    ///
    /// # Errors
    /// Is only noted: removal goes on.
    fn release(_token: &str, _attachment: &Attachment, _state: &dyn View) -> Result<(), Failure> {
        Ok(())
    }
}

impl Default for Plan {
    /// A namespace of its own with nothing but loopback in it.
    fn default() -> Self {
        Self {
            namespace: Namespace::Own,
            steps: vec![],
            interfaces: vec![],
            dns_servers: vec![],
            dns_search: vec![],
            state: vec![],
            diagnostics: vec![],
        }
    }
}

impl Plan {
    /// Adds a step.
    #[must_use]
    pub fn step(mut self, label: impl Into<String>, action: Action) -> Self {
        self.steps.push(Step { action, label: label.into() });
        self
    }
}

/// Stands between a driver and the world it is exported to.
#[doc(hidden)]
pub struct Exported<D>(std::marker::PhantomData<D>);

fn introduce<D: NetworkDriver + Package>() -> Manifest {
    manifest::of::<D>(D::requests(), || format!("network driver {}", D::describe().name))
}

#[cfg(target_arch = "wasm32")]
mod component {
    use super::{
        Attachment, DriverInfo, Exported, Failure, HostFacts, Manifest, Network, NetworkDriver, Package,
        Plan, Settings,
    };
    use crate::bindings::about::exports::wharf::plugin::about;
    use crate::bindings::network::exports::wharf::plugin::network_driver::Guest;
    use crate::bindings::storage::wharf::plugin::state::View;
    use crate::host::log_panics;

    impl<D: NetworkDriver + Package + 'static> about::Guest for Exported<D> {
        fn introduce() -> Manifest {
            log_panics();
            super::introduce::<D>()
        }
    }

    impl<D: NetworkDriver + 'static> Guest for Exported<D> {
        fn describe() -> DriverInfo {
            log_panics();
            D::describe()
        }

        fn validate_settings(settings: Settings, facts: HostFacts) -> Result<(), Failure> {
            log_panics();
            D::validate_settings(&settings, &facts)
        }

        fn plan_network(
            token: String,
            network: Network,
            facts: HostFacts,
            state: &View,
        ) -> Result<Plan, Failure> {
            log_panics();
            D::plan_network(&token, &network, &facts, state)
        }

        fn plan_attach(
            token: String,
            attachment: Attachment,
            facts: HostFacts,
            state: &View,
        ) -> Result<Plan, Failure> {
            log_panics();
            D::plan_attach(&token, &attachment, &facts, state)
        }

        fn release(token: String, attachment: Attachment, state: &View) -> Result<(), Failure> {
            log_panics();
            D::release(&token, &attachment, state)
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<D: NetworkDriver + Package + 'static> crate::native::Dispatch for Exported<D> {
    const WORLD: &'static str = "network-plugin";

    fn dispatch(function: &str, input: &[u8]) -> crate::native::Answer {
        use crate::native::{HostView, decode, encode, unknown};
        match function {
            "introduce" => encode(&introduce::<D>()),
            "describe" => encode(&D::describe()),
            "validate-settings" => {
                let (settings, facts): (Settings, HostFacts) = decode(input)?;
                encode(&D::validate_settings(&settings, &facts))
            }
            "plan-network" => {
                let (token, network, facts): (String, Network, HostFacts) = decode(input)?;
                encode(&D::plan_network(&token, &network, &facts, &HostView))
            }
            "plan-attach" => {
                let (token, attachment, facts): (String, Attachment, HostFacts) = decode(input)?;
                encode(&D::plan_attach(&token, &attachment, &facts, &HostView))
            }
            "release" => {
                let (token, attachment): (String, Attachment) = decode(input)?;
                encode(&D::release(&token, &attachment, &HostView))
            }
            other => unknown(other),
        }
    }
}

/// Makes a [`NetworkDriver`] the plugin that this crate is.
#[macro_export]
macro_rules! export_network {
    ($plugin:ty $(, $summary:literal)?) => {
        $crate::export_as!(network, $plugin $(, $summary)?);
    };
}
