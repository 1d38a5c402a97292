//! The node authorizer: a node reads what pods bound to it refer to, and writes its own objects.
//!
//! Owns: which requests of a node are allowed. Invariants: a node reads a Secret, ConfigMap, claim or service account
//! only while a pod bound to it refers to it; other resources follow the fixed rules of `system:node`. A node
//! lists pods only by its own name. What the request's body says is checked by `admission::node_restriction`.
//! Upstream: `plugin/pkg/auth/authorizer/node/node_authorizer.go`.

pub mod bound;
pub mod references;

use crate::{bootstrap::table, rbac::rule::PolicyRule};
use bound::BoundPods;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::User;
use proa_registry::{Attributes, Authorizer, Decision, Registry};
use references::Reference;
use serde_json::{Value, json};
use std::sync::Arc;

/// Group of all nodes.
pub const NODES_GROUP: &str = "system:nodes";

/// Decides requests of `system:node:NAME` users in the group `system:nodes`.
pub struct NodeAuthorizer {
    registry: Arc<Registry>,
    rules: Vec<PolicyRule>,
    pods: BoundPods,
}

/// Whether a user is a node: its name, empty when the user name does not tell.
pub fn node_name(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:");
    match name {
        Some(name) if user.in_group(NODES_GROUP) => Some(name),
        None if user.in_group(NODES_GROUP) => Some(""),
        _ => None,
    }
}

impl NodeAuthorizer {
    /// An authorizer over the registry's published pods.
    pub fn new(registry: Arc<Registry>) -> Arc<Self> {
        Arc::new(Self { registry, rules: table::rules_of("system:node"), pods: BoundPods::default() })
    }

    fn decide(&self, request: &Attributes) -> Decision {
        match node_name(&request.user) {
            None => no_opinion(""),
            Some("") => no_opinion(format!("unknown node for user {:?}", request.user.name)),
            Some(node) => self.decide_for(node, request),
        }
    }

    fn decide_for(&self, node: &str, request: &Attributes) -> Decision {
        if request.is_resource {
            match (request.group.as_str(), request.resource.as_str()) {
                ("", "secrets") => return self.read(node, request, Reference::Secret),
                ("", "configmaps") => return self.read(node, request, Reference::ConfigMap),
                ("", "persistentvolumeclaims") => return self.claim(node, request),
                ("", "persistentvolumes") => return self.volume(node, request),
                ("", "serviceaccounts") => return self.service_account(node, request),
                ("", "nodes") => return own_node(node, request),
                ("", "pods") => return self.pod(node, request),
                ("coordination.k8s.io", "leases") => return own_lease(node, request),
                ("storage.k8s.io", "csinodes") => return own_csi_node(node, request),
                _ => {}
            }
        }
        if self.rules.iter().any(|rule| rule.allows(request)) { allow() } else { no_opinion("") }
    }

    fn read(&self, node: &str, request: &Attributes, reference: Reference) -> Decision {
        if !matches!(request.verb.as_str(), "get" | "list" | "watch") {
            return no_opinion("can only read resources of this type");
        }
        if !request.subresource.is_empty() {
            return no_opinion("cannot read subresource");
        }
        if request.namespace.is_empty() {
            return no_opinion("can only read namespaced object of this type");
        }
        self.related(node, request, reference)
    }

    fn claim(&self, node: &str, request: &Attributes) -> Decision {
        match (request.verb.as_str(), request.subresource.as_str()) {
            ("get", "") | ("update" | "patch", "status") => self.related(node, request, Reference::Claim),
            (_, "status") => no_opinion("can only get/update/patch this type"),
            ("get", _) => no_opinion("cannot get subresource"),
            _ => no_opinion("can only get individual resources of this type"),
        }
    }

    /// A volume is read while its claim is used by a pod of the node.
    fn volume(&self, node: &str, request: &Attributes) -> Decision {
        if request.verb != "get" || !request.subresource.is_empty() {
            return no_opinion("can only get individual resources of this type");
        }
        let claim = bound::claim_of_volume(&self.registry, &request.name);
        let used = claim.is_some_and(|(namespace, name)| {
            self.pods.refer(&self.registry, node, &namespace, Reference::Claim, &name)
        });
        if used { allow() } else { unrelated(node) }
    }

