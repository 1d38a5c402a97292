//! Measures Proa beside upstream's kube-apiserver, on etcd and on kine, with the same requests and objects from the
//! same load generator: `proa-bench-peers [PART ...]`. Writes the figures as JSON and makes a document of them.
//!
//! The part `ingress` compares with nginx.
//! Every part starts servers of its own, in turn, in directories of their own on loopback ports, and ends them, also
//! after an error or an interruption. A part that fails is written down as failed with its reason; the rest goes on.

mod client;
mod load;
mod machine;
mod measure;
mod objects;
mod peer;
mod report;
mod results;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures::future::join_all;
use measure::{Bench, Part, Scale, ingress::proa};
use peer::{Kind, Programs};
use results::{PartResult, Results, Sink};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};

// As the binary that is measured: a part of it is measured in a process of this program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Proa beside upstream's kube-apiserver.
#[derive(Parser)]
struct Arguments {
    /// What to measure [default: everything].
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How often; medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// Also measure the memory of 100,000 pods, and kube-scheduler on kine: half an hour more.
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// Small numbers of everything: shows that everything works, measures nothing, and writes no document.
    #[arg(long)]
    quick: bool,
    /// Measure nothing, make the document of what was measured.
    #[arg(long, conflicts_with_all = ["quick", "full", "parts"])]
    render: bool,
    /// The binary that is measured.
    #[arg(long, default_value = "target/release/proa")]
    proa: PathBuf,
    /// Directory of upstream's programs.
    #[arg(long, default_value = "target/tools")]
    tools: PathBuf,
    /// Directory for the figures and for the servers' data; on a disk.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Directory for the document and its charts.
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
}

// On the main thread: servers end with the thread that started them.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == proa::SERVE => proa::serve(rest).await,
        _ => until_signalled(run(&Arguments::parse())).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proa-bench-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is left when a signal comes is dropped, and with it all servers and their directories.
async fn until_signalled(work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupted.recv() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
        _ = hung_up.recv() => bail!("hung up"),
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let file = arguments.out.join(if arguments.quick { "peers-quick.json" } else { "peers.json" });
    fs::create_dir_all(&arguments.out)?;
    ensure!(!arguments.render || file.exists(), "nothing was measured yet: there is no {}", file.display());
    let mut results = Results::read(&file)?;
    if !arguments.render {
        let bench = bench(arguments)?;
        let asked = if arguments.parts.is_empty() { &Part::ALL[..] } else { &arguments.parts };
        let command = command(arguments);
        for part in asked {
            let about = machine::about(&bench.programs, &command, usize::from(arguments.runs))?;
            let measured = part_result(&bench, *part, PartResult::new(about)).await?;
            results.parts.insert(part.key().to_owned(), measured);
            results.write(&file)?;
        }
        say(&format!("figures: {}", file.display()))?;
    }
    if arguments.quick {
        // Shows that the document can be made, without touching the one that is kept.
        return report::write(&results, &arguments.out.join("quick"));
    }
    report::write(&results, &arguments.docs)?;
    say(&format!("document: {}", arguments.docs.join("benchmarks.md").display()))
}

fn bench(arguments: &Arguments) -> Result<Bench> {
    // Servers run in directories of their own.
    let absolute = |path: &Path| fs::canonicalize(path).with_context(|| format!("{}", path.display()));
    let programs = Programs {
        proa: absolute(&arguments.proa)?,
        tools: absolute(&arguments.tools)?,
        scratch: absolute(&arguments.out)?,
    };
    let scale = match (arguments.quick, arguments.full) {
        (true, _) => Scale::quick(),
        (_, true) => Scale::full(),
        _ => Scale::normal(),
    };
    Ok(Bench { programs, scale })
}

/// What to type to measure this again.
fn command(arguments: &Arguments) -> String {
    let mut command = "make bench-peers".to_owned();
    let parts: Vec<_> = arguments.parts.iter().map(|p| p.key()).collect();
    if !parts.is_empty() {
        command += &format!(" PARTS=\"{}\"", parts.join(" "));
    }
    if arguments.full {
        command += " FULL=1";
    }
    if arguments.runs != 3 {
        command += &format!(" RUNS={}", arguments.runs);
    }
    command
}

async fn part_result(bench: &Bench, part: Part, mut result: PartResult) -> Result<PartResult> {
    let begun = Instant::now();
    let mut gave_up = Vec::new();
    for run in 1..=result.about.runs {
        let mut kinds = part.kinds().to_vec();
        kinds.retain(|kind| bench.measures(part, *kind) && !gave_up.contains(kind));
        let at_once = if part.side_by_side() { kinds.len() } else { 1 };
        for group in kinds.chunks(at_once.max(1)) {
            let measured = join_all(group.iter().map(|kind| measure(bench, part, *kind))).await;
            for (kind, (sink, seconds)) in group.iter().zip(measured) {
                say(&format!("{}, run {run}, {}: {seconds:.0} s", part.key(), kind.title()))?;
                for failure in &sink.failures {
                    say(&format!("  failed: {failure}"))?;
                }
                // What gave nothing, or did not end, will not do better the next time.
                if sink.is_empty() || seconds >= bench.scale.limit.as_secs_f64() {
                    gave_up.push(*kind);
                }
                result.add(*kind, run, sink);
            }
        }
    }
    result.about.seconds = begun.elapsed().as_secs();
    Ok(result)
}

/// Measures one part once for one server, within its limit; and the seconds it took.
async fn measure(bench: &Bench, part: Part, kind: Kind) -> (Sink, f64) {
    let begun = Instant::now();
    let mut sink = Sink::default();
    let limit = bench.scale.limit;
    let outcome = timeout(limit, bench.measure(part, kind, &mut sink)).await;
    let outcome = outcome.with_context(|| format!("stopped after {} s", limit.as_secs()));
    if let Err(error) = outcome.and_then(|o| o) {
        sink.failed(&error);
    }
    (sink, begun.elapsed().as_secs_f64())
}

/// Prints a line at once.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
