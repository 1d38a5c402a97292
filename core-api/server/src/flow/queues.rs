//! Fair queues of one priority level. A state machine without a clock and without waiting: pure.
//!
//! Each flow is dealt a hand of queues and joins the shortest of it, so a flow that floods its hand leaves others most of
//! theirs (*shuffle sharding*). Among queues that have requests the one is served that has been served least, in seat
//! seconds of *virtual time*: a queue that was empty starts at the present, so being idle saves nothing up.
//! Invariants: seats in use are the sum of what was entered and has not left; nobody is seated while it would not fit, but
//! for a request that is wider than the whole level, which runs alone. Upstream: apiserver
//! `pkg/util/flowcontrol/fairqueuing/queueset`, `pkg/util/shufflesharding`.

use serde::Deserialize;
use std::collections::VecDeque;

/// Seconds that a request is taken to need until it has ended. Upstream: `estimatedServiceDuration`.
const ESTIMATE: f64 = 0.003;

/// How requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queuing {
    queues: usize,
    hand_size: usize,
    queue_length_limit: usize,
}

impl Queuing {
    pub(super) const fn new(queues: usize, hand_size: usize, queue_length_limit: usize) -> Self {
        Self { queues, hand_size, queue_length_limit }
    }
}

/// Queues of a level; `T` is told when its request is seated.
pub(super) struct Queues<T> {
    queuing: Option<Queuing>,
    /// Seats of the level.
    limit: usize,
    queues: Vec<Queue<T>>,
    in_use: usize,
    waiting_seats: usize,
    /// Most seats in use and waited for since somebody asked.
    high: usize,
    executing: usize,
    /// Virtual time.
    present: f64,
    next_ticket: u64,
    counts: Counts,
}

/// What has become of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) dispatched: u64,
    pub(super) rejected: u64,
}

struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    seats_in_use: usize,
    /// Virtual time at which its next request starts.
    next_start: f64,
}

struct Waiting<T> {
    ticket: u64,
    width: usize,
    waker: T,
}

/// A request's place: hand it back with [`Queues::leave`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    queue: usize,
    width: usize,
    ticket: u64,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    Seated(Place),
    Waits(Place),
    /// Upstream's word for why.
    Refused(&'static str),
}

impl<T> Queues<T> {
    pub(super) fn new(queuing: Option<Queuing>, limit: usize) -> Self {
        let mut queues = Self {
            queuing,
            limit,
            queues: Vec::new(),
            in_use: 0,
            waiting_seats: 0,
            high: 0,
            executing: 0,
            present: 0.0,
            next_ticket: 0,
            counts: Counts::default(),
        };
        queues.set_queuing(queuing);
        queues
    }

    /// Whoever waits stays where it is.
    pub(super) fn set_queuing(&mut self, queuing: Option<Queuing>) {
        self.queuing = queuing;
        let wanted = queuing.map_or(1, |queuing| queuing.queues.max(1));
        let empty = || Queue { waiting: VecDeque::new(), seats_in_use: 0, next_start: 0.0 };
        self.queues.resize_with(wanted.max(self.queues.len()), empty);
    }

    /// A request of a flow comes; `waker` is kept if it has to wait.
    pub(super) fn enter(&mut self, flow: u64, width: usize, waker: impl FnOnce() -> T) -> Entered {
        let width = width.clamp(1, self.limit.max(1));
        let at = self.choose(flow);
        let place = Place { queue: at, width, ticket: self.next_ticket };
        self.next_ticket += 1;
        if self.waiting_seats == 0 && self.fits(width) {
            self.start(at);
            self.seat(at, width);
            self.mark();
            return Entered::Seated(place);
        }
        let Some(queuing) = self.queuing else {
            self.counts.rejected += 1;
            return Entered::Refused("concurrency-limit");
        };
        if self.queues[at].waiting.len() >= queuing.queue_length_limit {
            self.counts.rejected += 1;
            return Entered::Refused("queue-full");
        }
        self.start(at);
        self.queues[at].waiting.push_back(Waiting { ticket: place.ticket, width, waker: waker() });
        self.waiting_seats += width;
        self.mark();
        Entered::Waits(place)
    }

    /// A request has ended after `seconds` in its seat, or waits no more. Returns who is seated now.
    pub(super) fn leave(&mut self, place: &Place, seconds: f64) -> Vec<T> {
        let queue = &mut self.queues[place.queue];
        // Tickets rise along a queue.
        if let Ok(at) = queue.waiting.binary_search_by_key(&place.ticket, |waiting| waiting.ticket) {
            queue.waiting.remove(at);
            self.waiting_seats -= place.width;
            return self.dispatch();
        }
        queue.seats_in_use -= place.width;
        // The estimate was charged when it started.
        queue.next_start += place.width as f64 * (seconds - ESTIMATE);
        self.in_use -= place.width;
        self.executing -= 1;
        self.dispatch()
    }

