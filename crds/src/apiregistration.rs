//! Kinds of the group `apiregistration.k8s.io`, `v1`: who serves which version of which group.

pub(crate) mod api_service;
