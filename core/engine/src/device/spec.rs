//! One CDI file, as the CDI specification 1.1.0 has it. A key that is not known is an error.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// All of a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Spec {
    /// The version of the CDI specification that it needs.
    pub(super) cdi_version: String,
    /// `vendor.com/class`.
    pub(super) kind: String,
    /// For whoever reads it.
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, Scalar>,
    /// At least one.
    pub(super) devices: Vec<Device>,
    /// What is done when any of its devices is asked for.
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

/// A device.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Device {
    /// What stands behind the `=`.
    pub(super) name: String,
    /// For whoever reads it.
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, Scalar>,
    /// What is done when this one is asked for.
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

/// What changes in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct ContainerEdits {
    /// `NAME=value`.
    pub(super) env: Vec<String>,
    /// Nodes below `/dev`.
    pub(super) device_nodes: Vec<DeviceNode>,
    /// Network interfaces of the host that it gets.
    pub(super) net_devices: Vec<NetDevice>,
    /// Programs that the runtime runs.
    pub(super) hooks: Vec<Hook>,
    /// Mounts.
    pub(super) mounts: Vec<Mount>,
    /// Shares of the processor's caches.
    pub(super) intel_rdt: Option<IntelRdt>,
    /// Groups of its program; 0 stands for none.
    #[serde(alias = "additionalGIDs")]
    pub(super) additional_gids: Vec<u32>,
}

/// A node. What is not said is as on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct DeviceNode {
    /// Where it is in the container.
    pub(super) path: String,
    /// Where it is on the host; empty is the same.
    pub(super) host_path: String,
    /// `b`, `c`, `u` or `p`; empty is the host's.
    pub(super) r#type: String,
    /// 0 is the host's.
    pub(super) major: i64,
    /// With `major`.
    pub(super) minor: i64,
    /// Permission bits.
    pub(super) file_mode: Option<Mode>,
    /// Some of `rwm`, or `none`; empty is all.
    pub(super) permissions: String,
    /// Its owner.
    pub(super) uid: Option<u32>,
    /// Its group.
    pub(super) gid: Option<u32>,
}

/// A mount, with the options of an OCI spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Mount {
    /// What is mounted.
    pub(super) host_path: String,
    /// Where it is in the container.
    pub(super) container_path: String,
    /// As `mount` has them.
    pub(super) options: Vec<String>,
    /// The type of its file system; empty is a bind.
    pub(super) r#type: String,
}

/// A program that the runtime runs at some point of a container's life.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Hook {
    /// When.
    pub(super) hook_name: String,
    /// Which.
    pub(super) path: String,
    /// Its arguments.
    #[serde(default, rename = "args")]
    pub(super) _args: Vec<String>,
    /// Its variables.
    #[serde(default)]
    pub(super) env: Vec<String>,
    /// Seconds.
    #[serde(default, rename = "timeout")]
    pub(super) _timeout: Option<i64>,
}

/// Intel's resource director.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct IntelRdt {
    #[serde(rename = "closID")]
    pub(super) _clos_id: String,
    #[serde(rename = "l3CacheSchema")]
    pub(super) _l3_cache_schema: String,
    #[serde(rename = "memBwSchema")]
    pub(super) _mem_bw_schema: String,
    /// Since 1.1.0.
    pub(super) schemata: Option<Vec<String>>,
    /// Since 1.1.0.
    pub(super) enable_monitoring: bool,
}

/// A network interface that moves into the container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NetDevice {
    /// Its name on the host.
    pub(super) host_interface_name: String,
    /// Its name in the container.
    pub(super) name: String,
}

/// Text; `true` and `1` without quotes are text, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Scalar;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
        }
        from.deserialize_any(Text)
    }
}

/// Permission bits: a number, and in YAML also `0660`, which newer versions of YAML take for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bits;
        impl Visitor<'_> for Bits {
            type Value = Mode;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("permission bits")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Mode, E> {
                u32::try_from(value).map(Mode).map_err(|_| E::custom("permission bits are too large"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Mode, E> {
                let octal = text.strip_prefix('0').and_then(|digits| u32::from_str_radix(digits, 8).ok());
                octal.map(Mode).ok_or_else(|| E::custom(format!("`{text}` is not a number")))
            }
        }
        from.deserialize_any(Bits)
    }
}