    /// The level has another number of seats. Returns who is seated now.
    pub(super) fn resize(&mut self, limit: usize) -> Vec<T> {
        self.limit = limit;
        self.dispatch()
    }

    /// Most seats in use and waited for since the last call.
    pub(super) fn take_high(&mut self) -> usize {
        std::mem::replace(&mut self.high, self.in_use + self.waiting_seats)
    }

    /// Requests that wait, requests in seats, queues that have either, and what became of others.
    pub(super) fn state(&self) -> (usize, usize, usize, Counts) {
        let waiting = self.queues.iter().map(|queue| queue.waiting.len()).sum();
        let active = self.queues.iter().filter(|queue| !queue.is_idle()).count();
        (waiting, self.executing, active, self.counts)
    }

    /// Of each queue: requests that wait, seats in use, virtual time of its next start.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, usize, f64)> {
        self.queues.iter().map(|queue| (queue.waiting.len(), queue.seats_in_use, queue.next_start))
    }

    fn mark(&mut self) {
        self.high = self.high.max(self.in_use + self.waiting_seats);
    }

    fn fits(&self, width: usize) -> bool {
        if width > self.limit { self.executing == 0 } else { self.in_use + width <= self.limit }
    }

    /// The shortest queue of the flow's hand.
    fn choose(&self, flow: u64) -> usize {
        let Some(Queuing { queues, hand_size, .. }) = self.queuing else { return 0 };
        let load = |at: &usize| {
            let queue = &self.queues[*at];
            queue.seats_in_use + queue.waiting.iter().map(|waiting| waiting.width).sum::<usize>()
        };
        deal(flow, queues.max(1), hand_size).min_by_key(load).unwrap_or(0)
    }

    /// A queue in which nobody waits has saved nothing up; one that was idle owes nothing either.
    fn start(&mut self, at: usize) {
        let present = self.present;
        let queue = &mut self.queues[at];
        if queue.is_idle() {
            queue.next_start = present;
        } else if queue.waiting.is_empty() {
            queue.next_start = queue.next_start.max(present);
        }
    }

    fn seat(&mut self, at: usize, width: usize) {
        let queue = &mut self.queues[at];
        self.present = self.present.max(queue.next_start);
        queue.next_start += width as f64 * ESTIMATE;
        queue.seats_in_use += width;
        self.in_use += width;
        self.executing += 1;
        self.counts.dispatched += 1;
    }

    /// Seats whoever is next, as long as there is room.
    fn dispatch(&mut self) -> Vec<T> {
        let mut seated = Vec::new();
        while self.waiting_seats > 0 {
            let waiting = self.queues.iter().enumerate().filter(|(_, queue)| !queue.waiting.is_empty());
            let next = waiting.min_by(|(_, a), (_, b)| a.next_start.total_cmp(&b.next_start));
            let Some(at) = next.map(|(at, _)| at) else { break };
            // The first is waited for even if another one would fit, or wide requests would never come.
            let fits = self.queues[at].waiting.front().is_some_and(|first| self.fits(first.width));
            let first = if fits { self.queues[at].waiting.pop_front() } else { None };
            let Some(first) = first else { break };
            self.waiting_seats -= first.width;
            self.seat(at, first.width);
            seated.push(first.waker);
        }
        seated
    }
}

impl<T> Queue<T> {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.seats_in_use == 0
    }
}

