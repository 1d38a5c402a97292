//! What a probe or hook is aimed at.
//!
//! Upstream: `pkg/probe/util.go` (`ResolveContainerPort`), `pkg/kubelet/util/format/pod.go`.

use crate::plan::containers;
use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::util::intstr::IntOrString,
};
use proa_kit::{
    ObjectRef, Typed as _,
    action::{Action, Event},
    views::PodView,
};
use std::{net::IpAddr, sync::Arc};

/// A container that runs, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its spec.
    pub(crate) container: Container,
    /// Its id in the runtime.
    pub(crate) id: String,
    /// The pod's address.
    pub(crate) address: IpAddr,
    reference: Arc<ObjectRef>,
    /// Where the container is in the pod, for events.
    part: Box<str>,
}

impl Target {
    pub(crate) fn new(pod: &Pod, container: Container, id: String, address: IpAddr) -> Self {
        let meta = &pod.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let reference = ObjectRef::new(PodView::KIND, &text(&meta.namespace), &text(&meta.name));
        let reference = Arc::new(reference.with_uid(&text(&meta.uid)));
        let part =
            containers::find(pod, &container.name).map(containers::Spec::field_path).unwrap_or_default();
        Self { container, id, address, reference, part: part.into() }
    }

    /// The pod as messages name it: `name_namespace(uid)`.
    pub(crate) fn pod_name(&self) -> String {
        let ObjectRef { name, namespace, uid, .. } = &*self.reference;
        format!("{name}_{namespace}({uid})")
    }

    /// A warning about the container.
    pub(crate) fn warning(&self, reason: &str, note: &str) -> Option<Event> {
        match Action::warning(&self.reference, reason, note).part(&self.part) {
            Action::Event(event) => Some(event),
            _ => None,
        }
    }

    /// The number of a port, by number or by name.
    pub(crate) fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => i64::from(*number),
            IntOrString::String(name) => self.named_port(name)?,
        };
        let valid = u16::try_from(number).ok().filter(|number| *number > 0);
        valid.ok_or_else(|| format!("invalid port number: {number}"))
    }

    fn named_port(&self, name: &str) -> Result<i64, String> {
        let ports = self.container.ports.iter().flatten();
        let mut named = ports.filter(|port| port.name.as_deref() == Some(name));
        match named.next() {
            Some(port) => Ok(i64::from(port.container_port)),
            // Upstream's last resort: a number that was written as text; the error is of that try.
            None => name.parse().map_err(|_| format!("strconv.Atoi: parsing {name:?}: invalid syntax")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ContainerPort;

    #[test]
    fn ports_are_found_by_name_or_number() {
        let port = ContainerPort { name: Some("web".to_owned()), container_port: 8080, ..Default::default() };
        let container = Container { ports: Some(vec![port]), ..Default::default() };
        let target = Target::new(&Pod::default(), container, String::new(), [127, 0, 0, 1].into());
        let text = |text: &str| target.port(&IntOrString::String(text.to_owned()));
        assert_eq!(text("web"), Ok(8080));
        assert_eq!(text("81"), Ok(81));
        assert_eq!(text("http"), Err("strconv.Atoi: parsing \"http\": invalid syntax".to_owned()));
        assert_eq!(target.port(&IntOrString::Int(80)), Ok(80));
        assert_eq!(target.port(&IntOrString::Int(0)), Err("invalid port number: 0".to_owned()));
        assert_eq!(target.port(&IntOrString::Int(70_000)), Err("invalid port number: 70000".to_owned()));
    }
}
