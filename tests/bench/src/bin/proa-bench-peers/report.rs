//! Makes `benchmarks.md` and its charts of the figures. Nothing in them is typed by hand but the text around.

mod charts;
mod svg;

use crate::{
    machine::About,
    measure::Part,
    peer::Kind,
    results::{Better, PartResult, Results, Row},
};
use anyhow::Result;
use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

/// What is compared, and how; the words before the figures.
const PREFACE: &str = include_str!("report/preface.md");
const MACHINE: &str = "Machine and versions";

/// Writes the document and its charts into this directory.
pub(crate) fn write(results: &Results, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory.join("benchmarks"))?;
    let before = Before::read(&directory.join("benchmarks.md"));
    let mut text = PREFACE.to_owned();
    text += &machine(results, &before)?;
    for part in Part::ALL {
        let Some(result) = results.parts.get(part.key()) else {
            text += &before.section(title(part));
            continue;
        };
        write!(text, "\n## {}\n{}\n", title(part), words(part))?;
        for chart in charts::of(part).iter().filter_map(|chart| chart.draw(result, part.kinds())) {
            fs::write(directory.join("benchmarks").join(chart.file), chart.svg)?;
            write!(text, "\n![{}](benchmarks/{})\n", chart.title, chart.file)?;
        }
        text += &table(result, part.kinds())?;
        text += &notes(result, part.kinds())?;
    }
    Ok(fs::write(directory.join("benchmarks.md"), text)?)
}

/// The document as it is: what it says of parts that were measured elsewhere stays.
struct Before(String);

impl Before {
    fn read(file: &Path) -> Self {
        Self(fs::read_to_string(file).unwrap_or_default())
    }
    /// A section with its heading; nothing if there is none.
    fn section(&self, title: &str) -> String {
        let heading = format!("\n## {title}\n");
        let Some(start) = self.0.find(&heading) else { return String::new() };
        let rest = &self.0[start + 1..];
        let end = rest.find("\n## ").map_or(rest.len(), |end| end + 1);
        format!("\n{}\n", rest[..end].trim_end())
    }
    /// Lines about the machine that begin so.
    fn machine(&self, beginning: &str) -> Vec<String> {
        let section = self.section(MACHINE);
        section.lines().filter(|line| line.starts_with(beginning)).map(|line| format!("{line}\n")).collect()
    }
}

fn title(part: Part) -> &'static str {
    match part {
        Part::Start => "Start",
        Part::Idle => "Idle",
        Part::Requests => "Single objects",
        Part::Lists => "Lists and memory of many pods",
        Part::Watches => "Watches",
        Part::Definitions => "CustomResourceDefinitions",
        Part::Scheduling => "Scheduling",
        Part::Ingress => "Ingress",
    }
}

/// What is measured, and how.
fn words(part: Part) -> &'static str {
    match part {
        Part::Start => {
            "A whole control plane in a new directory. Certificates of kube-apiserver are made before the clock starts;\n\
             Proa makes its own within the time. The scheduler and the controller manager are started when the API is\n\
             ready. A node and a pod are created as soon as that is possible."
        }
        Part::Idle => {
            "A whole control plane without nodes, 20 s after its start. All three run at the same time; processor time\n\
             is counted by process."
        }
        Part::Requests => {
            "ConfigMaps with 1 KiB of data; 500 of them are read and replaced in turn. API server and store only."
        }
        Part::Lists => {
            "Pods with two containers, as a Deployment makes them. API server and store only. Memory is read when less\n\
             than a tenth of a core was used for a second, after 8 s at most. The peak is the sum of each process'\n\
             own."
        }
        Part::Watches => {
            "One client changes one ConfigMap again and again, each watcher has a connection of its own. Delays are\n\
             taken from before the write is sent until the event has been read. API server and store only."
        }
        Part::Definitions => {
            "Each with one version and a schema of forty fields. API server and store only. Memory is read as above."
        }
        Part::Scheduling => {
            "Nodes are objects that say that they are ready and never change. 16 clients create the pods while the\n\
             scheduler works; the time is from the first create to the last binding. API server, store and scheduler. In the last rows all\n\
             pods are there when the scheduler is started, as a process of its own; the time is from its start. On kine\n\
             only with `FULL=1`: the scheduler is the same."
        }
        Part::Ingress => {
            "Requests passed on to one backend, a second nginx that answers with 2 bytes. Proa's is a node's ingress operator\n\
             in a process of its own, with an Ingress of one path and a certificate; nginx is Debian's, with a worker for each\n\
             core, connections to the backend that are kept, and the same headers for it. 64 clients with a connection each\n\
             send one request after the other; they, the backend and the proxy share the cores, so the processor time of the\n\
             proxy alone says more than the rate. Only HTTPS is spoken with clients where the row says so."
        }
    }
}

