//! The only crate that names actix: listener, TLS, client certificates, upgrades.
