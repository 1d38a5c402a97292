//! Replies of the name servers outside that are kept for a while.
//!
//! Invariants: bounded; the oldest question goes first; an answer is kept no longer than its records allow, and at most
//! half a minute, that nothing exists at most five seconds. Time is handed in.
//! Upstream: CoreDNS plugin/cache as kubeadm configures it (30 s; denials 5 s).

use super::answer::Reply;
use hickory_server::proto::{
    op::ResponseCode,
    rr::{DNSClass, LowerName, RData, Record, RecordType},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest life of an answer.
const LONGEST: Duration = Duration::from_secs(30);
/// Longest life of a denial.
const LONGEST_DENIAL: Duration = Duration::from_secs(5);

/// What was asked, as far as the reply depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// Name.
    pub(crate) name: LowerName,
    /// Type.
    pub(crate) kind: RecordType,
    /// Class.
    pub(crate) class: DNSClass,
    /// Whether signatures were asked for.
    pub(crate) signed: bool,
    /// Whether signatures are not to be checked.
    pub(crate) unchecked: bool,
}

#[derive(Debug)]
struct Entry {
    reply: Arc<Reply>,
    since: Instant,
    until: Instant,
}

/// Kept replies.
#[derive(Debug)]
pub(crate) struct Kept {
    entries: HashMap<Question, Entry>,
    /// Each question of `entries` once, oldest first.
    order: VecDeque<Question>,
    most: usize,
}

impl Kept {
    /// Room for this many replies.
    pub(crate) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), most }
    }
    /// The kept reply and its age in seconds.
    pub(crate) fn get(&self, question: &Question, now: Instant) -> Option<(Arc<Reply>, u32)> {
        let entry = self.entries.get(question).filter(|entry| now < entry.until)?;
        let age = now.saturating_duration_since(entry.since).as_secs();
        Some((entry.reply.clone(), u32::try_from(age).unwrap_or(u32::MAX)))
    }
    /// Keeps a reply if it may be kept.
    pub(crate) fn put(&mut self, question: Question, reply: Arc<Reply>, now: Instant) {
        let life = life(&reply);
        if life.is_zero() {
            return;
        }
        let entry = Entry { reply, since: now, until: now + life };
        if self.entries.insert(question.clone(), entry).is_some() {
            return;
        }
        self.order.push_back(question);
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }
}

/// How long a reply may be kept.
fn life(reply: &Reply) -> Duration {
    let ttl = |record: &Record| match &record.data {
        // RFC 2308: a denial lives as long as the SOA's last field says.
        RData::SOA(soa) => record.ttl.min(soa.minimum),
        _ => record.ttl,
    };
    let records = reply.answers.iter().chain(&reply.authorities);
    let Some(shortest) = records.map(ttl).min() else { return Duration::ZERO };
    let shortest = Duration::from_secs(u64::from(shortest));
    match (reply.code, reply.answers.is_empty()) {
        (ResponseCode::NoError, false) => shortest.min(LONGEST),
        (ResponseCode::NoError | ResponseCode::NXDomain, _) => shortest.min(LONGEST_DENIAL),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_server::proto::rr::{Name, rdata::A};

    fn question(name: &str) -> Question {
        let name = Name::from_ascii(name).unwrap().into();
        Question { name, kind: RecordType::A, class: DNSClass::IN, signed: false, unchecked: false }
    }

    fn reply(ttl: u32) -> Arc<Reply> {
        let record = Record::from_rdata(Name::root(), ttl, RData::A(A::new(192, 0, 2, 1)));
        Arc::new(Reply { answers: vec![record], ..Reply::code(ResponseCode::NoError) })
    }

    #[test]
    fn replies_live_as_long_as_their_records_but_not_longer_than_half_a_minute() {
        let (mut kept, start) = (Kept::new(4), Instant::now());
        kept.put(question("short."), reply(7), start);
        kept.put(question("long."), reply(3600), start);
        kept.put(question("never."), reply(0), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(kept.get(&question("short."), at(6)).unwrap().1, 6);
        assert!(kept.get(&question("short."), at(7)).is_none());
        assert!(kept.get(&question("long."), at(29)).is_some());
        assert!(kept.get(&question("long."), at(30)).is_none());
        assert!(kept.get(&question("never."), start).is_none());
        kept.put(question("failed."), Arc::new(Reply::code(ResponseCode::ServFail)), start);
        assert!(kept.get(&question("failed."), start).is_none());
    }

    #[test]
    fn the_oldest_question_makes_room() {
        let (mut kept, now) = (Kept::new(2), Instant::now());
        for name in ["a.", "b.", "a.", "c."] {
            kept.put(question(name), reply(5), now);
        }
        assert!(kept.get(&question("a."), now).is_none());
        assert!(kept.get(&question("b."), now).is_some() && kept.get(&question("c."), now).is_some());
        assert_eq!((kept.entries.len(), kept.order.len()), (2, 2));
    }
}