/// On what it was measured. Parts that were measured at other times or with other versions are told apart.
fn machine(results: &Results, before: &Before) -> Result<String> {
    let mut text = format!("\n## {MACHINE}\n");
    let is_whole = Part::ALL.iter().all(|part| results.parts.contains_key(part.key()));
    let mut facts: BTreeSet<String> = match is_whole {
        true => BTreeSet::new(),
        false => before.machine("- ").into_iter().collect(),
    };
    let abouts: Vec<(Part, &About)> = Part::ALL
        .into_iter()
        .filter_map(|part| Some((part, &results.parts.get(part.key())?.about)))
        .collect();
    let machines: BTreeSet<String> = abouts
        .iter()
        .map(|(_, about)| {
            let m = &about.machine;
            let file_system = &m.file_system;
            format!(
                "- {} cores of {}, {:.0} GiB, Linux {}, {file_system}\n",
                m.cores, m.processor, m.memory_gib, m.kernel
            )
        })
        .collect();
    facts.extend(machines);
    let versions: BTreeSet<String> = abouts
        .iter()
        .map(|(_, about)| {
            let all = about.versions.iter().filter(|(_, v)| !v.is_empty());
            let all: Vec<_> = all.map(|(name, said)| format!("{name} (`{said}`)")).collect();
            format!("- {}\n", all.join(", "))
        })
        .collect();
    facts.extend(versions);
    text.extend(facts);
    text += "\n| part | measured with | at | Proa's commit | runs | took | load of the machine just before | \
             writing and syncing 4 KiB |\n|---|---|---|---|---|---|---|---|\n";
    for part in Part::ALL {
        let Some((_, about)) = abouts.iter().find(|(own, _)| *own == part) else {
            text.extend(before.machine(&format!("| {} |", title(part))));
            continue;
        };
        writeln!(
            text,
            "| {} | `{}` | {} | {} | {} | {} s | {:.1} | {:.1} ms |",
            title(part),
            about.command,
            about.date,
            about.commit,
            about.runs,
            about.seconds,
            about.load_before,
            about.machine.sync_ms
        )?;
    }
    Ok(text)
}

fn table(result: &PartResult, kinds: &[Kind]) -> Result<String> {
    let mut text = String::from("\n| |");
    for kind in kinds {
        write!(text, " {} |", kind.title())?;
    }
    let others = kinds.iter().copied().filter(|kind| *kind != Kind::Proa);
    for kind in others.clone() {
        write!(text, " ahead of {} |", kind.key())?;
    }
    writeln!(text, "\n|---|{}", "---:|".repeat(2 * kinds.len() - 1))?;
    for row in &result.rows {
        let units: Vec<&str> = row.figures.iter().map(|f| f.unit.as_ref()).collect();
        write!(text, "| {} ({}) |", row.what, units.join(" / "))?;
        for kind in kinds.iter().copied() {
            write!(text, " {} |", values(row, kind).unwrap_or_else(|| missing(result, kind).to_owned()))?;
        }
        for kind in others.clone() {
            write!(text, " {} |", ratios(row, kind))?;
        }
        text.push('\n');
    }
    Ok(text)
}

