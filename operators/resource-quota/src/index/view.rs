//! What is read of quotas and of the objects that they count.

use proa_kit::{
    Kind,
    views::{Meta, ObjectView, View, meta},
};
use proa_meta::GroupResource;
use proa_quota::{Item, claim, pod, quota, service};
use serde::Deserialize;

/// A quota.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct QuotaView {
    /// Metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: quota::Spec,
    /// What holds.
    pub status: quota::Status,
}

proa_kit::view!(QuotaView, Kind::namespaced("", "v1", "ResourceQuota", "resourcequotas"));

/// An object that can be priced.
pub trait Costly: View {
    /// What it costs.
    fn item(&self, resource: &GroupResource) -> Item;
}

impl Costly for ObjectView {
    fn item(&self, resource: &GroupResource) -> Item {
        Item::counted(resource)
    }
}

macro_rules! costly {
    ($(#[$text:meta])* $view:ident { $($(#[$serde:meta])* $field:ident: $kind:ty),* }, |$own:ident| $item:expr) => {
        $(#[$text])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default)]
        pub struct $view {
            $($(#[$serde])* $field: $kind),*
        }
        impl View for $view {
            fn meta(&self) -> &Meta {
                &self.metadata
            }
        }
        impl Costly for $view {
            fn item(&self, _: &GroupResource) -> Item {
                let $own = self;
                $item
            }
        }
    };
}

costly! {
    /// A pod.
    PodView { metadata: Meta, spec: pod::Spec, status: pod::Status }, |pod| {
        let deletion = pod::Deletion {
            deletion_timestamp: pod.metadata.deletion_timestamp,
            deletion_grace_period_seconds: pod.metadata.deletion_grace_period_seconds,
        };
        Item::Pod(Box::new(pod::Priced::of(deletion, &pod.spec, &pod.status)))
    }
}

costly! {
    /// A service.
    ServiceView { metadata: Meta, spec: service::Spec }, |service| Item::Service(service::Priced::of(&service.spec))
}

costly! {
    /// A persistent volume claim.
    ClaimView {
        #[serde(deserialize_with = "meta::annotated")] metadata: Meta, spec: claim::Spec, status: claim::Status
    }, |claim| {
        let old_class = claim.metadata.annotations.get(claim::OLD_CLASS);
        Item::Claim(claim::Priced::of(old_class, &claim.spec, &claim.status))
    }
}
