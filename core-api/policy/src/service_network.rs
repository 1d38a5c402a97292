//! ServiceCIDRs from their making to their end, and the IPAddresses of services.
//!
//! Owns: a ServiceCIDR's finalizer and `Ready` condition; a task, woken by changes of ServiceCIDRs and IPAddresses. It
//! belongs to the core because it must see which addresses are in use at the moment when a network stopped giving any:
//! a write that takes an address is guarded by its ServiceCIDR as it was seen, so after the deletion's mark is
//! published no further address comes from that network, and the published state shows all that did. (Upstream's
//! controller reads from caches and waits ten seconds instead.)
//!
//! IPAddresses need no repair on account of the server: they come and go in the same write as the address of their
//! service. People can still delete one whose service lives, or make one that claims to be a service's; and services
//! that are older than IPAddresses have none. The first is made again, the second removed, the third made at the start.
//! Meanwhile the address stays taken: that is a claim of its own, which no request reaches. Another's object under such a
//! name is left alone, and the service's is made when it goes. What is refused holds up nothing else: it is told, and
//! everything is looked at again a little later.
//! Upstream: `pkg/controller/servicecidrs`, `pkg/registry/core/service/ipallocator/controller/repairip.go`.

use crate::{objects, task::RETRY};
use proa_meta::{ApiResult, Reason, time::Time};
use proa_registry::{
    Entry, Kind, Registry,
    claims::Space,
    request::{Body, DeleteOptions, Target, WriteOptions},
};
use serde_json::{Value, json};
use std::{collections::HashMap, net::IpAddr, sync::Arc};
use tokio::time::{Duration, Instant, sleep_until};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
const FIELD_MANAGER: &str = "service-cidr-controller";
const IN_USE: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
/// The longest pause between tries; each is twice the last while something is refused.
const LONGEST: Duration = Duration::from_secs(60);
/// Events that are read from the window at once.
const BATCH: usize = 256;

/// Runs until the task is dropped.
pub async fn run(registry: Arc<Registry>) {
    let kind = |gvr| objects::kind(&registry, gvr);
    let kinds = (kind(&objects::SERVICE_CIDRS), kind(&objects::IP_ADDRESSES), kind(&objects::SERVICES));
    let (Ok(networks), Ok(addresses), Ok(services)) = kinds else {
        tracing::error!(
            "ServiceCIDRs, IPAddresses or Services are not served: nothing is done about addresses"
        );
        return;
    };
    let mut keeper = Keeper {
        registry: registry.clone(),
        networks,
        addresses,
        services,
        awaited: HashMap::new(),
        retry: None,
        pause: RETRY,
    };
    loop {
        keeper.follow().await;
    }
}

/// The pause after one that another refusal ended.
fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST)
}

struct Keeper {
    registry: Arc<Registry>,
    networks: Arc<Kind>,
    addresses: Arc<Kind>,
    services: Arc<Kind>,
    /// Services (namespace and name) by addresses under whose names others have objects.
    awaited: HashMap<String, (String, String)>,
    /// When everything is looked at again, since something was refused.
    retry: Option<Instant>,
    /// How long after a refusal that is.
    pause: Duration,
}

impl Keeper {
    /// Brings everything up to date, then follows changes until some of them were missed or it is time to try again.
    async fn follow(&mut self) {
        if self.retry.take().is_some() {
            self.pause = longer(self.pause);
        }
        let mut changed = self.networks.changed();
        let start = self.addresses.snapshot();
        let Ok((mut cursor, _)) = self.addresses.state.cursor(start.revision(), None) else { return };
        for entry in start.iter() {
            self.check(entry).await;
        }
        let services = self.services.snapshot();
        for service in services.iter() {
            self.complete(service).await;
        }
        let (mut has_changed, mut waits) = (true, false);
        loop {
            cursor.settle();
            let Ok(events) = self.addresses.state.read(&mut cursor, BATCH) else { return };
            for event in &events {
                match (&event.old, &event.new) {
                    (_, Some(entry)) => self.check(entry).await,
                    (Some(gone), None) => self.replace(gone).await,
                    (None, None) => {}
                }
            }
            // Addresses matter to networks only while one of them waits to go.
            if has_changed || (waits && !events.is_empty()) {
                changed.borrow_and_update();
                waits = self.settle().await;
                has_changed = false;
            }
            if events.len() == BATCH {
                continue;
            }
            let retry = self.retry;
            if retry.is_none() {
                self.pause = RETRY;
            }
            tokio::select! {
                _ = changed.changed() => has_changed = true,
                () = cursor.wait() => {}
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => return,
            }
        }
    }

    /// Tells what was refused, but for what another change has made needless.
    fn tell<T>(&mut self, what: &str, done: ApiResult<T>, needless: &[Reason]) {
        if let Err(error) = done
            && !needless.contains(&error.reason())
        {
            tracing::warn!(what, %error, "keeping ServiceCIDRs and IPAddresses failed and is tried again");
            self.retry.get_or_insert_with(|| Instant::now() + self.pause);
        }
    }

