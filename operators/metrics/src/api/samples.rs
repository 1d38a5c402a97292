//! From what a node has measured twice to what is used now. Pure.
//!
//! CPU time is counted by the kernel, so what is used now is the difference of two samples over the time between them.
//! A container that started since the first sample is counted from its start.
//! Follows: metrics-server `pkg/{scraper/client/resource/decode,storage/pod,storage/node}.go`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

/// A container that has run for less, in milliseconds, has no figures yet.
const LEAST: i64 = 1000;

/// What was measured of something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Point {
    /// CPU time so far, in nanoseconds.
    cpu: Option<u64>,
    /// Bytes.
    memory: Option<u64>,
    /// When, in milliseconds.
    at: i64,
    /// When it started, in milliseconds.
    started: Option<i64>,
}

type PodName = (Box<str>, Box<str>);

/// What a node has measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    node: Point,
    pods: HashMap<PodName, BTreeMap<Box<str>, Point>>,
}

/// What something uses now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    /// Nanoseconds of CPU time per second.
    pub(super) cpu: u64,
    /// Bytes.
    pub(super) memory: u64,
    /// When it was measured, in milliseconds.
    pub(super) at: i64,
    /// Over how many milliseconds.
    pub(super) window: i64,
}

/// What a pod uses now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodFigures {
    pub(super) at: i64,
    pub(super) window: i64,
    pub(super) containers: BTreeMap<Box<str>, Amount>,
}

/// What a node and its pods use now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) node: Option<Amount>,
    pub(super) pods: HashMap<PodName, PodFigures>,
}

/// Reads `/metrics/resource`.
pub(super) fn parse(text: &str) -> Sample {
    let mut sample = Sample::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(series) = Series::parse(line) {
            sample.take(&series);
        }
    }
    sample
}

impl Sample {
    fn take(&mut self, series: &Series<'_>) {
        let whole = series.value;
        match series.name {
            "node_cpu_usage_seconds_total" => {
                (self.node.cpu, self.node.at) = (Some(nanoseconds(whole)), series.at.unwrap_or_default());
            }
            "node_memory_working_set_bytes" => self.node.memory = Some(bytes(whole)),
            "container_cpu_usage_seconds_total" => {
                if let Some(point) = self.container(series) {
                    (point.cpu, point.at) = (Some(nanoseconds(whole)), series.at.unwrap_or_default());
                }
            }
            "container_memory_working_set_bytes" => {
                if let Some(point) = self.container(series) {
                    point.memory = Some(bytes(whole));
                }
            }
            "container_start_time_seconds" => {
                if let Some(point) = self.container(series) {
                    point.started = Some(milliseconds(whole));
                }
            }
            _ => {}
        }
    }
    fn container(&mut self, series: &Series<'_>) -> Option<&mut Point> {
        let label =
            |name: &str| series.labels.iter().find(|(own, _)| *own == name).map(|(_, value)| &**value);
        let pod = (label("namespace")?.into(), label("pod")?.into());
        Some(self.pods.entry(pod).or_default().entry(label("container")?.into()).or_default())
    }
    /// When the node was measured, in milliseconds.
    pub(super) fn at(&self) -> i64 {
        self.node.at
    }
}

/// What is used between two samples. A pod of which a container has no figures has none.
pub(super) fn figures(earlier: &Sample, later: &Sample) -> Figures {
    let mut figures = Figures { node: amount(Some(&earlier.node), &later.node), pods: HashMap::new() };
    for (pod, containers) in &later.pods {
        let before = earlier.pods.get(pod);
        let all = containers.iter().map(|(name, point)| {
            let before = before.and_then(|pod| pod.get(name));
            Some((name.clone(), amount(before, point)?))
        });
        let Some(all) = all.collect::<Option<BTreeMap<_, _>>>() else { continue };
        let (Some(at), Some(window)) =
            (all.values().map(|a| a.at).min(), all.values().map(|a| a.window).max())
        else {
            continue;
        };
        figures.pods.insert(pod.clone(), PodFigures { at, window, containers: all });
    }
    figures
}

