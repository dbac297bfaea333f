//! images, tag, rmi, history, import, save, load, version, info.

mod archive;
mod names;
