//! No network: a namespace with nothing but loopback in it.

use wharf_sdk::network::{Attachment, DriverInfo, HostFacts, Network, Plan};
use wharf_sdk::state::View;
use wharf_sdk::{Failure, NetworkDriver};

struct NoneDriver;

wharf_sdk::export_network!(NoneDriver, "no network but loopback");

impl NetworkDriver for NoneDriver {
    fn describe() -> DriverInfo {
        DriverInfo { name: "none".into(), needs_subnet: false, can_publish: false }
    }

    fn plan_network(_: &str, _: &Network, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default())
    }

    fn plan_attach(_: &str, _: &Attachment, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default())
    }
}
