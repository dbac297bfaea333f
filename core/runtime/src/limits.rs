//! Resource limits of a process.
