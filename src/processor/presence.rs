//! The fold of presence.
