//! The checks, one behaviour each.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use futures::poll;

use super::{Check, Place, live_objects, open};
use crate::{CommitError, Expect, Guard, Op, Revision, Store, Value, Write};

/// Every check with its name.
pub const CHECKS: &[(&str, Check)] = &[
    ("s2 revisions continue without a gap, across a restart", |place| Box::pin(revisions(place))),
    ("s3 a writer reads its own write", |place| Box::pin(own_writes(place))),
    ("s3 the barrier has every acknowledged write", |place| Box::pin(barrier(place))),
    ("s3 a loser finds the winner", |place| Box::pin(loser_finds_winner(place))),
    ("expectations are checked", |place| Box::pin(expectations(place))),
    ("guards are checked", |place| Box::pin(guards(place))),
    ("a write is applied whole or not at all", |place| Box::pin(atomic(place))),
    ("a write that changes nothing has no revision", |place| Box::pin(no_change(place))),
    ("no update is lost", |place| Box::pin(counters(place))),
    ("claims are given once", |place| Box::pin(claims(place))),
    ("invalid writes are refused", |place| Box::pin(invalid(place))),
    ("a write that was sent is done", |place| Box::pin(dropped_future(place))),
    ("s1 a restart keeps objects and history", |place| Box::pin(restart(place))),
    ("s5 compaction moves the history's start", |place| Box::pin(compaction(place))),
    ("s5 a compacted revision stays compacted", |place| Box::pin(compaction_stays(place))),
    ("a closed store refuses", |place| Box::pin(closed(place))),
];

fn value(text: &str) -> Value {
    Value::new(text.as_bytes().to_vec())
}

fn put(key: &str, expect: Expect, text: &str) -> Write {
    Write::one(Op::put(key, expect, value(text)))
}

async fn must(store: &dyn Store, write: Write) -> Revision {
    store.commit(write).await.expect("the write is valid")
}

async fn revisions(place: &dyn Place) {
    let mut expected = Revision::ZERO;
    for _ in 0..3 {
        let (store, mirror) = open(place);
        assert_eq!((store.revision(), mirror.state().revision), (expected, expected));
        for n in 0..20 {
            expected = expected.next();
            assert_eq!(must(&*store, put(&format!("/k{}", n % 3), Expect::Any, "v")).await, expected);
            assert_eq!(store.revision(), expected);
        }
        store.close().await;
    }
}

