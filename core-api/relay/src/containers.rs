//! Which container of a pod a request is about.
//!
//! Pure. Upstream: `pkg/registry/core/pod/strategy.go`.

use crate::objects::{Container, Pod};
use proa_meta::{ApiError, ApiResult};

/// The container asked for, or the only one.
///
/// # Errors
/// 400 when the name is wrong, or needed and missing.
pub(crate) fn chosen<'a>(pod: &'a Pod, name: &str, asked: &'a str) -> ApiResult<&'a str> {
    let spec = &pod.spec;
    if !asked.is_empty() {
        let all = [&spec.init_containers, &spec.containers, &spec.ephemeral_containers];
        return match all.into_iter().flatten().any(|container| container.name == asked) {
            true => Ok(asked),
            false => Err(ApiError::bad_request(format!("container {asked} is not valid for pod {name}"))),
        };
    }
    let mut why = format!("a container name must be specified for pod {name}");
    match spec.containers.as_slice() {
        [only] => return Ok(&only.name),
        [] => {}
        several => {
            why += &format!(", choose one of: {}", names(several));
            if !spec.init_containers.is_empty() {
                why += &format!(" or one of the init containers: {}", names(&spec.init_containers));
            }
        }
    }
    Err(ApiError::bad_request(why))
}

fn names(containers: &[Container]) -> String {
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: &[&str], init: &[&str], ephemeral: &[&str]) -> Pod {
        let named = |names: &[&str]| names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>();
        serde_json::from_value(json!({"spec": {
            "containers": named(containers), "initContainers": named(init), "ephemeralContainers": named(ephemeral),
        }}))
        .unwrap()
    }

    fn message<'a>(pod: &'a Pod, asked: &'a str) -> Result<&'a str, String> {
        chosen(pod, "x", asked).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_only_container_need_not_be_named() {
        assert_eq!(message(&pod(&["a"], &["i"], &[]), ""), Ok("a"));
        let several = pod(&["a", "b"], &["i", "j"], &["e"]);
        for known in ["a", "b", "i", "e"] {
            assert_eq!(message(&several, known), Ok(known));
        }
        assert_eq!(message(&several, "c"), Err("container c is not valid for pod x".to_owned()));
        let choose = "a container name must be specified for pod x, choose one of: [a b]";
        assert_eq!(message(&several, ""), Err(format!("{choose} or one of the init containers: [i j]")));
        assert_eq!(message(&pod(&["a", "b"], &[], &[]), ""), Err(choose.to_owned()));
    }
}
