//! The catalogue of built-in kinds, one file per kind, and the facts table.

pub mod facts;
