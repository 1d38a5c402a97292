//! Pure algebra over objects and structural schemas: decode, prune, default, validate, patch, apply.
