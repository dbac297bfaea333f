//! The handshake between parent and child.
