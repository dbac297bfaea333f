//! The parent's side of a new process.
