//! images, tag, rmi, history, import, save, load, pull, version, info.

mod access;
mod archive;
mod broken;
mod commit;
mod elsewhere;
mod faulty;
mod huge;
mod interchange;
mod keyless;
mod list;
mod manifest;
mod names;
mod platforms;
mod registry;
mod search;
mod serve;
mod trust;
