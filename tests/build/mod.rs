//! `wharf build`: what each instruction does, what is cached, what the options do.

mod cache;
mod changing;
mod config;
mod context;
mod elsewhere;
mod ended;
mod files;
mod full;
mod git;
mod graph;
mod hostile;
mod instructions;
mod interrupt;
mod language;
mod lint;
mod mounts;
mod named;
mod options;
mod output;
mod parallel;
mod programs;
mod provenance;
mod remote_cache;
mod secret;
mod share;
mod stages;
