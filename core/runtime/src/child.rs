//! The container's first process, from clone to exec.
