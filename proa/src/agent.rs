//! `proa agent --simulate`: nodes without containers, joined through a kubeconfig.

use crate::{cli, settings::Network};
use anyhow::Result;
use proa_node_simulator::{Delays, Simulation};
use tokio_util::sync::CancellationToken;

/// Runs simulated nodes until interrupted.
pub(crate) async fn run(args: &cli::Agent) -> Result<()> {
    let client = crate::kubeconfig::client(&args.kubeconfig).await?;
    let simulation = Simulation {
        nodes: args.simulate,
        name_prefix: args.name_prefix.clone(),
        delays: Delays {
            start: args.start_delay,
            ready: args.ready_delay,
            stop: args.stop_delay,
            run: args.run_time,
        },
        ..Simulation::default()
    };
    let shutdown = CancellationToken::new();
    tokio::select! {
        () = proa_node_simulator::simulate(client, simulation, shutdown.clone()) => {}
        () = crate::server::interrupted() => shutdown.cancel(),
    }
    Ok(())
}

/// Simulated nodes of a server's own process.
pub(crate) fn in_process(nodes: u32, pods: Network) -> Simulation {
    Simulation { nodes, pods: (pods.address, pods.bits), ..Simulation::default() }
}
