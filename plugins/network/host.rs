//! The host's own network: the container sees its links and addresses, and listens on its ports.

use wharf_sdk::network::{Attachment, DriverInfo, HostFacts, Namespace, Network, Plan};
use wharf_sdk::state::View;
use wharf_sdk::{Diagnostic, Failure, NetworkDriver, Request};

struct HostDriver;

wharf_sdk::export_network!(HostDriver, "the host's own network");

impl NetworkDriver for HostDriver {
    fn describe() -> DriverInfo {
        DriverInfo { name: "host".into(), needs_subnet: false, can_publish: false }
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:host-network", "the container lives in the host's network namespace")]
    }

    fn plan_network(_: &str, _: &Network, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default())
    }

    fn plan_attach(_: &str, attachment: &Attachment, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        let mut plan = Plan { namespace: Namespace::Host, ..Plan::default() };
        if !attachment.ports.is_empty() {
            let message = "Published ports are discarded when using host network mode";
            plan.diagnostics.push(Diagnostic::warning("PortsDiscarded", message));
        }
        Ok(plan)
    }
}