/// Deals a hand of different cards from a deck, the same one for the same hash.
fn deal(mut hash: u64, deck: usize, hand: usize) -> impl Iterator<Item = usize> {
    let mut dealt: Vec<usize> = Vec::with_capacity(hand.min(deck));
    for left in (1..=deck).rev().take(hand.max(1)) {
        let mut card = (hash % left as u64) as usize;
        hash /= left as u64;
        // The card-th of those that are still in the deck.
        let mut place = 0;
        while place < dealt.len() && dealt[place] <= card {
            card += 1;
            place += 1;
        }
        dealt.insert(place, card);
    }
    dealt.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const QUEUING: Queuing = Queuing::new(64, 6, 50);

    /// Enters requests of a flow; the names of those that wait tell who comes when.
    fn enter(queues: &mut Queues<String>, flow: u64, width: usize, name: &str) -> Entered {
        queues.enter(flow, width, || name.to_owned())
    }

    #[test]
    fn one_that_floods_holds_nobody_else_up() {
        let mut queues = Queues::new(Some(QUEUING), 2);
        let (loud, calm) = (0x1234_5678_9abc_def0, 0xfeed_beef_0bad_cafe);
        let (mut places, mut seated) = (HashMap::new(), VecDeque::new());
        for i in 0..200 {
            match enter(&mut queues, loud, 1, &format!("loud-{i}")) {
                Entered::Seated(place) => seated.push_back(place),
                Entered::Waits(place) => drop(places.insert(format!("loud-{i}"), place)),
                Entered::Refused(why) => panic!("{why} at {i}"),
            }
        }
        let Entered::Waits(place) = enter(&mut queues, calm, 1, "calm") else {
            panic!("all seats are taken")
        };
        places.insert("calm".to_owned(), place);
        let mut before = Vec::new();
        while !before.contains(&"calm".to_owned()) {
            for name in queues.leave(&seated.pop_front().unwrap(), ESTIMATE) {
                seated.extend(places.remove(&name));
                before.push(name);
            }
        }
        assert!(before.len() <= QUEUING.hand_size + 1, "198 came earlier, and these were seated: {before:?}");
    }

    #[test]
    fn queues_are_served_by_turns_whatever_their_length() {
        let mut queues = Queues::new(Some(Queuing::new(2, 1, 50)), 1);
        let Entered::Seated(mut place) = enter(&mut queues, 0, 1, "") else { panic!("there is room") };
        for i in 0..4 {
            enter(&mut queues, 0, 1, &format!("a{i}"));
        }
        for i in 0..2 {
            enter(&mut queues, 1, 1, &format!("b{i}"));
        }
        let mut order = String::new();
        while let Some(name) = queues.leave(&place, ESTIMATE).pop() {
            place = Place { queue: usize::from(name.starts_with('b')), width: 1, ticket: u64::MAX };
            order.push_str(&name);
        }
        assert_eq!(order, "b0a0b1a1a2a3", "the first seat counts for a");
    }

    #[test]
    fn long_requests_are_paid_for() {
        let mut queues = Queues::new(Some(Queuing::new(2, 1, 50)), 1);
        let Entered::Seated(place) = enter(&mut queues, 0, 1, "") else { panic!("there is room") };
        for name in ["a0", "a1"] {
            enter(&mut queues, 0, 1, name);
        }
        for name in ["b0", "b1", "b2"] {
            enter(&mut queues, 1, 1, name);
        }
        // The first one of a took as long as three others.
        let mut names = queues.leave(&place, 3.0 * ESTIMATE);
        for _ in 0..3 {
            let at = usize::from(names.last().is_some_and(|name| name.starts_with('b')));
            names.extend(queues.leave(&Place { queue: at, width: 1, ticket: u64::MAX }, ESTIMATE));
        }
        assert_eq!(names[..3], ["b0", "b1", "b2"]);
    }

    #[test]
    fn full_queues_refuse_and_who_gives_up_leaves_no_trace() {
        let mut queues = Queues::new(Some(Queuing::new(1, 1, 2)), 1);
        let Entered::Seated(seat) = enter(&mut queues, 0, 1, "") else { panic!("there is room") };
        let Entered::Waits(first) = enter(&mut queues, 0, 1, "first") else { panic!("it waits") };
        enter(&mut queues, 0, 1, "second");
        assert_eq!(enter(&mut queues, 0, 1, "third"), Entered::Refused("queue-full"));
        assert!(queues.leave(&first, 0.0).is_empty());
        assert_eq!(queues.leave(&seat, ESTIMATE), ["second"]);
        assert_eq!((queues.take_high(), queues.take_high()), (3, 1));
        let mut refusing = Queues::new(None, 1);
        assert!(matches!(enter(&mut refusing, 0, 1, ""), Entered::Seated(_)));
        assert_eq!(enter(&mut refusing, 0, 1, ""), Entered::Refused("concurrency-limit"));
        assert_eq!(refusing.state(), (0, 1, 1, Counts { dispatched: 1, rejected: 1 }));
    }

    #[test]
    fn wide_requests_take_their_seats_and_narrow_ones_do_not_overtake() {
        let mut queues = Queues::new(Some(Queuing::new(1, 1, 9)), 4);
        let Entered::Seated(first) = enter(&mut queues, 0, 3, "") else { panic!("there is room") };
        enter(&mut queues, 0, 9, "widest");
        enter(&mut queues, 0, 1, "narrow");
        assert!(queues.resize(5).is_empty(), "four seats are wanted and two are free");
        assert_eq!(queues.leave(&first, ESTIMATE), ["widest", "narrow"]);
        let mut none = Queues::new(Some(Queuing::new(1, 1, 9)), 0);
        assert!(matches!(enter(&mut none, 0, 1, ""), Entered::Seated(_)), "one at a time even without seats");
        assert!(matches!(enter(&mut none, 0, 1, ""), Entered::Waits(_)));
    }

    #[test]
    fn hands_have_different_cards_and_differ() {
        let hand = |hash| deal(hash, 64, 6).collect::<Vec<_>>();
        let (one, other) = (hand(0x1234_5678_9abc_def0), hand(0xfeed_beef_0bad_cafe));
        for hand in [&one, &other] {
            assert!(hand.is_sorted_by(|a, b| a < b) && hand.len() == 6 && hand.iter().all(|card| *card < 64));
        }
        assert_ne!(one, other);
        assert_eq!(deal(7, 3, 9).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