fn values(row: &Row, kind: Kind) -> Option<String> {
    let medians: Option<Vec<f64>> = (0..row.figures.len()).map(|at| row.median(kind, at)).collect();
    Some(medians?.into_iter().map(figure).collect::<Vec<_>>().join(" / "))
}

/// What stands where a server has no figure: why not is listed below the table if it was tried.
fn missing(result: &PartResult, kind: Kind) -> &'static str {
    if result.failures.iter().any(|f| f.peer == kind.key()) { "failed" } else { "–" }
}

/// How many times Proa's value is better.
fn ratios(row: &Row, other: Kind) -> String {
    let each = row.figures.iter().enumerate().map(|(at, figure)| {
        let (ours, theirs) = (row.median(Kind::Proa, at)?, row.median(other, at)?);
        let ratio = match figure.better {
            Better::Higher => ours / theirs,
            Better::Lower => theirs / ours,
        };
        ratio.is_finite().then(|| format!("{}×", self::figure(ratio)))
    });
    each.map(|ratio| ratio.unwrap_or_else(|| "–".to_owned())).collect::<Vec<_>>().join(" / ")
}

/// Three digits are enough.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 999.5 => crate::measure::grouped(value.round() as u64),
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How far the runs lie apart, and what failed.
fn notes(result: &PartResult, kinds: &[Kind]) -> Result<String> {
    let mut text = String::new();
    let all = result.rows.iter().flat_map(|row| kinds.iter().filter_map(|kind| row.spread(*kind, 0)));
    let mut spreads: Vec<f64> = all.collect();
    spreads.sort_by(f64::total_cmp);
    if let (Some(middle), Some(most)) = (spreads.get(spreads.len() / 2), spreads.last()) {
        write!(
            text,
            "\nFirst figures of the runs differ by {:.0} % of their median in the middle, by {:.0} % at most.\n",
            middle * 100.0,
            most * 100.0
        )?;
    }
    if !result.failures.is_empty() {
        text += "\nWhat failed:\n";
    }
    for failure in &result.failures {
        let title = Kind::ALL.into_iter().find(|k| k.key() == failure.peer).map_or("", Kind::title);
        writeln!(text, "- {title}, run {}: {}", failure.run, failure.reason.replace('\n', " "))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Sink, less, more};

    fn part() -> PartResult {
        let mut part = PartResult::new(About::default());
        for (kind, rate) in [(Kind::Proa, 2000.0), (Kind::Etcd, 500.0)] {
            let mut sink = Sink::default();
            sink.put("x", "an x", &[more("per s"), less("ms")], &[rate, 1000.0 / rate]);
            part.add(kind, 1, sink);
        }
        let mut failed = Sink::default();
        failed.failed(&anyhow::anyhow!("there is no kine"));
        part.add(Kind::Kine, 1, failed);
        part
    }

    #[test]
    fn a_row_shows_values_ratios_and_what_failed() {
        let kinds = [Kind::Proa, Kind::Etcd, Kind::Kine];
        let text = table(&part(), &kinds).expect("a table");
        let row = "| an x (per s / ms) | 2,000 / 0.50 | 500 / 2.00 | failed | 4.00× / 4.00× | – / – |\n";
        assert!(text.ends_with(row), "{text}");
        let notes = notes(&part(), &kinds).expect("notes");
        assert_eq!(notes, "\nWhat failed:\n- kube-apiserver + kine, run 1: there is no kine\n");
    }

    #[test]
    fn what_was_measured_elsewhere_stays() {
        let before = Before("# B\n\n## Start\nwords\n\n| a |\n\n## Idle\nmore\n".to_owned());
        assert_eq!(before.section("Start"), "\n## Start\nwords\n\n| a |\n");
        assert_eq!(before.section("Idle"), "\n## Idle\nmore\n");
        assert_eq!(before.section("Ingress"), "");
    }

    #[test]
    fn figures_have_three_digits() {
        let shown: Vec<_> = [12_345.6, 999.7, 123.4, 12.34, 1.234, 0.0].map(figure).into();
        assert_eq!(shown, ["12,346", "1,000", "123", "12.3", "1.23", "0.00"]);
    }
}
