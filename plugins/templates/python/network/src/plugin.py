"""A network of one: nothing but loopback, on which even low ports can be listened on without rights."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.network_driver import DriverInfo
from wit_world.imports.network_plan import Action_Sysctl, Namespace, Place, Plan, Step, Sysctl
from wit_world.imports.types import Diagnostic, Failure, FailureKind, Manifest, Request, Severity


class About(exports.About):
    def introduce(self):
        return Manifest(
            name="__name__",
            version="0.1.0",
            summary="__summary__",
            requests=[Request("ops:sysctl", "lets everybody in the container listen on low ports")],
        )


class NetworkDriver(exports.NetworkDriver):
    def describe(self):
        return DriverInfo(name="__name__", needs_subnet=False, can_publish=False)

    def validate_settings(self, settings, facts):
        for key, _ in settings:
            unknown = f"unknown setting `{key}`"
            said = Diagnostic(Severity.ERROR, "__name__/settings", unknown, span=None, help=None, url=None)
            raise Err(Failure(FailureKind.INVALID_INPUT, [said]))

    def plan_network(self, token, network, facts, state):
        return plan([])

    def plan_attach(self, token, attachment, facts, state):
        sysctl = Sysctl(Place.CONTAINER, "net/ipv4/ip_unprivileged_port_start", "0")
        return plan([Step(action=Action_Sysctl(sysctl), label="open low ports")])

    def release(self, token, attachment, state):
        pass


def plan(steps):
    return Plan(Namespace.OWN, steps, interfaces=[], dns_servers=[], dns_search=[], state=[], diagnostics=[])
