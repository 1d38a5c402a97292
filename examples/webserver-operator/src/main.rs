//! The program: runs the operator, or prints what a cluster has to know of it.

use clap::Parser;
use kube::Client;
use proa_kit::{leader::ElectionConfig, process};
use webserver_operator::{Settings, manifests::Manifest, run};

/// Makes WebServers so.
#[derive(Parser)]
enum Command {
    /// Runs until it is told to end, in the cluster of the kubeconfig or of the pod
    Run {
        #[command(flatten)]
        settings: Settings,
        /// Namespace of the lease: of several processes only the one that holds it acts
        #[arg(long)]
        elect_in: Option<String>,
    },
    /// Prints a manifest
    Manifests { manifest: Manifest },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Run { settings, elect_in } => {
            tracing_subscriber::fmt().with_env_filter("info").init();
            let client = Client::try_default().await?;
            let lease = |namespace: String| {
                ElectionConfig::new(&namespace, "webserver-operator", &process::identity())
            };
            let lease = elect_in.map(lease);
            process::run_until_ended(client, lease, |client, config| run(settings, client, config)).await?;
        }
        Command::Manifests { manifest } => println!("{}", manifest.yaml()?.trim_end()),
    }
    Ok(())
}
