//! Kinds of the group `admissionregistration.k8s.io`, `v1`: who is asked about writes.

pub(crate) mod mutating_webhook_configuration;
pub(crate) mod validating_webhook_configuration;
mod webhook;
