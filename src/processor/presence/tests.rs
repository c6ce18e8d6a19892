//! The fold against its rules: one behaviour a test, and random traffic through random crashes.

mod harness;
mod beats;
mod brake;
mod choices;
mod generations;
mod goodbyes;
mod placement;
mod restart;
mod robustness;
mod time;
