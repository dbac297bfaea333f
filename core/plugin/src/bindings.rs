//! What wasmtime generates from `wit/`: one module per world, with the shared interfaces in the
//! first. Everything here is private; `convert` turns it into the words of `wharf-model`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated from wit/, where the documentation is"
)]

/// Stands for the `context` resource; the context itself is in a scoped thread-local.
pub struct Context;
/// Stands for the `view` resource.
pub struct View;
/// Stands for the `files` resource.
pub struct Files;

pub mod instruction {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "instruction-plugin",
        imports: { default: trappable },
        with: { "wharf:plugin/build-context.context": super::Context },
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
    });
}

pub mod storage {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "storage-plugin",
        imports: { default: trappable },
        with: {
            "wharf:plugin/types": super::instruction::wharf::plugin::types,
            "wharf:plugin/host": super::instruction::wharf::plugin::host,
            "wharf:plugin/state.view": super::View,
        },
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
    });
}

pub mod network {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "network-plugin",
        imports: { default: trappable },
        with: {
            "wharf:plugin/types": super::instruction::wharf::plugin::types,
            "wharf:plugin/host": super::instruction::wharf::plugin::host,
            "wharf:plugin/state": super::storage::wharf::plugin::state,
            "wharf:plugin/remote": super::storage::wharf::plugin::remote,
        },
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
    });
}

pub mod hook {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "hook-plugin",
        imports: { default: trappable },
        with: {
            "wharf:plugin/types": super::instruction::wharf::plugin::types,
            "wharf:plugin/host": super::instruction::wharf::plugin::host,
            "wharf:plugin/build-plan": super::instruction::wharf::plugin::build_plan,
            "wharf:plugin/device-types": super::instruction::wharf::plugin::device_types,
            "wharf:plugin/remote": super::storage::wharf::plugin::remote,
            "wharf:plugin/image-files.files": super::Files,
        },
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
    });
}

pub use hook::exports::wharf::plugin::hook as hooks;
pub use hook::wharf::plugin::{hook_types, image_files, image_signatures, op_devices};
pub use instruction::exports::wharf::plugin::instruction as instructions;
pub use instruction::wharf::plugin::{build_context, build_plan, device_types, exec_devices, host, types};
pub use network::exports::wharf::plugin::network_driver;
pub use network::wharf::plugin::network_plan;
pub use storage::exports::wharf::plugin::storage_driver;
pub use storage::wharf::plugin::{remote, state, storage_plan};
