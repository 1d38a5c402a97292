//! Tests of the repository's structure.
