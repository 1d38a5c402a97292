//! Every built-in kind, one line each, in the order of discovery: groups as upstream prefers them.

use crate::{
    apiextensions, apps, authentication, authorization, batch, coordination, core, discovery, networking,
    node, rbac, scheduling,
};
use proa_registry::kind::KindDef;

/// The built-in kinds.
pub fn catalogue() -> Vec<KindDef> {
    vec![
        core::binding::kind(),
        core::config_map::kind(),
        core::endpoints::kind(),
        core::event::core_kind(),
        core::namespace::kind(),
        core::node::kind(),
        core::pod::kind(),
        core::pod_template::kind(),
        core::secret::kind(),
        core::service::kind(),
        core::service_account::kind(),
        apps::controller_revision::kind(),
        apps::daemon_set::kind(),
        apps::deployment::kind(),
        apps::replica_set::kind(),
        core::event::events_kind(),
        authentication::self_subject_review(),
        authentication::token_review(),
        authorization::local_subject_access_review(),
        authorization::self_subject_access_review(),
        authorization::self_subject_rules_review(),
        authorization::subject_access_review(),
        batch::job::kind(),
        networking::ingress_class::kind(),
        networking::ingress::kind(),
        rbac::cluster_role::kind(),
        rbac::cluster_role_binding::kind(),
        rbac::role::kind(),
        rbac::role_binding::kind(),
        apiextensions::custom_resource_definition::kind(),
        scheduling::priority_class::kind(),
        coordination::lease::kind(),
        node::runtime_class::kind(),
        discovery::endpoint_slice::kind(),
    ]
}
