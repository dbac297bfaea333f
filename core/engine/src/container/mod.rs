//! Containers: one use case a file.
//!
//! ```text
//! <root>/containers/<id>/      hostname, hosts, resolv.conf    bind-mounted into the container
//!                              log.jsonl, exit.json            the monitor's
//! <run root>/containers/<id>/  monitor.sock, state.json        the monitor's
//!                              network.json                    what is to be undone when it ends
//! ```
//!
//! The record itself is in the store. A name is taken when the record is inserted and free when
//! it is removed. Whether a container runs is not in the record: the monitor's lock tells.

mod commit;
mod create;
mod ended;
mod exec;
mod export;
mod inspect;
mod list;
mod logs;
mod lookup;
mod merge;
mod name;
mod record;
mod remove;
pub(crate) mod spec;
mod start;
mod stop;

pub use commit::{CommitContainerError, CommitOptions, Committed};
pub use create::{CreateError, CreateOptions, Created};
pub(crate) use ended::cgroup_name;
pub use exec::{ExecOptions, ExecutionError};
pub use export::ExportError;
pub use list::ContainerSummary;
pub use logs::{LogEntries, LogsError, LogsOptions};
pub use lookup::LookupError;
pub use name::NameError;
pub(crate) use name::{fresh_id, host_part};
pub use record::{Container, FailedStart, Limits, Mount, MountKind};
pub use remove::RemoveError;
pub(crate) use start::DEFAULT_PATH;
pub use start::{StartError, Started};
pub use stop::StopError;
pub use wharf_runtime::log::Entry as LogEntry;
pub use wharf_runtime::monitor::{
    AttachOptions, Connection, DetachKeys, Ended, Execution, Exit, Local, Status, Stream,
};
