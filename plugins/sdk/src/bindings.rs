//! What wit-bindgen generates from `wit/`: one module per world, with the shared interfaces in
//! the first. On the native side every type can also be read and written by postcard.
//!
//! All four worlds export `about`, and its export macro can be defined only once in a crate. So the
//! worlds here are those of `wit/` in two pieces each, `about` and everything else, which become one
//! again when a plugin exports both.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::pedantic,
    reason = "generated from wit/, where the documentation is"
)]

macro_rules! worlds {
    ($($derive:path),*) => {
        pub mod about {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: "package wharf:sdk;
                    world about {
                        export wharf:plugin/about@0.1.0;
                    }",
                world: "wharf:sdk/about",
                pub_export_macro: true,
                default_bindings_module: "wharf_sdk::bindings::about",
                with: {
                    "wharf:plugin/types@0.1.0": crate::bindings::instruction::wharf::plugin::types,
                },
                generate_all,
                additional_derives: [PartialEq $(, $derive)*],
            });
        }

        pub mod instruction {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: "package wharf:sdk;
                    world instruction {
                        import wharf:plugin/host@0.1.0;
                        import wharf:plugin/build-context@0.1.0;
                        import wharf:plugin/exec-devices@0.1.0;
                        export wharf:plugin/instruction@0.1.0;
                    }",
                world: "wharf:sdk/instruction",
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
                inline: "package wharf:sdk;
                    world storage {
                        import wharf:plugin/host@0.1.0;
                        import wharf:plugin/state@0.1.0;
                        import wharf:plugin/remote@0.1.0;
                        export wharf:plugin/storage-driver@0.1.0;
                    }",
                world: "wharf:sdk/storage",
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
                inline: "package wharf:sdk;
                    world network {
                        import wharf:plugin/host@0.1.0;
                        import wharf:plugin/state@0.1.0;
                        import wharf:plugin/remote@0.1.0;
                        export wharf:plugin/network-driver@0.1.0;
                    }",
                world: "wharf:sdk/network",
                pub_export_macro: true,
                default_bindings_module: "wharf_sdk::bindings::network",
                with: {
                    "wharf:plugin/types@0.1.0": crate::bindings::instruction::wharf::plugin::types,
                    "wharf:plugin/host@0.1.0": crate::bindings::instruction::wharf::plugin::host,
                    "wharf:plugin/state@0.1.0": crate::bindings::storage::wharf::plugin::state,
                    "wharf:plugin/remote@0.1.0": crate::bindings::storage::wharf::plugin::remote,
                },
                generate_all,
                additional_derives: [PartialEq $(, $derive)*],
            });
        }

        pub mod hook {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: "package wharf:sdk;
                    world hook {
                        import wharf:plugin/host@0.1.0;
                        import wharf:plugin/image-files@0.1.0;
                        import wharf:plugin/image-signatures@0.1.0;
                        import wharf:plugin/op-devices@0.1.0;
                        import wharf:plugin/remote@0.1.0;
                        export wharf:plugin/hook@0.1.0;
                    }",
                world: "wharf:sdk/hook",
                pub_export_macro: true,
                default_bindings_module: "wharf_sdk::bindings::hook",
                with: {
                    "wharf:plugin/types@0.1.0": crate::bindings::instruction::wharf::plugin::types,
                    "wharf:plugin/host@0.1.0": crate::bindings::instruction::wharf::plugin::host,
                    "wharf:plugin/build-plan@0.1.0": crate::bindings::instruction::wharf::plugin::build_plan,
                    "wharf:plugin/device-types@0.1.0": crate::bindings::instruction::wharf::plugin::device_types,
                    "wharf:plugin/remote@0.1.0": crate::bindings::storage::wharf::plugin::remote,
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
