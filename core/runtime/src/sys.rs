//! Every raw libc call of the runtime, one per function.

pub(crate) mod block;
pub(crate) mod bpf;
pub(crate) mod monitor;
pub(crate) mod mount;
pub(crate) mod process;
