//! Requests that the core passes on
