//! The program: runs the operator, or prints the definition of its kind.

use clap::Parser;
use kube::{Client, CustomResourceExt as _};
use webserver_operator_plain::{Settings, api::WebServer, run};

/// Makes WebServers so.
#[derive(Parser)]
enum Command {
    /// Runs until it is told to end
    Run {
        #[command(flatten)]
        settings: Settings,
    },
    /// Prints the definition of the kind
    Crd,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Run { settings } => {
            tracing_subscriber::fmt().with_env_filter("info").init();
            let client = Client::try_default().await?;
            let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            tokio::select! {
                () = run(settings, client) => {}
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Command::Crd => println!("{}", serde_json::to_string_pretty(&WebServer::crd())?),
    }
    Ok(())
}
