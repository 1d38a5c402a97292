//! A limit range, and what it says of a pod or a claim. Pure.

use proa_meta::quantity::Quantity;
use proa_quota::{
    Amounts,
    pod::{List, Pod, Resources, asked},
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Quantities above are compared as whole numbers, as thousandths would not fit.
const MAX_MILLI: i64 = i64::MAX / 1000;

/// What is read of a LimitRange.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Range {
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    limits: Vec<Limit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Limit {
    r#type: String,
    min: Amounts,
    max: Amounts,
    max_limit_request_ratio: Amounts,
    default: Map<String, Value>,
    default_request: Map<String, Value>,
}

impl Range {
    /// Requests and limits for containers that say nothing.
    pub(super) fn container_defaults(&self) -> (Map<String, Value>, Map<String, Value>) {
        let (mut requests, mut limits) = (Map::new(), Map::new());
        for limit in self.of("Container") {
            requests.extend(limit.default_request.clone());
            limits.extend(limit.default.clone());
        }
        (requests, limits)
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Limit> {
        self.spec.limits.iter().filter(move |limit| limit.r#type == kind)
    }

    /// What is wrong with a pod.
    pub(super) fn pod(&self, pod: &Value) -> Result<Vec<String>, serde_json::Error> {
        let spec = Pod::deserialize(pod)?.spec;
        let mut complaints = Vec::new();
        for limit in &self.spec.limits {
            match &*limit.r#type {
                "Container" => {
                    for container in spec.containers.iter().chain(&spec.init_containers) {
                        limit.check(&container.resources, &mut complaints);
                    }
                }
                "Pod" => {
                    let whole = |name: &str| matches!(name, "cpu" | "memory");
                    let resources = Resources {
                        requests: asked(&spec, List::Requests, whole),
                        limits: asked(&spec, List::Limits, whole),
                    };
                    limit.check(&resources, &mut complaints);
                }
                _ => {}
            }
        }
        Ok(complaints)
    }

    /// What is wrong with a claim.
    pub(super) fn claim(&self, claim: &Value) -> Result<Vec<String>, serde_json::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Claim {
            spec: ClaimSpec,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct ClaimSpec {
            resources: Resources,
        }
        let asked = Resources {
            requests: Claim::deserialize(claim)?.spec.resources.requests,
            ..Resources::default()
        };
        let mut complaints = Vec::new();
        for limit in self.of("PersistentVolumeClaim") {
            let bounds = |list| limit.bounds(list, &asked);
            complaints.extend(bounds(&limit.min).filter_map(|bound| bound.min()));
            complaints.extend(bounds(&limit.max).filter_map(|bound| bound.max_request()));
        }
        Ok(complaints)
    }
}

/// One bound and what it is held against.
struct Bound<'a> {
    kind: &'a str,
    name: &'a str,
    bound: Quantity,
    request: Option<Quantity>,
    limit: Option<Quantity>,
}

impl Limit {
    fn bounds<'a>(&'a self, list: &'a Amounts, resources: &'a Resources) -> impl Iterator<Item = Bound<'a>> {
        list.iter().map(|(name, bound)| Bound {
            kind: &self.r#type,
            name,
            bound: *bound,
            request: resources.requests.get(name).copied(),
            limit: resources.limits.get(name).copied(),
        })
    }

    fn check(&self, resources: &Resources, complaints: &mut Vec<String>) {
        complaints.extend(self.bounds(&self.min, resources).filter_map(|bound| bound.min()));
        complaints.extend(self.bounds(&self.max, resources).filter_map(|bound| bound.max()));
        complaints
            .extend(self.bounds(&self.max_limit_request_ratio, resources).filter_map(|bound| bound.ratio()));
    }
}

impl Bound<'_> {
    /// Request, limit and bound, in thousandths where all fit.
    fn values(&self) -> [i64; 3] {
        let all =
            [self.request, self.limit, Some(self.bound)].map(|quantity| quantity.unwrap_or(Quantity::ZERO));
        let fits = all.iter().all(|quantity| quantity.value() <= MAX_MILLI);
        all.map(|quantity| if fits { quantity.milli_value() } else { quantity.value() })
    }

    fn min(&self) -> Option<String> {
        let Self { kind, name, bound, .. } = self;
        let [request, limit, least] = self.values();
        let text = format!("minimum {name} usage per {kind} is {bound}");
        match (self.request, self.limit) {
            (None, _) => Some(format!("{text}.  No request is specified")),
            (Some(asked), _) if request < least => Some(format!("{text}, but request is {asked}")),
            (_, Some(allowed)) if limit < least => Some(format!("{text}, but limit is {allowed}")),
            _ => None,
        }
    }

    fn max(&self) -> Option<String> {
        let Self { kind, name, bound, .. } = self;
        let [request, limit, most] = self.values();
        let text = format!("maximum {name} usage per {kind} is {bound}");
        match (self.limit, self.request) {
            (None, _) => Some(format!("{text}.  No limit is specified")),
            (Some(allowed), _) if limit > most => Some(format!("{text}, but limit is {allowed}")),
            (_, Some(asked)) if request > most => Some(format!("{text}, but request is {asked}")),
            _ => None,
        }
    }

    fn max_request(&self) -> Option<String> {
        let Self { kind, name, bound, .. } = self;
        let [request, _, most] = self.values();
        let text = format!("maximum {name} usage per {kind} is {bound}");
        match self.request {
            None => Some(format!("{text}.  No request is specified")),
            Some(asked) if request > most => Some(format!("{text}, but request is {asked}")),
            Some(_) => None,
        }
    }

    fn ratio(&self) -> Option<String> {
        let Self { kind, name, bound, .. } = self;
        let [request, limit, _] = self.values();
        let text = format!("{name} max limit to request ratio per {kind} is {bound}, but");
        if self.request.is_none() || request == 0 {
            return Some(format!("{text} no request is specified or request is 0"));
        }
        if self.limit.is_none() || limit == 0 {
            return Some(format!("{text} no limit is specified or limit is 0"));
        }
        let ratio = limit as f64 / request as f64;
        let exceeds = if self.bound.value() <= MAX_MILLI {
            ratio * 1000.0 > self.bound.milli_value() as f64
        } else {
            ratio > self.bound.value() as f64
        };
        exceeds.then(|| format!("{text} provided ratio is {ratio:.6}"))
    }
}
