//! All operators of the project, as data: what they are called, what they may do, how they run.

#[cfg(test)]
mod replicas;
#[cfg(test)]
mod work;

use crate::cli;
use anyhow::{Context, Result, bail};
use futures::future::{BoxFuture, FutureExt};
use kube::Client;
use proa_kit::{
    RunConfig,
    leader::{self, ElectionConfig},
};
use proa_operator_load_balancer::Pool;
use proa_operator_node_ipam::PodNetwork;
use proa_operator_replicaset::replication;
use serde_json::Value;

/// Where the Leases of elections are.
const NAMESPACE: &str = "kube-system";

/// One operator.
pub(crate) struct Operator {
    /// Name on the command line, in roles and in Leases.
    pub(crate) name: &'static str,
    /// RBAC rules that follow from its declared watches and writes.
    pub(crate) rules: fn() -> Value,
    /// Runs it until shutdown.
    pub(crate) run: fn(Client, RunConfig, &Settings) -> BoxFuture<'static, ()>,
}

/// What single operators know beside the API.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    /// Certificate and key of the authority that signs requests, as PEM; none: nothing is signed.
    pub(crate) authority: Option<(String, String)>,
    /// What nodes get their pods' addresses from; none: they get none.
    pub(crate) pod_network: Option<PodNetwork>,
    /// What services of type LoadBalancer get their addresses from; none: from the nodes.
    pub(crate) load_balancer_addresses: Option<Pool>,
}

macro_rules! operators {
    ($($name:literal => $krate:ident $((.$setting:ident))?),* $(,)?) => {
        /// Every operator, in the order in which they start.
        pub(crate) fn all() -> Vec<Operator> {
            vec![$(Operator {
                name: $name,
                rules: $krate::rules,
                run: |client, config, settings| {
                    let _: &Settings = settings;
                    Box::pin($krate::run(client, config $(, settings.$setting.clone())?))
                },
            }),*]
        }
    };
}

operators! {
    "service-account" => proa_operator_service_account,
    "namespace" => proa_operator_namespace,
    "garbage-collector" => proa_operator_garbage_collector,
    "resource-quota" => proa_operator_resource_quota,
    "disruption" => proa_operator_disruption,
    "horizontal-pod-autoscaler" => proa_operator_horizontal_pod_autoscaler,
    "metrics" => proa_operator_metrics,
    "deployment" => proa_operator_deployment,
    "replicaset" => proa_operator_replicaset,
    "replicationcontroller" => replication,
    "daemonset" => proa_operator_daemonset,
    "statefulset" => proa_operator_statefulset,
    "job" => proa_operator_job,
    "cronjob" => proa_operator_cronjob,
    "service" => proa_operator_service,
    "load-balancer" => proa_operator_load_balancer (.load_balancer_addresses),
    "ingress" => proa_operator_ingress,
    "persistent-volume" => proa_operator_persistent_volume,
    "scheduler" => proa_operator_scheduler,
    "node-ipam" => proa_operator_node_ipam (.pod_network),
    "certificates" => proa_operator_certificates (.authority),
    "bootstrap-token" => proa_operator_bootstrap_token,
    "node-lifecycle" => proa_operator_node_lifecycle,
    "storage-version-migrator" => proa_operator_storage_version_migrator,
}

/// The operators that are not disabled.
pub(crate) fn enabled(disabled: &[String]) -> Result<Vec<Operator>> {
    let all = all();
    let names = || all.iter().map(|o| o.name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = disabled.iter().find(|d| *d != "all" && !all.iter().any(|o| o.name == **d)) {
        bail!("--disable {unknown}: there is no such operator; known are all, {}", names());
    }
    if disabled.iter().any(|d| d == "all") {
        return Ok(Vec::new());
    }
    Ok(all.into_iter().filter(|o| !disabled.iter().any(|d| d == o.name)).collect())
}

/// Whether the nodes serve ingresses.
pub(crate) fn serves_ingress(disabled: &[String]) -> bool {
    !disabled.iter().any(|d| d == "all" || d == "ingress")
}

/// What filling the shared caches needs: to read what any of the operators watches.
pub(crate) fn cache_rules(roles: &[(String, Value)]) -> Value {
    let rules = roles.iter().filter_map(|(_, rules)| rules.as_array()).flatten().cloned();
    let watched =
        rules.filter(|rule| rule["verbs"].as_array().is_some_and(|v| v.iter().any(|v| v == "watch")));
    let read = watched.map(|mut rule| {
        rule["verbs"] = serde_json::json!(["get", "list", "watch"]);
        rule
    });
    let mut read: Vec<Value> = read.collect();
    read.sort_by_cached_key(ToString::to_string);
    read.dedup();
    Value::Array(read)
}

/// `proa operator NAME`: one operator in a process of its own, until interrupted.
pub(crate) async fn run_one(args: &cli::Operator) -> Result<()> {
    let operator = all().into_iter().find(|o| o.name == args.operator).with_context(|| {
        let names: Vec<_> = all().iter().map(|o| o.name).collect();
        format!("there is no operator {:?}; known are {}", args.operator, names.join(", "))
    })?;
    if args.print_rules {
        return crate::print(serde_json::to_string_pretty(&(operator.rules)())?);
    }
    let client = match &args.kubeconfig {
        Some(path) => crate::kubeconfig::client(path).await?,
        None => Client::try_default().await.context("find the cluster")?,
    };
    let settings = Settings {
        authority: signing(args)?,
        pod_network: pod_network(args)?,
        load_balancer_addresses: args.load_balancer_addresses.clone(),
    };
    let config = RunConfig { identity: identity().into(), ..RunConfig::default() };
    let shutdown = config.shutdown.clone();
    tracing::info!(operator = operator.name, "started");
    let mut running = operator.start(client, config, &settings, args.leader_elect);
    tokio::select! {
        () = &mut running => {}
        () = crate::server::interrupted() => {
            shutdown.cancel();
            // The lease is released, so that another replica need not wait.
            running.await;
        }
    }
    Ok(())
}

/// The authority that the command line names.
fn signing(args: &cli::Operator) -> Result<Option<(String, String)>> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
    };
    match (&args.cluster_signing_cert_file, &args.cluster_signing_key_file) {
        (Some(certificate), Some(key)) => Ok(Some((read(certificate)?, read(key)?))),
        _ => Ok(None),
    }
}

