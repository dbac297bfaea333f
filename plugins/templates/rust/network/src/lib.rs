//! A network of one: nothing but loopback, on which even low ports can be listened on without rights.

use wharf_sdk::network::{
    Action, Attachment, DriverInfo, HostFacts, Network, Place, Plan, Sysctl,
};
use wharf_sdk::state::View;
use wharf_sdk::{Failure, NetworkDriver, Request};

struct __Type__;

wharf_sdk::export_network!(__Type__);

impl NetworkDriver for __Type__ {
    fn describe() -> DriverInfo {
        DriverInfo { name: "__name__".into(), needs_subnet: false, can_publish: false }
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:sysctl", "lets everybody in the container listen on low ports")]
    }

    fn plan_network(_: &str, _: &Network, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        Ok(Plan::default())
    }

    fn plan_attach(_: &str, _: &Attachment, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        let (key, value) = ("net/ipv4/ip_unprivileged_port_start".into(), "0".into());
        let low_ports = Action::Sysctl(Sysctl { place: Place::Container, key, value });
        Ok(Plan::default().step("open low ports", low_ports))
    }
}