    /// Makes what services lack now that an IPAddress has gone: theirs, or another's under the name of theirs.
    async fn replace(&mut self, gone: &Entry) {
        let waiting = self.awaited.remove(gone.name());
        let waiting = waiting.and_then(|(namespace, name)| self.services.get(&namespace, &name));
        let own = self.service_of(&gone.stored_value(gone.revision));
        for service in waiting.into_iter().chain(own) {
            self.complete(&service).await;
        }
    }

    /// Makes the IPAddresses that a service lacks.
    async fn complete(&mut self, service: &Arc<Entry>) {
        let Some(record) = self.services.def.claims.and_then(|claims| claims.record) else { return };
        let key = (service.namespace().to_owned(), service.name().to_owned());
        let service = service.value(&self.services.def);
        for ip in addresses(&service) {
            let found = self.addresses.get("", ip);
            let was_missing = found.is_none();
            if was_missing {
                let body = Body { value: (record.make)(ip, &service), issues: Vec::new() };
                let target = self.target(&self.addresses, "", "");
                let made = self.registry.create(&target, body, &options()).await;
                if made.is_ok() {
                    tracing::warn!(address = ip, service = %key.1, "IPAddress was missing");
                }
                self.tell(ip, made, &[Reason::AlreadyExists]);
            }
            let Some(entry) = found.or_else(|| self.addresses.get("", ip)) else { continue };
            if was_missing {
                // The service may have gone meanwhile; from now on it takes the IPAddress with it.
                self.check(&entry).await;
            }
            let holder = self.service_of(&entry.stored_value(entry.revision));
            if !holder.is_some_and(|holder| holder.namespace() == key.0 && holder.name() == key.1) {
                self.awaited.insert(ip.to_owned(), key.clone());
            }
        }
    }

    /// Removes an IPAddress that claims to be a service's and is not.
    async fn check(&mut self, entry: &Entry) {
        if !is_managed(entry) {
            return;
        }
        let object = entry.stored_value(entry.revision);
        let holder = self.service_of(&object).map(|service| service.value(&self.services.def));
        if holder.is_some_and(|service| addresses(&service).any(|ip| ip == entry.name())) {
            return;
        }
        let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        let options = DeleteOptions { uid, ..DeleteOptions::default() };
        let gone = self.registry.delete(&self.target(&self.addresses, entry.name(), ""), &options).await;
        self.tell(entry.name(), gone, &[Reason::NotFound, Reason::Conflict]);
    }

    fn service_of(&self, address: &Value) -> Option<Arc<Entry>> {
        let parent = &address["spec"]["parentRef"];
        let text = |field: &str| parent[field].as_str().unwrap_or_default();
        let is_service = text("group").is_empty() && text("resource") == "services";
        is_service.then(|| self.services.get(text("namespace"), text("name")))?
    }

    /// Brings all ServiceCIDRs forward; whether one of them waits for addresses to go.
    async fn settle(&mut self) -> bool {
        let networks = self.networks.snapshot();
        let addresses = self.addresses.snapshot();
        let networks: Vec<Value> = networks.iter().map(|entry| entry.value(&self.networks.def)).collect();
        let mut waits = false;
        for network in &networks {
            let in_use = || {
                addresses
                    .iter()
                    .filter(|entry| is_managed(entry))
                    .map(|entry| entry.name())
                    .any(|ip| depends(ip, network, &networks))
            };
            let step = step(network, &in_use);
            waits |= network["metadata"]["deletionTimestamp"].is_string();
            let mut network = network.clone();
            let subresource = match step {
                Step::Nothing => continue,
                Step::Keep => {
                    add_finalizer(&mut network);
                    ""
                }
                Step::Release => {
                    let finalizers = network["metadata"]["finalizers"].as_array_mut();
                    finalizers.into_iter().for_each(|all| all.retain(|one| one != FINALIZER));
                    ""
                }
                Step::Tell(condition) => {
                    tell(&mut network, &condition, &Time::new(self.registry.now()).to_string());
                    "status"
                }
            };
            let name = network["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let body = Body { value: network, issues: Vec::new() };
            let target = self.target(&self.networks, &name, subresource);
            let written = self.registry.update(&target, body, &options()).await;
            // A newer version wakes this task again.
            self.tell(&name, written, &[Reason::NotFound, Reason::Conflict]);
        }
        waits
    }

    fn target(&self, kind: &Arc<Kind>, name: &str, subresource: &str) -> Target {
        Target {
            kind: kind.clone(),
            namespace: String::new(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            user: objects::server_user(),
        }
    }
}

fn is_managed(address: &Entry) -> bool {
    address.label(MANAGED_BY) == Some(ALLOCATOR)
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: FIELD_MANAGER.to_owned(), ..WriteOptions::default() }
}

/// Addresses that a service holds.
fn addresses(service: &Value) -> impl Iterator<Item = &str> {
    let all = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).filter(|ip| ip.parse::<IpAddr>().is_ok())
}

