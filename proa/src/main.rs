//! The `proa` binary: command line, wiring and supervision. Nothing depends on it.

mod access;
mod agent;
mod background;
mod certificates;
mod cli;
mod cluster_info;
mod image;
mod join;
mod kubeconfig;
mod node;
mod nodes;
mod operators;
mod process;
mod server;
mod serving;
mod settings;

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Command};
use std::{io::Write as _, process::ExitCode};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The API level that is served and this program's own version.
pub(crate) const VERSION: &str = proa_assembly::VERSION;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("PROA_LOG").unwrap_or_else(|_| EnvFilter::new("warn,proa=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "proa: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    // Two threads serve a node's control plane; more would only cost memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("proa")
        // Calls of the container runtime nest deeply, and frames are large in builds without optimisation. Only what is
        // touched costs memory.
        .thread_stack_size(8 << 20)
        .enable_all()
        .build()?;
    match cli.command {
        Command::Up(up) => background::up(&up),
        Command::Down(named) => background::down(&named),
        Command::Status(named) => runtime.block_on(background::status(&named)),
        Command::Server(server) => runtime.block_on(server::run(&server)),
        Command::Node(node) => runtime.block_on(join::run(&node)),
        Command::Agent(agent) => runtime.block_on(agent::run(&agent)),
        Command::Operator(operator) => runtime.block_on(operators::run_one(&operator)),
        Command::Image(image) => runtime.block_on(image::run(&image)),
        Command::Kubeconfig(kubeconfig) => kubeconfig::print(&kubeconfig),
        Command::Version => print(VERSION),
    }
}

/// Writes a line for the user.
pub(crate) fn print(line: impl std::fmt::Display) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
