//! What several Dockerfile instructions have in common. The instructions themselves are the
//! files beside this folder, one for each keyword.

pub mod command;
pub mod device;
pub mod duration;
pub mod lint;
pub mod list;
pub mod mount;
pub mod transfer;
