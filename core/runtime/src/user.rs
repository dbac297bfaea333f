//! Who a container's process runs as.