/// What a ServiceCIDR needs next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// The finalizer.
    Keep,
    /// The end.
    Release,
    /// Its `Ready` condition.
    Tell(Condition),
}

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    status: &'static str,
    reason: &'static str,
    message: &'static str,
}

fn step(network: &Value, in_use: &dyn Fn() -> bool) -> Step {
    let finalizers = network["metadata"]["finalizers"].as_array();
    let is_kept = finalizers.is_some_and(|all| all.iter().any(|one| one == FINALIZER));
    let conditions = network["status"]["conditions"].as_array().into_iter().flatten();
    let status = conditions.filter(|one| one["type"] == "Ready").find_map(|one| one["status"].as_str());
    match (network["metadata"]["deletionTimestamp"].is_string(), is_kept) {
        (true, false) => Step::Nothing,
        (true, true) if !in_use() => Step::Release,
        (true, true) if status == Some("False") => Step::Nothing,
        (true, true) => Step::Tell(Condition { status: "False", reason: "Terminating", message: IN_USE }),
        (false, false) => Step::Keep,
        (false, true) if status == Some("True") => Step::Nothing,
        (false, true) => {
            Step::Tell(Condition { status: "True", reason: "", message: "Kubernetes Service CIDR is ready" })
        }
    }
}

/// Whether an address is one of the network's and of no other that stays.
fn depends(ip: &str, network: &Value, all: &[Value]) -> bool {
    let has = |network: &Value| {
        let list = network["spec"]["cidrs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        list.filter_map(Space::network).any(|space| space.contains(ip))
    };
    has(network) && !all.iter().any(|one| !one["metadata"]["deletionTimestamp"].is_string() && has(one))
}

fn add_finalizer(network: &mut Value) {
    match &mut network["metadata"]["finalizers"] {
        Value::Array(all) => all.push(FINALIZER.into()),
        none => *none = json!([FINALIZER]),
    }
}

fn tell(network: &mut Value, condition: &Condition, now: &str) {
    let Condition { status, reason, message } = condition;
    let told = json!({"type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now});
    if !network["status"].is_object() {
        network["status"] = json!({});
    }
    match &mut network["status"]["conditions"] {
        Value::Array(all) => {
            all.retain(|one| one["type"] != "Ready");
            all.push(told);
        }
        none => *none = json!([told]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(cidr: &str, deleting: bool, ready: Option<&str>) -> Value {
        let mut network = json!({"metadata": {"finalizers": [FINALIZER]}, "spec": {"cidrs": [cidr]}});
        if deleting {
            network["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        if let Some(status) = ready {
            network["status"] = json!({"conditions": [{"type": "Ready", "status": status}]});
        }
        network
    }

    #[test]
    fn a_network_is_kept_then_ready_and_goes_when_nothing_is_left() {
        let new = json!({"metadata": {}, "spec": {"cidrs": ["10.0.0.0/24"]}});
        assert_eq!(step(&new, &|| false), Step::Keep);
        let told = |step| matches!(step, Step::Tell(Condition { status: "True", .. }));
        assert!(told(step(&network("10.0.0.0/24", false, None), &|| false)));
        assert!(told(step(&network("10.0.0.0/24", false, Some("False")), &|| false)));
        assert_eq!(step(&network("10.0.0.0/24", false, Some("True")), &|| true), Step::Nothing);
        let going = network("10.0.0.0/24", true, Some("True"));
        assert!(matches!(step(&going, &|| true), Step::Tell(Condition { reason: "Terminating", .. })));
        assert_eq!(step(&network("10.0.0.0/24", true, Some("False")), &|| true), Step::Nothing);
        assert_eq!(step(&going, &|| false), Step::Release);
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let pauses = std::iter::successors(Some(RETRY), |pause| Some(longer(*pause))).take(8);
        assert_eq!(pauses.map(|pause| pause.as_secs()).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn addresses_hold_the_last_network_that_stays() {
        let going = network("10.0.0.0/24", true, None);
        let depends = |ip: &str, others: &[Value]| {
            depends(ip, &going, &[others, std::slice::from_ref(&going)].concat())
        };
        assert!(depends("10.0.0.1", &[]));
        assert!(!depends("10.0.1.1", &[]), "elsewhere");
        assert!(!depends("10.0.0.0", &[]), "names the network");
        assert!(!depends("10.0.0.1", &[network("10.0.0.0/16", false, None)]), "covered");
        assert!(depends("10.0.0.1", &[network("10.0.0.0/16", true, None)]), "covered by one that goes too");
    }
}
