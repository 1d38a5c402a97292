//! Sets of completion indexes as ordered intervals, and their text: `1,3-5,7`.
//!
//! Invariant: intervals are sorted and at least two apart. Upstream: pkg/controller/job/indexed_job_utils.go.

use proa_kit::views::PodView;
use std::fmt;

/// Annotation and label of a pod's index.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation: counted failures of the index so far.
pub const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation: failures that a policy ignored.
pub const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// A set of indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads the text, leaving out what is broken or not below `completions`.
    pub fn parse(text: &str, completions: i32) -> Self {
        let interval = |part: &str| -> Option<(i32, i32)> {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse().ok()?, last.parse::<i32>().ok()?);
            (first < completions).then_some((first, last.min(completions - 1)))
        };
        text.split(',').filter_map(interval).collect()
    }
    /// Number of indexes.
    pub fn total(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether an index is among them.
    pub fn has(&self, index: i32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }
    /// Both together.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }
    /// Number of indexes that are in both.
    pub fn overlap(&self, other: &Self) -> i32 {
        let (mut a, mut b, mut common) = (self.0.iter().peekable(), other.0.iter().peekable(), 0);
        while let (Some((first, last)), Some((other_first, other_last))) = (a.peek(), b.peek()) {
            common += (last.min(other_last) - first.max(other_first) + 1).max(0);
            if last < other_last {
                a.next()
            } else {
                b.next()
            };
        }
        common
    }
    /// The lowest indexes below `completions` that are not among them, at most `count`.
    pub fn lowest_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let ends = self.0.iter().copied().chain([(completions, completions)]);
        let mut next = 0;
        let gaps = ends.flat_map(|(first, last)| {
            let gap = next..first.min(completions);
            next = last.saturating_add(1);
            gap
        });
        gaps.take(count).collect()
    }
}

impl FromIterator<(i32, i32)> for Indexes {
    fn from_iter<I: IntoIterator<Item = (i32, i32)>>(intervals: I) -> Self {
        let mut intervals: Vec<_> = intervals.into_iter().filter(|(first, last)| first <= last).collect();
        intervals.sort_unstable();
        let mut merged: Vec<(i32, i32)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}

impl FromIterator<i32> for Indexes {
    fn from_iter<I: IntoIterator<Item = i32>>(indexes: I) -> Self {
        indexes.into_iter().map(|index| (index, index)).collect()
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// A pod's index; `None` when it has none.
pub fn index_of(pod: &PodView) -> Option<i32> {
    pod.metadata.annotations.get(INDEX)?.parse().ok().filter(|index| *index >= 0)
}

/// Counted failures of the index when the pod was created.
pub fn failures_before(pod: &PodView) -> i32 {
    count(pod, FAILURES)
}

/// Ignored failures of the index when the pod was created.
pub fn ignored_before(pod: &PodView) -> i32 {
    count(pod, IGNORED_FAILURES)
}

fn count(pod: &PodView, annotation: &str) -> i32 {
    pod.metadata
        .annotations
        .get(annotation)
        .and_then(|text| text.parse().ok())
        .filter(|n| *n >= 0)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_adjacent_intervals_join() {
        for text in ["", "0", "1,2", "1,3-5,7", "0-9"] {
            assert_eq!(Indexes::parse(text, 100).to_string(), text);
        }
        assert_eq!(Indexes::parse("1-3,4,x,8-20", 10).to_string(), "1-4,8,9");
        assert_eq!([5, 1, 2, 3, 9, 5].into_iter().collect::<Indexes>().to_string(), "1-3,5,9");
    }

    #[test]
    fn sets_answer_questions() {
        let set = Indexes::parse("1,3-5", 10);
        assert_eq!(set.total(), 4);
        assert!(set.has(1) && set.has(4) && !set.has(2) && !set.has(6));
        assert_eq!(set.lowest_missing(3, 10), [0, 2, 6]);
        assert_eq!(set.lowest_missing(9, 7), [0, 2, 6]);
        assert_eq!(set.overlap(&Indexes::parse("0,1,5-9", 10)), 2);
        assert_eq!(set.union(&Indexes::parse("2", 10)).to_string(), "1-5");
    }
}
