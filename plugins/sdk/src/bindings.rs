//! What wit-bindgen generates from `wit/`: one module per world, with the shared interfaces in
//! the first. On the native side every type can also be read and written by postcard.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::pedantic,
    reason = "generated from wit/, where the documentation is"
)]

macro_rules! worlds {
    ($($derive:path),*) => {
        pub mod instruction {
            wit_bindgen::generate!({
                path: "../../wit",
                world: "instruction-plugin",
                pub_export_macro: true,
                default_bindings_module: "wharf_sdk::bindings::instruction",
                generate_unused_types: true,
                generate_all,
                additional_derives: [PartialEq $(, $derive)*],
            });
        }

        pub mod storage {
            wit_bindgen::generate!({
                path: "../../wit",
                world: "storage-plugin",
                pub_export_macro: true,
                default_bindings_module: "wharf_sdk::bindings::storage",
                with: {
                    "wharf:plugin/types@0.1.0": crate::bindings::instruction::wharf::plugin::types,
                    "wharf:plugin/host@0.1.0": crate::bindings::instruction::wharf::plugin::host,
                },
                generate_all,
                additional_derives: [PartialEq $(, $derive)*],
            });
        }

        pub mod network {
            wit_bindgen::generate!({
                path: "../../wit",
                world: "network-plugin",
                pub_export_macro: true,
                default_bindings_module: "wharf_sdk::bindings::network",
                with: {
                    "wharf:plugin/types@0.1.0": crate::bindings::instruction::wharf::plugin::types,
                    "wharf:plugin/host@0.1.0": crate::bindings::instruction::wharf::plugin::host,
                    "wharf:plugin/state@0.1.0": crate::bindings::storage::wharf::plugin::state,
                },
                generate_all,
                additional_derives: [PartialEq $(, $derive)*],
            });
        }

        pub mod hook {
            wit_bindgen::generate!({
                path: "../../wit",
                world: "hook-plugin",
                pub_export_macro: true,
                default_bindings_module: "wharf_sdk::bindings::hook",
                with: {
                    "wharf:plugin/types@0.1.0": crate::bindings::instruction::wharf::plugin::types,
                    "wharf:plugin/host@0.1.0": crate::bindings::instruction::wharf::plugin::host,
                    "wharf:plugin/build-plan@0.1.0": crate::bindings::instruction::wharf::plugin::build_plan,
                },
                generate_all,
                additional_derives: [PartialEq $(, $derive)*],
            });
        }
    };
}

#[cfg(target_arch = "wasm32")]
worlds!();
#[cfg(not(target_arch = "wasm32"))]
worlds!(serde::Serialize, serde::Deserialize);
