//! The garbage-collector operator.