/// The pods' network that the command line names.
fn pod_network(args: &cli::Operator) -> Result<Option<PodNetwork>> {
    let Some(network) = args.cluster_cidr else { return Ok(None) };
    let node_bits = args.node_cidr_mask_size;
    if node_bits < network.prefix_len() || node_bits > 32 {
        bail!("--node-cidr-mask-size {node_bits} is no prefix of a part of --cluster-cidr {network}");
    }
    Ok(Some(PodNetwork { network: network.trunc(), node_bits, reserved: 0 }))
}

/// This process among all replicas of all machines: the process id says nothing in containers.
pub(crate) fn identity() -> String {
    let host = rustix::system::uname();
    format!("{}_{}", host.nodename().to_string_lossy(), uuid::Uuid::new_v4())
}

impl Operator {
    /// Runs it until shutdown; when replicas elect, only while this one holds the Lease of the operator's name.
    pub(crate) fn start(
        &self,
        client: Client,
        mut config: RunConfig,
        settings: &Settings,
        elects: bool,
    ) -> BoxFuture<'static, ()> {
        if !elects {
            return (self.run)(client, config, settings);
        }
        let election = ElectionConfig::new(NAMESPACE, self.name, &config.identity);
        let (election, leadership) =
            leader::elect(client.clone(), election, config.clock.clone(), config.shutdown.clone());
        let client = leadership.fence(client);
        config.leadership = Some(leadership);
        // The shared caches go on while another process leads, and may lag behind what that one wrote: a plan made from them
        // would make it again. Caches of its own are filled after it was elected.
        config.caches = None;
        let running = (self.run)(client, config, settings);
        async move {
            futures::join!(election, running);
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_named_once_and_can_be_left_out() {
        let mut names: Vec<_> = all().iter().map(|o| o.name).collect();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(enabled(&["job".to_owned()]).map(|o| o.len()).ok(), Some(count - 1));
        assert_eq!(enabled(&["all".to_owned()]).map(|o| o.len()).ok(), Some(0));
        assert!(enabled(&["jobs".to_owned()]).is_err());
    }

    #[tokio::test]
    async fn who_is_elected_does_not_plan_from_shared_caches() {
        let run = |_: Client, config: RunConfig, _: &Settings| -> BoxFuture<'static, ()> {
            assert_eq!(config.caches.is_none(), config.leadership.is_some());
            std::future::ready(()).boxed()
        };
        let operator = Operator { name: "any", rules: || Value::Null, run };
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
        let client = Client::try_from(nowhere).expect("a client");
        for elects in [false, true] {
            let caches = Some(proa_kit::CachePool::shared(client.clone()));
            let config = RunConfig { caches, ..RunConfig::default() };
            drop(operator.start(client.clone(), config, &Settings::default(), elects));
        }
    }

    /// `UPDATE_GOLDEN=1` writes the files.
    #[test]
    fn the_chart_gives_each_operator_what_it_declares() {
        let roles = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/operator/roles");
        for operator in all() {
            let file = roles.join(format!("{}.json", operator.name));
            let rules = serde_json::to_string_pretty(&(operator.rules)()).expect("rules are JSON") + "\n";
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&file, &rules).expect("the file can be written");
            }
            let committed = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(committed, rules, "{} is not current", file.display());
        }
    }
}
