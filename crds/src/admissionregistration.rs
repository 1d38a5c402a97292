//! Kinds of the group `admissionregistration.k8s.io`, `v1`: who is asked about writes, and which policies hold for them.

mod binding;
mod expressions;
pub(crate) mod mutating_admission_policy;
pub(crate) mod mutating_admission_policy_binding;
pub(crate) mod mutating_webhook_configuration;
mod policy;
pub(crate) mod validating_admission_policy;
pub(crate) mod validating_admission_policy_binding;
pub(crate) mod validating_webhook_configuration;
mod webhook;
