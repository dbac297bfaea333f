//! `inspect`: docker's JSON of a container. Scripts depend on these keys.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use wharf_model::network::Port;
use wharf_runtime::monitor::{Exit, Status};

use super::{Container, FailedStart, LookupError, Mount, MountKind};
use crate::Engine;
use crate::device::DeviceRequest;
use crate::network::{Joined, PortSpec};

/// Docker's "zero time": what a time is that has not come yet.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Engine {
    /// Everything about a container, with docker's keys.
    ///
    /// # Errors
    /// When there is none.
    pub fn inspect_container(&self, name: &str) -> Result<Value, LookupError> {
        Ok(self.container_details(&self.container(name)?))
    }

    /// The same of a container that may not be there yet.
    pub(crate) fn container_details(&self, container: &Container) -> Value {
        let status = self.status(container);
        let data = self.data_dir(&container.id);
        json!({
            "Id": container.id,
            "Created": container.created.to_string(),
            "Path": container.argv.first(),
            "Args": container.argv.get(1..).unwrap_or_default(),
            "State": state(&status, self.started_at(container), container.failed_start.as_ref()),
            "Image": container.image_id.to_string(),
            "ResolvConfPath": data.join("resolv.conf"),
            "HostnamePath": data.join("hostname"),
            "HostsPath": data.join("hosts"),
            "LogPath": data.join("log.jsonl"),
            "Name": format!("/{}", container.name),
            "RestartCount": 0,
            "Driver": container.storage,
            "Platform": "linux",
            "HostConfig": host_config(container),
            "Mounts": container.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs).map(mount).collect::<Vec<_>>(),
            "Config": config(container),
            "NetworkSettings": network_settings(container, &status),
        })
    }

    fn started_at(&self, container: &Container) -> Option<Timestamp> {
        match self.status(container) {
            Status::Running { started_at, .. } => Some(started_at),
            Status::Created | Status::Exited(_) => None,
        }
    }
}

fn state(status: &Status, started: Option<Timestamp>, failed: Option<&FailedStart>) -> Value {
    let time = |time: Option<Timestamp>| time.map_or_else(|| NEVER.to_owned(), |time| time.to_string());
    let (word, pid, exit): (&str, i32, Option<&Exit>) = match status {
        Status::Created => ("created", 0, None),
        Status::Running { pid, .. } => ("running", *pid, None),
        Status::Exited(exit) => ("exited", 0, Some(exit)),
    };
    json!({
        "Status": word,
        "Running": word == "running",
        "Paused": false,
        "Restarting": false,
        "OOMKilled": exit.is_some_and(|exit| exit.oom_killed),
        "Dead": false,
        "Pid": pid,
        "ExitCode": exit.map(|exit| exit.code).or(failed.map(|failed| failed.code)).unwrap_or(0),
        "Error": failed.map_or("", |failed| &failed.message),
        "StartedAt": time(started),
        "FinishedAt": time(exit.map(|exit| exit.finished_at)),
    })
}

fn host_config(container: &Container) -> Value {
    let limits = &container.limits;
    let binding = |port: &PortSpec| {
        let number = if port.host_port == 0 { String::new() } else { port.host_port.to_string() };
        let address =
            if port.host_address.is_unspecified() { String::new() } else { port.host_address.to_string() };
        (
            format!("{}/{}", port.container_port, port.protocol),
            json!({ "HostIp": address, "HostPort": number }),
        )
    };
    json!({
        "Binds": container.binds,
        "NetworkMode": container.network,
        "PortBindings": grouped(container.ports.iter().map(binding)),
        "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 },
        "AutoRemove": container.auto_remove,
        "Privileged": container.privileged,
        "ReadonlyRootfs": container.read_only,
        "Devices": host_devices(&container.devices),
        "DeviceRequests": cdi_devices(&container.devices),
        "Memory": limits.memory.unwrap_or(0),
        "MemorySwap": limits.memory_swap.or(limits.memory.map(|memory| memory.saturating_mul(2))).unwrap_or(0),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "PidsLimit": limits.pids,
        "StorageOpt": limits.storage_size.map(|size| json!({ "size": size.to_string() })),
        "ShmSize": limits.shm_size.unwrap_or(64 << 20),
        "ExtraHosts": container.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect::<Vec<_>>(),
        "Dns": container.dns,
    })
}