fn amount(before: Option<&Point>, now: &Point) -> Option<Amount> {
    let (cpu, memory) = (now.cpu?, now.memory?);
    // Another start, or less CPU time than before: it is not the container that was measured before.
    let same = before.filter(|before| before.cpu.is_some_and(|c| c <= cpu) && before.started == now.started);
    let (from, spent) = match same {
        Some(before) => (before.at, cpu.saturating_sub(before.cpu.unwrap_or_default())),
        None => (now.started?, cpu),
    };
    let window = now.at - from;
    let least = if same.is_some() { 1 } else { LEAST };
    // An old container that was not measured before says nothing of what it uses now.
    if window < least || (same.is_none() && window > super::scrape::MEMORY_MILLISECONDS) {
        return None;
    }
    let elapsed = u128::try_from(window).ok()?;
    let cpu = u64::try_from(u128::from(spent) * 1000 / elapsed).ok()?;
    Some(Amount { cpu, memory, at: now.at, window })
}

fn nanoseconds(seconds: f64) -> u64 {
    bytes(seconds * 1e9)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it ends at the bounds")]
fn bytes(number: f64) -> u64 {
    number.round() as u64
}

#[expect(clippy::cast_possible_truncation, reason = "it ends at the bounds")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1e3).round() as i64
}

/// A line of metrics in text.
struct Series<'a> {
    name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    value: f64,
    at: Option<i64>,
}

impl<'a> Series<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let mut numbers = rest.split_whitespace();
        let value = numbers.next()?.parse().ok()?;
        Some(Self { name, labels, value, at: numbers.next().and_then(|at| at.parse().ok()) })
    }
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Labels up to the bracket, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, value) = rest.split_once("=\"")?;
        let end = closing(value)?;
        let (value, after) = value.split_at(end);
        labels.push((name.trim(), unescaped(value)));
        rest = after.get(1..)?;
    }
}

/// Where the quote is that ends a value.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let (mut text, mut characters) = (String::new(), value.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|next| if next == 'n' { '\n' } else { next })),
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: i64, node: f64, containers: &[(&str, f64, f64)]) -> Sample {
        use std::fmt::Write;
        let mut text = format!(
            "# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total {node} {at}\n\
             node_memory_working_set_bytes 1.048576e+06 {at}\n"
        );
        for (name, cpu, started) in containers {
            let labels = format!("{{container=\"{name}\",namespace=\"n\",pod=\"p\"}}");
            let _ = writeln!(text, "container_cpu_usage_seconds_total{labels} {cpu} {at}");
            let _ = writeln!(text, "container_memory_working_set_bytes{labels} 4096 {at}");
            let _ = writeln!(text, "container_start_time_seconds{labels} {started}");
        }
        parse(&text)
    }

    fn pod(figures: &Figures) -> Option<&PodFigures> {
        figures.pods.get(&("n".into(), "p".into()))
    }

    #[test]
    fn rates_are_differences_over_time() {
        let (first, second) =
            (sample(100_000, 50.0, &[("c", 7.0, 1.5)]), sample(110_000, 51.0, &[("c", 7.25, 1.5)]));
        let figures = figures(&first, &second);
        let amount = |cpu, memory| Amount { cpu, memory, at: 110_000, window: 10_000 };
        assert_eq!(figures.node, Some(amount(100_000_000, 1 << 20)));
        let containers = [("c".into(), amount(25_000_000, 4096))].into();
        assert_eq!(pod(&figures), Some(&PodFigures { at: 110_000, window: 10_000, containers }));
    }

    #[test]
    fn a_new_container_counts_from_its_start() {
        let first = sample(100_000, 50.0, &[("c", 7.0, 1.5)]);
        // It was started again.
        let again = figures(&first, &sample(110_000, 51.0, &[("c", 2.0, 106.0)]));
        assert_eq!(
            pod(&again).unwrap().containers["c"],
            Amount { cpu: 500_000_000, memory: 4096, at: 110_000, window: 4000 }
        );
        // A moment ago, or so long ago that an average says nothing: the pod has no figures.
        assert_eq!(
            pod(&figures(&first, &sample(110_000, 51.0, &[("c", 7.1, 1.5), ("d", 1.0, 109.5)]))),
            None
        );
        assert_eq!(pod(&figures(&Sample::default(), &sample(300_000, 51.0, &[("d", 1.0, 1.0)]))), None);
        // The same sample twice.
        assert_eq!(figures(&first, &first), Figures::default());
    }

    #[test]
    fn labels_may_hold_anything() {
        let series = Series::parse(r#"m{a="x\"}\\,\n",b="é"} 1.5e3"#).unwrap();
        assert_eq!(series.labels, [("a", "x\"}\\,\n".into()), ("b", "é".into())]);
        assert_eq!((series.name, series.value, series.at), ("m", 1500.0, None));
        assert!(Series::parse("m{a=\"x} 1").is_none());
        assert!(Series::parse("").is_none());
    }
}
