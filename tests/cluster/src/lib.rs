//! The real server in process for tests.
