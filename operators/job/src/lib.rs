//! The job operator.
