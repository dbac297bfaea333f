//! images, tag, rmi, history, import, save, load, pull, version, info.

mod archive;
mod names;
mod registry;
