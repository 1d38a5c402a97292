//! The service operator.
