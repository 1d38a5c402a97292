//! Requests and limits of the pod as a whole, against those of its containers.

use super::{Context, resource_list};
use crate::{cursor::Cursor, pod_spec::resources};
use proa_meta::FieldErrors;

/// `resources` of a pod spec.
pub(super) fn pod_resources(spec: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let Some(own) = spec.present("resources") else { return };
    if context.os == Some("windows") {
        return own.forbidden(errors, "may not be set for a windows pod");
    }
    if own.get("claims").is_set() {
        own.get("claims").forbidden(errors, "claims may not be set for Resources at pod-level");
    }
    resource_list::pod(&own, context, errors);
    consistency(spec, &own, errors);
}

fn consistency(spec: &Cursor<'_, '_>, own: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (requests, limits) = (own.get("requests"), own.get("limits"));
    for (name, sum) in resources::aggregate(spec.value(), "requests") {
        if resources::amount(requests.value(), &name).is_some_and(|pod| sum > pod) {
            let text = format!("must be greater than or equal to aggregate container requests of {sum}");
            requests.key(&name).invalid(errors, &text);
        }
    }
    for (name, sum) in resources::aggregate(spec.value(), "limits") {
        let pod = resources::amount(limits.value(), &name).filter(|_| resources::is_hugepages(&name));
        if pod.is_some_and(|pod| sum > pod) {
            let text = format!("must be greater than or equal to aggregate container limits of {sum}");
            limits.key(&name).invalid(errors, &text);
        }
    }
    for container in own.get("containers").with(spec.get("containers").value()).items() {
        for (name, limit) in resources::amounts(&container.value()["resources"]["limits"]) {
            let Some(pod) = resources::amount(limits.value(), &name).filter(|pod| limit > *pod) else {
                continue;
            };
            let text = format!("must be less than or equal to pod limits of {pod}");
            container.key(&name).get("limits").with(&limit.to_string().into()).invalid(errors, &text);
        }
    }
}
