//! The bodies of the fuzz targets: one function each, from any bytes. What they check is in their names and
//! asserts; that they return is the rest of it.

pub mod decoders;
pub mod engine;
pub mod restore;
pub mod rows;
mod choices;
mod world;
