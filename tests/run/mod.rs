//! `wharf run` and the verbs of a container's life.

mod device;
mod exec;
mod isolation;
mod life;
mod logs;
mod options;
mod streams;
mod terminal;
mod volumes;
