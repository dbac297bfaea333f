//! Device nodes of a container.
