//! Which process a recorded pid means.
