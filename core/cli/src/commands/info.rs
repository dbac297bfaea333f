use serde_json::{Value, json};

use crate::globals::Globals;
use crate::output;
use crate::report::Report;
use crate::template;

/// Print what this engine has and where
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// Go template, or `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl Info {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let info = globals.engine()?.info().map_err(Report::failed)?;
        let devices = info.devices.names.iter().map(|name| json!({ "Source": "cdi", "ID": name }));
        let devices: Vec<Value> = devices.collect();
        let warnings: Vec<String> = info.devices.problems.iter().map(ToString::to_string).collect();
        let value = json!({
            "Containers": info.containers,
            "ContainersRunning": info.running,
            "ContainersStopped": info.containers - info.running,
            "Images": info.images,
            "Driver": info.storage,
            "DefaultNetwork": info.network,
            "Plugins": info.plugins,
            "CDISpecDirs": info.devices.directories,
            "DiscoveredDevices": devices,
            "Warnings": warnings,
            "CgroupVersion": info.cgroup_version,
            "KernelVersion": info.kernel,
            "Architecture": std::env::consts::ARCH,
            "OSType": std::env::consts::OS,
            "NCPU": info.processors,
            "DockerRootDir": info.root,
            "ServerVersion": env!("CARGO_PKG_VERSION"),
        });
        match &self.format {
            Some(format) => output::lines([template::one(format, &value)?])?,
            None => output::lines(lines(&value))?,
        }
        Ok(0)
    }
}

fn lines(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let item = |item: &Value| item.as_str().or(item["ID"].as_str()).unwrap_or_default().to_owned();
            items.iter().map(item).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    value.as_object().into_iter().flatten().map(|(key, value)| format!("{key}: {}", text(value))).collect()
}
