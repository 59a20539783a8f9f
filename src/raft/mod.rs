//! (being built)
mod runtime;