async fn own_writes(place: &dyn Place) {
    let (store, mirror) = open(place);
    let tasks = (0..16).map(|task| {
        let (store, mirror) = (Arc::clone(&store), Arc::clone(&mirror));
        tokio::spawn(async move {
            for n in 0..50 {
                let (key, text) = (format!("/t{task}"), n.to_string());
                let revision = must(&*store, put(&key, Expect::Any, &text)).await;
                assert_eq!(mirror.get(&key).as_deref(), Some(text.as_bytes()));
                assert!(store.revision() >= revision);
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|task| task.expect("the task succeeds"));
    store.close().await;
}

async fn barrier(place: &dyn Place) {
    let (store, mirror) = open(place);
    let revision = must(&*store, put("/a", Expect::Absent, "1")).await;
    let reached = store.barrier().await.expect("a barrier");
    assert!(reached >= revision && mirror.state().revision >= reached);
    store.close().await;
}

async fn loser_finds_winner(place: &dyn Place) {
    let (store, mirror) = open(place);
    let mut head = must(&*store, put("/a", Expect::Absent, "start")).await;
    for round in 0..50 {
        let rivals = (0..8).map(|rival| {
            let (store, mirror) = (Arc::clone(&store), Arc::clone(&mirror));
            let write = put("/a", Expect::At(head), &format!("{round}/{rival}"));
            tokio::spawn(async move {
                let result = store.commit(write).await;
                (result, mirror.state().live["/a"].0)
            })
        });
        let results: Vec<_> =
            join_all(rivals).await.into_iter().map(|task| task.expect("no panic")).collect();
        let won: Vec<Revision> = results.iter().filter_map(|(result, _)| result.clone().ok()).collect();
        assert_eq!(won.len(), 1, "exactly one wins: {results:?}");
        for (result, seen) in &results {
            assert_eq!(*seen, won[0], "the winner is visible to all, {result:?}");
            let key = "/a".into();
            assert!(result.is_ok() || *result == Err(CommitError::Conflict { key }));
        }
        head = won[0];
    }
    store.close().await;
}

async fn expectations(place: &dyn Place) {
    let (store, mirror) = open(place);
    let old = must(&*store, put("/live", Expect::Any, "0")).await;
    let live = must(&*store, put("/live", Expect::At(old), "1")).await;
    must(&*store, put("/gone", Expect::Any, "2")).await;
    let gone = must(&*store, Write::one(Op::delete("/gone", Expect::Exists))).await;
    let cases = [
        ("/live", Expect::Absent, false),
        ("/live", Expect::At(old), false),
        ("/live", Expect::At(gone), false),
        ("/live", Expect::At(Revision::ZERO), false),
        ("/gone", Expect::Exists, false),
        ("/gone", Expect::At(gone), false),
        ("/never", Expect::Exists, false),
        ("/never", Expect::At(Revision::ZERO), false),
        ("/live", Expect::At(live), true),
        ("/live", Expect::Exists, true),
        ("/live", Expect::Any, true),
        ("/gone", Expect::Absent, true),
        ("/never", Expect::Absent, true),
    ];
    for (key, expect, holds) in cases {
        let before = mirror.state();
        let result = store.commit(put(key, expect, "new")).await;
        assert_eq!(result.is_ok(), holds, "{key} {expect:?}: {result:?}");
        if !holds {
            assert_eq!(result, Err(CommitError::Conflict { key: key.into() }));
            assert_eq!(mirror.state(), before, "a refused write changes nothing");
        }
    }
    store.close().await;
}

async fn guards(place: &dyn Place) {
    let (store, mirror) = open(place);
    let at = must(&*store, put("/ns", Expect::Absent, "active")).await;
    let guarded = |expect, key: &str| Write {
        guards: vec![
            Guard { key: "/other".into(), expect: Expect::Absent },
            Guard { key: key.into(), expect },
        ],
        ..put("/pod", Expect::Any, "v")
    };
    for (expect, holds) in [(Expect::At(at.next()), false), (Expect::Absent, false), (Expect::At(at), true)] {
        let before = mirror.state();
        let result = store.commit(guarded(expect, "/ns")).await;
        assert_eq!(result.is_ok(), holds, "{expect:?}: {result:?}");
        if !holds {
            assert_eq!(result, Err(CommitError::GuardFailed { key: "/ns".into() }));
            assert_eq!(mirror.state(), before);
        }
    }
    assert_eq!(mirror.state().live["/ns"].0, at, "a guard does not touch its key");
    // A guard sees what the same batch changes before it.
    let delete = store.commit(Write::one(Op::delete("/ns", Expect::At(at))));
    let late = store.commit(guarded(Expect::Exists, "/ns"));
    let (deleted, late) = futures::join!(delete, late);
    assert!(deleted.is_ok());
    assert_eq!(late, Err(CommitError::GuardFailed { key: "/ns".into() }));
    store.close().await;
}

async fn atomic(place: &dyn Place) {
    let (store, mirror) = open(place);
    must(&*store, put("/c", Expect::Absent, "old")).await;
    let write = |last: Expect| Write {
        ops: vec![
            Op::put("/a", Expect::Absent, value("1")),
            Op::delete("/c", Expect::Exists),
            Op::put("/b", last, value("2")),
        ],
        guards: Vec::new(),
    };
    let before = mirror.state();
    let refused = store.commit(write(Expect::Exists)).await;
    assert_eq!(refused, Err(CommitError::Conflict { key: "/b".into() }));
    assert_eq!(mirror.state(), before);
    let revision = must(&*store, write(Expect::Absent)).await;
    let state = mirror.state();
    let same: Vec<_> = state.changes.iter().filter(|change| change.revision == revision).collect();
    assert_eq!(same.iter().map(|change| &*change.key).collect::<Vec<_>>(), ["/a", "/c", "/b"]);
    assert_eq!(state.live.keys().map(|key| &**key).collect::<Vec<_>>(), ["/a", "/b"]);
    assert_eq!(must(&*store, put("/d", Expect::Absent, "3")).await, revision.next());
    store.close().await;
}

async fn no_change(place: &dyn Place) {
    let (store, mirror) = open(place);
    let at = must(&*store, put("/a", Expect::Absent, "1")).await;
    let before = mirror.state();
    assert_eq!(must(&*store, Write::one(Op::delete("/never", Expect::Any))).await, at);
    let guards = vec![Guard { key: "/a".into(), expect: Expect::At(at) }];
    assert_eq!(must(&*store, Write { ops: Vec::new(), guards }).await, at);
    assert_eq!(mirror.state(), before);
    let refused = store.commit(Write::one(Op::delete("/never", Expect::Exists))).await;
    assert_eq!(refused, Err(CommitError::Conflict { key: "/never".into() }));
    store.close().await;
}

async fn counters(place: &dyn Place) {
    let (store, mirror) = open(place);
    let tasks = (0..32usize).map(|task| {
        let (store, mirror) = (Arc::clone(&store), Arc::clone(&mirror));
        tokio::spawn(async move {
            for n in 0..20 {
                let key = format!("/counter{}", (task + n) % 3);
                loop {
                    let current = mirror.state.lock().live.get(&*key).cloned();
                    let expect = current.as_ref().map_or(Expect::Absent, |(at, _)| Expect::At(*at));
                    let count = current.map_or(0, |(_, bytes)| parse(&bytes));
                    if store.commit(put(&key, expect, &(count + 1).to_string())).await.is_ok() {
                        break;
                    }
                }
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|task| task.expect("the task succeeds"));
    let state = mirror.state();
    assert_eq!(state.live.values().map(|(_, bytes)| parse(bytes)).sum::<u64>(), 32 * 20);
    let revisions: Vec<u64> = state.changes.iter().map(|change| change.revision.0).collect();
    assert_eq!(revisions, (1..=32 * 20).collect::<Vec<_>>(), "revisions have no gap");
    store.close().await;
}

fn parse(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).expect("a number")
}

async fn claims(place: &dyn Place) {
    let (store, mirror) = open(place);
    // Eight services race for four addresses: a claim is one more op of the write that needs it.
    let tasks = (0..8).map(|service| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for address in 0..4 {
                let name = format!("/services/{service}");
                let ops = vec![
                    Op::put(name.clone(), Expect::Absent, value("service")),
                    Op::put(format!("/ips/{address}"), Expect::Absent, value(&name)),
                ];
                if store.commit(Write { ops, guards: Vec::new() }).await.is_ok() {
                    return;
                }
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|task| task.expect("the task succeeds"));
    let live = mirror.state().live;
    let owners: BTreeSet<_> = (0..4).map(|address| live[&*format!("/ips/{address}")].1.clone()).collect();
    assert_eq!(owners.len(), 4, "each service holds one address");
    assert_eq!(live.len(), 8, "a service without an address does not exist");
    store.close().await;
}

async fn invalid(place: &dyn Place) {
    let (store, mirror) = open(place);
    let twice = vec![Op::put("/a", Expect::Any, value("1")), Op::delete("/a", Expect::Any)];
    let twice = store.commit(Write { ops: twice, guards: Vec::new() }).await;
    assert!(matches!(twice, Err(CommitError::Invalid(_))), "{twice:?}");
    let nameless = store.commit(put("", Expect::Any, "1")).await;
    assert!(matches!(nameless, Err(CommitError::Invalid(_))), "{nameless:?}");
    let large = Value::new(vec![0; 64 << 20]);
    let large = store.commit(Write::one(Op::put("/a", Expect::Any, large))).await;
    assert!(matches!(large, Err(CommitError::TooLarge { .. })), "{large:?}");
    assert_eq!(mirror.state().revision, Revision::ZERO);
    must(&*store, put("/a", Expect::Absent, "")).await;
    assert_eq!(mirror.get("/a").as_deref(), Some(&b""[..]), "an empty value is a value");
    store.close().await;
}

async fn dropped_future(place: &dyn Place) {
    let (store, mirror) = open(place);
    for n in 0..20 {
        let mut commit = store.commit(put(&format!("/k{n}"), Expect::Absent, "v"));
        drop(poll!(&mut commit));
        drop(commit);
    }
    store.close().await;
    assert_eq!(mirror.state().live.len(), 20);
}

async fn restart(place: &dyn Place) {
    let (store, mirror) = open(place);
    for n in 0..30 {
        must(&*store, put(&format!("/k{}", n % 7), Expect::Any, &n.to_string())).await;
        if n % 5 == 4 {
            must(&*store, Write::one(Op::delete(format!("/k{}", n % 7), Expect::Exists))).await;
        }
    }
    store.close().await;
    let before = mirror.state();
    for _ in 0..2 {
        let (store, mirror) = open(place);
        assert_eq!(mirror.state(), before, "objects and every change are back");
        store.close().await;
    }
}

async fn compaction(place: &dyn Place) {
    let (store, mirror) = open(place);
    for n in 0..20 {
        must(&*store, put(&format!("/k{}", n % 4), Expect::Any, &n.to_string())).await;
    }
    must(&*store, Write::one(Op::delete("/k0", Expect::Exists))).await;
    assert_eq!(store.compact(Revision(12)).await, Ok(Revision(12)));
    assert_eq!(store.compacted(), Revision(12));
    assert_eq!(store.compact(Revision(5)).await, Ok(Revision(12)), "it never goes back");
    let before = mirror.state();
    store.close().await;

    let (store, mirror) = open(place);
    let after = mirror.state();
    assert_eq!((after.compacted, after.revision), (Revision(12), before.revision));
    assert_eq!(after.live, before.live);
    let later: Vec<_> =
        before.changes.iter().filter(|change| change.revision > Revision(12)).cloned().collect();
    assert_eq!(after.changes, later, "history after the compacted revision is there");
    let earlier = before.changes.iter().filter(|change| change.revision <= Revision(12));
    assert_eq!(after.base, live_objects(earlier), "the base is the state at the compacted revision");
    store.close().await;
}

async fn compaction_stays(place: &dyn Place) {
    let mut revision = Revision::ZERO;
    for round in 0..5 {
        let (store, mirror) = open(place);
        assert_eq!((store.compacted(), store.revision()), (revision, revision));
        for n in 0..10 {
            revision = must(&*store, put(&format!("/k{n}"), Expect::Any, &round.to_string())).await;
        }
        assert_eq!(store.compact(Revision(u64::MAX)).await, Ok(revision), "not beyond the last revision");
        assert_eq!(mirror.state().live.len(), 10);
        store.close().await;
    }
}

async fn closed(place: &dyn Place) {
    let (store, mirror) = open(place);
    let revision = must(&*store, put("/a", Expect::Absent, "1")).await;
    store.close().await;
    store.close().await;
    assert_eq!(store.commit(put("/b", Expect::Absent, "1")).await, Err(CommitError::Closed));
    assert_eq!(store.compact(revision).await, Err(CommitError::Closed));
    assert_eq!(mirror.state().revision, revision);
}
