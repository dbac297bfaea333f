//! Paths that a container must not see or change.
