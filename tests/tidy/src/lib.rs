//! Tests of the repository's structure: see `tests/`. There is no code to use here.