fn host_devices(devices: &[DeviceRequest]) -> Vec<Value> {
    let shown = |device: &DeviceRequest| match device {
        DeviceRequest::Host { source, target, access } => {
            Some(json!({ "PathOnHost": source, "PathInContainer": target, "CgroupPermissions": access }))
        }
        DeviceRequest::Cdi(_) => None,
    };
    devices.iter().filter_map(shown).collect()
}

/// Docker has all of them in one request.
fn cdi_devices(devices: &[DeviceRequest]) -> Value {
    let name = |device: &DeviceRequest| match device {
        DeviceRequest::Cdi(name) => Some(name.clone()),
        DeviceRequest::Host { .. } => None,
    };
    let names: Vec<String> = devices.iter().filter_map(name).collect();
    if names.is_empty() {
        return Value::Null;
    }
    json!([{ "Driver": "cdi", "Count": 0, "DeviceIDs": names, "Capabilities": null, "Options": null }])
}

fn mount(mount: &Mount) -> Value {
    let mode = if mount.read_only { "ro" } else { "" };
    let common = json!({
        "Source": mount.source,
        "Destination": mount.target,
        "Mode": mode,
        "RW": !mount.read_only,
        "Propagation": mount.propagation,
    });
    let head = match mount.kind {
        MountKind::Volume => json!({ "Type": "volume", "Name": mount.name, "Driver": "local" }),
        MountKind::Bind | MountKind::Tmpfs => json!({ "Type": "bind" }),
    };
    let mut all = Map::new();
    for part in [head, common] {
        all.extend(part.as_object().cloned().unwrap_or_default());
    }
    Value::Object(all)
}

fn config(container: &Container) -> Value {
    let config = &container.config;
    json!({
        "Hostname": container.hostname,
        "Domainname": "",
        "User": config.user,
        "AttachStdin": container.stdin_once,
        "AttachStdout": true,
        "AttachStderr": true,
        "ExposedPorts": config.exposed_ports,
        "Tty": container.tty,
        "OpenStdin": container.open_stdin,
        "StdinOnce": container.stdin_once,
        "Env": config.env,
        "Cmd": config.cmd,
        "Image": container.image,
        "Volumes": config.volumes,
        "WorkingDir": config.working_dir,
        "Entrypoint": config.entrypoint,
        "OnBuild": config.on_build,
        "Labels": config.labels,
        "StopSignal": config.stop_signal,
        "StopTimeout": container.stop_timeout,
    })
}

fn network_settings(container: &Container, status: &Status) -> Value {
    let live = container.joined.as_ref().filter(|_| matches!(status, Status::Running { .. }));
    let interface = live.and_then(|joined| joined.interfaces.first());
    let address = interface.and_then(|interface| interface.addresses.first());
    let endpoint = json!({
        "NetworkID": live.map_or("", |joined| &joined.network_id),
        "Gateway": text(interface.and_then(|interface| interface.gateway)),
        "IPAddress": text(address.map(|cidr| cidr.address)),
        "IPPrefixLen": address.map_or(0, |cidr| cidr.prefix),
        "MacAddress": interface.map_or("", |interface| &interface.mac),
    });
    let networks: BTreeMap<&str, &Value> = [(container.network.as_str(), &endpoint)].into();
    json!({
        "Ports": ports(container, live),
        "Gateway": endpoint["Gateway"],
        "IPAddress": endpoint["IPAddress"],
        "IPPrefixLen": endpoint["IPPrefixLen"],
        "MacAddress": endpoint["MacAddress"],
        "Networks": networks,
    })
}

/// Exposed ports have no binding; published ones theirs.
fn ports(container: &Container, live: Option<&Joined>) -> Value {
    let Some(joined) = live else { return json!({}) };
    let binding = |port: &Port| {
        let host = json!({ "HostIp": port.host_address.to_string(), "HostPort": port.host_port.to_string() });
        (format!("{}/{}", port.container_port, port.protocol), host)
    };
    let mut all = grouped(joined.ports.iter().map(binding));
    for exposed in container.config.exposed_ports.keys() {
        all.entry(exposed.clone()).or_insert(Value::Null);
    }
    Value::Object(all)
}

fn grouped(pairs: impl Iterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut all = Map::new();
    for (key, value) in pairs {
        if let Some(list) = all.entry(key).or_insert_with(|| json!([])).as_array_mut() {
            list.push(value);
        }
    }
    all
}

fn text(address: Option<std::net::IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}
