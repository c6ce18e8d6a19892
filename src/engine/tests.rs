//! The protocol step by step, with a fold that only counts. What whole deployments do is the simulator's
//! business.

mod adopting;
mod claiming;
mod committing;
mod harness;
mod pausing;
mod storing;
