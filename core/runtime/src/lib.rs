//! Processes and the kernel: what turns an OCI runtime spec into a running container.
//!
//! ```text
//! process   a process in namespaces            cgroup     what it may use
//! monitor   who watches it and tells           mount      root file systems
//! net       carries out network plans          tree       copies and removes directories
//! disk      file systems in files              memory     files and sockets that touch no disk
//! ```
//!
//! This room knows no images, no registries, no plugins and no configuration files. Everything that
//! needs `unsafe` is in `sys`, one call per function.

pub mod caps;
pub mod cgroup;
mod child;
pub mod defaults;
mod dev;
pub mod disk;
pub mod facts;
mod limits;
pub mod log;
mod mask;
pub mod memory;
mod message;
pub mod monitor;
pub mod mount;
pub mod net;
mod parent;
pub mod process;
mod rootfs;
pub mod seccomp;
pub mod state;
mod sys;
pub mod terminal;
pub mod tree;
pub mod user;
