//! All operators of the project, as data: what they are called, what they may do, how they run.

use crate::cli;
use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;
use kube::Client;
use proa_kit::RunConfig;
use proa_operator_replicaset::replication;
use serde_json::Value;

/// One operator.
pub(crate) struct Operator {
    /// Name on the command line, in roles and in Leases.
    pub(crate) name: &'static str,
    /// RBAC rules that follow from its declared watches and writes.
    pub(crate) rules: fn() -> Value,
    /// Runs it until shutdown.
    pub(crate) run: fn(Client, RunConfig) -> BoxFuture<'static, ()>,
}

macro_rules! operators {
    ($($name:literal => $krate:ident),* $(,)?) => {
        /// Every operator, in the order in which they start.
        pub(crate) fn all() -> Vec<Operator> {
            vec![$(Operator {
                name: $name,
                rules: $krate::rules,
                run: |client, config| Box::pin($krate::run(client, config)),
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
    "ingress" => proa_operator_ingress,
    "persistent-volume" => proa_operator_persistent_volume,
    "scheduler" => proa_operator_scheduler,
    "node-lifecycle" => proa_operator_node_lifecycle,
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
    let mut config = RunConfig::default();
    let shutdown = config.shutdown.clone();
    let identity = format!("{}_{}", operator.name, std::process::id());
    config.identity = identity.as_str().into();
    if args.leader_elect {
        let election = proa_kit::leader::ElectionConfig::new("kube-system", operator.name, &identity);
        let (election, leadership) =
            proa_kit::leader::elect(client.clone(), election, config.clock.clone(), shutdown.clone());
        config.leadership = Some(leadership);
        tokio::spawn(election);
    }
    tracing::info!(operator = operator.name, "started");
    tokio::select! {
        () = (operator.run)(client, config) => {}
        () = crate::server::interrupted() => shutdown.cancel(),
    }
    Ok(())
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
