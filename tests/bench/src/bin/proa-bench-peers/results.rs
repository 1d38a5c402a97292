//! What was measured, as it is written to JSON. A part that is measured again replaces what was there of it.

use crate::{load::Seen, machine::About, peer::Kind};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, fs, path::Path};

/// Everything, by the name of the part.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) parts: BTreeMap<String, PartResult>,
}

/// One part.
#[derive(Serialize, Deserialize)]
pub(crate) struct PartResult {
    pub(crate) about: About,
    pub(crate) rows: Vec<Row>,
    pub(crate) failures: Vec<Failure>,
}

/// One line of a table.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) figures: Vec<Figure>,
    /// By server: for each run the value of each figure.
    pub(crate) runs: BTreeMap<String, Vec<Vec<f64>>>,
}

/// What one value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) unit: Cow<'static, str>,
    pub(crate) better: Better,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What could not be measured, or only in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) peer: String,
    pub(crate) run: usize,
    pub(crate) reason: String,
}

/// A figure of which more is better.
pub(crate) const fn more(unit: &'static str) -> Figure {
    Figure { unit: Cow::Borrowed(unit), better: Better::Higher }
}

/// A figure of which less is better.
pub(crate) const fn less(unit: &'static str) -> Figure {
    Figure { unit: Cow::Borrowed(unit), better: Better::Lower }
}

const LOAD: [Figure; 3] = [more("per s"), less("p50 ms"), less("p99 ms")];

/// What one run of one part gives for one server.
#[derive(Default)]
pub(crate) struct Sink {
    rows: Vec<(Row, Vec<f64>)>,
    pub(crate) failures: Vec<String>,
}

impl Sink {
    /// A row with its values, one for each figure.
    pub(crate) fn put(&mut self, id: &str, what: &str, figures: &[Figure], values: &[f64]) {
        let row =
            Row { id: id.into(), what: what.into(), figures: figures.to_vec(), runs: BTreeMap::default() };
        self.rows.push((row, values.to_vec()));
    }
    /// A row with one value.
    pub(crate) fn one(&mut self, id: &str, what: &str, figure: Figure, value: f64) {
        self.put(id, what, &[figure], &[value]);
    }
    /// What clients saw; a failed measurement is a row without values.
    pub(crate) fn load(&mut self, id: &str, what: &str, seen: Result<Seen>) {
        match seen {
            Ok(seen) => {
                self.put(id, what, &LOAD, &[seen.per_second, seen.p50_ms, seen.p99_ms]);
                if let Some(reason) = seen.reason {
                    let all = seen.answers + seen.failed;
                    self.failures.push(format!("{what}: {} of {all} requests failed: {reason}", seen.failed));
                }
            }
            Err(error) => self.missing(id, what, &LOAD, &error),
        }
    }
    /// A row with its values, or why it has none.
    pub(crate) fn outcome<const N: usize>(
        &mut self,
        id: &str,
        what: &str,
        figures: &[Figure; N],
        outcome: Result<[f64; N]>,
    ) {
        match outcome {
            Ok(values) => self.put(id, what, figures, &values),
            Err(error) => self.missing(id, what, figures, &error),
        }
    }
    /// A row that could not be measured.
    pub(crate) fn missing(&mut self, id: &str, what: &str, figures: &[Figure], why: &anyhow::Error) {
        self.put(id, what, figures, &[]);
        self.failures.push(format!("{what}: {why:#}"));
    }
    /// What ended the whole measurement.
    pub(crate) fn failed(&mut self, error: &anyhow::Error) {
        self.failures.push(format!("{error:#}"));
    }
    /// Whether anything was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.iter().all(|(_, values)| values.is_empty())
    }
}

impl PartResult {
    pub(crate) fn new(about: About) -> Self {
        Self { about, rows: Vec::new(), failures: Vec::new() }
    }
    /// Adds what a run gave.
    pub(crate) fn add(&mut self, peer: Kind, run: usize, sink: Sink) {
        for (row, values) in sink.rows {
            let at = self.rows.iter().position(|r| r.id == row.id).unwrap_or_else(|| {
                self.rows.push(row);
                self.rows.len() - 1
            });
            if !values.is_empty() {
                self.rows[at].runs.entry(peer.key().to_owned()).or_default().push(values);
            }
        }
        let failure = |reason| Failure { peer: peer.key().to_owned(), run, reason };
        self.failures.extend(sink.failures.into_iter().map(failure));
    }
    pub(crate) fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }
}

impl Row {
    /// The median over the runs of the figure at this place.
    pub(crate) fn median(&self, peer: Kind, figure: usize) -> Option<f64> {
        let mut values = self.values(peer, figure);
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    }
    /// How far the runs lie apart, as a share of the median.
    pub(crate) fn spread(&self, peer: Kind, figure: usize) -> Option<f64> {
        let values = self.values(peer, figure);
        let least = values.iter().copied().min_by(f64::total_cmp)?;
        let most = values.iter().copied().max_by(f64::total_cmp)?;
        let median = self.median(peer, figure)?;
        (values.len() > 1 && median > 0.0).then(|| (most - least) / median)
    }
    fn values(&self, peer: Kind, figure: usize) -> Vec<f64> {
        let runs = self.runs.get(peer.key()).map(Vec::as_slice).unwrap_or_default();
        runs.iter().filter_map(|run| run.get(figure).copied()).collect()
    }
}

impl Results {
    /// What was written earlier, or nothing.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(file)?;
        serde_json::from_str(&text)
            .with_context(|| format!("read {}; remove it to start anew", file.display()))
    }
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let new = file.with_extension("json.new");
        fs::write(&new, serde_json::to_string_pretty(self)?)?;
        Ok(fs::rename(&new, file)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(value: f64) -> Sink {
        let mut sink = Sink::default();
        sink.one("memory", "memory", less("MiB"), value);
        sink
    }

    #[test]
    fn runs_of_a_row_come_together_by_server() {
        let mut part = PartResult::new(About::default());
        for (run_number, value) in [10.0, 30.0, 11.0].into_iter().enumerate() {
            part.add(Kind::Proa, run_number, run(value));
        }
        part.add(Kind::Etcd, 0, run(100.0));
        let row = part.row("memory").expect("it was put");
        assert_eq!(part.rows.len(), 1);
        assert_eq!(row.median(Kind::Proa, 0), Some(11.0));
        assert_eq!(row.median(Kind::Etcd, 0), Some(100.0));
        assert_eq!(row.median(Kind::Kine, 0), None);
        assert_eq!(row.spread(Kind::Etcd, 0), None);
        assert!(row.spread(Kind::Proa, 0).is_some_and(|s| (s - 20.0 / 11.0).abs() < 1e-9));
    }

    #[test]
    fn a_failed_row_is_there_without_values() {
        let mut sink = Sink::default();
        sink.missing("x", "an x", &[less("ms")], &anyhow::anyhow!("no"));
        assert!(sink.is_empty());
        let mut part = PartResult::new(About::default());
        part.add(Kind::Kine, 2, sink);
        assert_eq!(part.row("x").map(|r| r.runs.len()), Some(0));
        let failure = Failure { peer: "kine".into(), run: 2, reason: "an x: no".into() };
        assert_eq!(part.failures, [failure]);
    }
}