    fn service_account(&self, node: &str, request: &Attributes) -> Decision {
        match (request.verb.as_str(), request.subresource.as_str()) {
            ("get", "") => self.read(node, request, Reference::ServiceAccount),
            ("create", "token") if !request.name.is_empty() => {
                self.related(node, request, Reference::ServiceAccount)
            }
            ("create", sub) if sub != "token" => {
                no_opinion("can only create token subresource of serviceaccount")
            }
            _ => no_opinion("can only create tokens for individual service accounts"),
        }
    }

    fn pod(&self, node: &str, request: &Attributes) -> Decision {
        match (request.verb.as_str(), request.subresource.as_str()) {
            ("list" | "watch", "") if request.selects_field("spec.nodeName", node) => allow(),
            ("list" | "watch", "") if request.name.is_empty() => {
                no_opinion("can only list/watch pods with spec.nodeName field selector")
            }
            ("get" | "list" | "watch", "") => {
                let bound = bound::is_bound(&self.registry, &request.namespace, &request.name, node);
                if bound { allow() } else { unrelated(node) }
            }
            ("create" | "delete", "") | ("update" | "patch", "status") | ("create", "eviction") => allow(),
            _ => no_opinion(""),
        }
    }

    fn related(&self, node: &str, request: &Attributes, reference: Reference) -> Decision {
        if request.name.is_empty() {
            return no_opinion("No Object name found");
        }
        let related = self.pods.refer(&self.registry, node, &request.namespace, reference, &request.name);
        if related { allow() } else { unrelated(node) }
    }
}

fn allow() -> Decision {
    Decision::Allow(String::new())
}

fn no_opinion(reason: impl Into<String>) -> Decision {
    Decision::NoOpinion(reason.into())
}

fn unrelated(node: &str) -> Decision {
    no_opinion(format!("no relationship found between node '{node}' and this object"))
}

fn own_node(node: &str, request: &Attributes) -> Decision {
    match (request.verb.as_str(), request.subresource.as_str()) {
        ("create" | "update" | "patch", "") | ("update" | "patch", "status") => allow(),
        ("get" | "list" | "watch", "") => match request.name.as_str() {
            name if name == node => allow(),
            "" => no_opinion(format!("node '{node}' cannot read all nodes, only its own Node object")),
            name => no_opinion(format!("node '{node}' cannot read '{name}', only its own Node object")),
        },
        _ => no_opinion(""),
    }
}

fn own_lease(node: &str, request: &Attributes) -> Decision {
    let verb = request.verb.as_str();
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return no_opinion("can only get, create, update, patch, or delete a node lease");
    }
    if request.namespace != "kube-node-lease" {
        return no_opinion("can only access leases in the \"kube-node-lease\" system namespace");
    }
    if verb != "create" && request.name != node {
        return no_opinion("can only access node lease with the same name as the requesting node");
    }
    allow()
}

fn own_csi_node(node: &str, request: &Attributes) -> Decision {
    let verb = request.verb.as_str();
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return no_opinion("can only get, create, update, patch, or delete a CSINode");
    }
    if !request.subresource.is_empty() {
        return no_opinion("cannot authorize CSINode subresources");
    }
    if verb != "create" && request.name != node {
        return no_opinion("can only access CSINode with the same name as the requesting node");
    }
    allow()
}

impl Authorizer for NodeAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        async move { self.decide(attributes) }.boxed()
    }

    fn rules<'a>(&'a self, user: &'a User, _: &'a str) -> BoxFuture<'a, Value> {
        let status = if node_name(user).is_some() {
            json!({"resourceRules": [], "nonResourceRules": [], "incomplete": true,
                   "evaluationError": "node authorizer does not support user rule resolution"})
        } else {
            json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false})
        };
        async move { status }.boxed()
    }
}
