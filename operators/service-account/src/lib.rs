//! The service-account operator.
