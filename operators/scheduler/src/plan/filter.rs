//! Whether a pod may run on a node: one rule per file, in upstream's order, and what is said when it may not.
//!
//! Upstream: pkg/scheduler/framework/plugins.

pub mod node_affinity;
pub mod node_name;
pub mod node_ports;
pub mod node_resources;
pub mod node_unschedulable;
pub mod pod_rules;
pub mod taint_toleration;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;

use crate::index::{
    Candidate,
    nodes::{Load, Node},
    storage::PodClaims,
};
use node_resources::Lack;

/// Why a node does not take a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is closed for new pods.
    Unschedulable,
    /// The pod names another node.
    Name,
    /// A taint.
    Taint,
    /// Labels.
    Affinity,
    /// A port is taken.
    Ports,
    /// It lacks resources.
    Resources(Lack),
    /// Another pod has a claim for itself.
    VolumeTaken,
    /// A claim's volume does not exist.
    VolumeGone,
    /// A volume is elsewhere.
    VolumeOutOfReach,
    /// A claim would not get a volume.
    VolumeToBind,
    /// A volume is in another zone.
    VolumeZone,
    /// It lacks a label by which pods are spread.
    SpreadLabel,
    /// There would be too many pods in its domain.
    Spread,
    /// The pods that the pod wants to be near are elsewhere.
    PodAffinity,
    /// The pods that it wants to be away from are near.
    PodAntiAffinity,
    /// Pods that want to be away from it are near.
    OthersAntiAffinity,
}

impl Rejection {
    /// Whether other pods are the reason, so that any of them may end it.
    pub fn is_about_pods(self) -> bool {
        matches!(self, Self::Spread | Self::PodAffinity | Self::PodAntiAffinity | Self::OthersAntiAffinity)
    }
    /// Whether volumes are the reason, so that a change of one may end it.
    pub fn is_about_volumes(self) -> bool {
        matches!(
            self,
            Self::VolumeTaken
                | Self::VolumeGone
                | Self::VolumeOutOfReach
                | Self::VolumeToBind
                | Self::VolumeZone
        )
    }
    /// Whether the pod might fit if others went.
    pub fn is_resolvable(self) -> bool {
        match self {
            Self::Ports | Self::Spread | Self::PodAntiAffinity | Self::OthersAntiAffinity => true,
            Self::Resources(lack) => lack.is_resolvable(),
            Self::Unschedulable
            | Self::Name
            | Self::Taint
            | Self::Affinity
            | Self::VolumeTaken
            | Self::VolumeGone
            | Self::VolumeOutOfReach
            | Self::VolumeToBind
            | Self::VolumeZone
            | Self::SpreadLabel
            | Self::PodAffinity => false,
        }
    }
    /// What is said about it.
    pub fn reasons(self, pod: &Candidate) -> Vec<String> {
        let text = match self {
            Self::Unschedulable => node_unschedulable::REASON,
            Self::Name => node_name::REASON,
            Self::Taint => taint_toleration::REASON,
            Self::Affinity => node_affinity::REASON,
            Self::Ports => node_ports::REASON,
            Self::Resources(lack) => return lack.reasons(pod),
            Self::VolumeTaken => volume_restrictions::REASON,
            Self::VolumeGone => volume_binding::GONE,
            Self::VolumeOutOfReach => volume_binding::OUT_OF_REACH,
            Self::VolumeToBind => volume_binding::NONE_TO_BIND,
            Self::VolumeZone => volume_zone::REASON,
            Self::SpreadLabel => pod_rules::NO_LABEL,
            Self::Spread => pod_rules::SPREAD,
            Self::PodAffinity => pod_rules::AFFINITY,
            Self::PodAntiAffinity => pod_rules::ANTI_AFFINITY,
            Self::OthersAntiAffinity => pod_rules::OTHERS,
        };
        vec![text.to_owned()]
    }
}

/// The first rule against it that no other pod has to do with. A node that does not exist takes nothing.
pub fn fixed(pod: &Candidate, node: &Node) -> Result<(), Rejection> {
    let Some(view) = &node.view else { return Err(Rejection::Name) };
    let spec = &pod.view.spec;
    for (fits, rejection) in [
        (node_unschedulable::fits as fn(&_, &_) -> bool, Rejection::Unschedulable),
        (node_name::fits, Rejection::Name),
        (taint_toleration::fits, Rejection::Taint),
        (node_affinity::fits, Rejection::Affinity),
    ] {
        if !fits(spec, view) {
            return Err(rejection);
        }
    }
    Ok(())
}

/// Whether there is room for it beside this load.
pub fn room(pod: &Candidate, node: &Node, load: &Load) -> Result<(), Rejection> {
    if !node_ports::fits(&pod.ports, &load.ports) {
        return Err(Rejection::Ports);
    }
    node_resources::fits(&pod.requests.needed, node, load).map_err(Rejection::Resources)
}

/// Whether its volumes can be had there.
pub fn volumes(claims: &PodClaims, node: &Node) -> Result<(), Rejection> {
    let Some(view) = &node.view else { return Err(Rejection::Name) };
    if !volume_restrictions::fits(claims) {
        return Err(Rejection::VolumeTaken);
    }
    volume_binding::fits(claims, view)?;
    if volume_zone::fits(claims, view) { Ok(()) } else { Err(Rejection::VolumeZone) }
}
