//! Which endpoint a request reaches.

use super::world::{World, all, backend, echo, get};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::collections::{BTreeMap, BTreeSet};

async fn counted(world: &World, requests: usize) -> BTreeMap<String, usize> {
    let mut client = world.connect().await;
    let mut counted = BTreeMap::new();
    for _ in 0..requests {
        *counted.entry(client.send(get("a.example", "/")).await.from()).or_default() += 1;
    }
    counted
}

#[tokio::test]
async fn endpoints_take_turns_and_dead_ones_are_passed_over() {
    let mut world = World::start().await;
    world.ingress("a", &[], all("a.example", "web"));
    let (dead, task) = backend(|_| async { Response::new(Full::<Bytes>::default()) }).await;
    task.abort();
    let (one, two) = (echo("one").await, echo("two").await);
    world.service("web", &[one, two]);
    world.apply().await;
    assert_eq!(counted(&world, 20).await, BTreeMap::from([("one".to_owned(), 10), ("two".to_owned(), 10)]));
    world.service("web", &[dead, one, two]);
    world.apply().await;
    let counted = counted(&world, 30).await;
    assert_eq!(counted.values().sum::<usize>(), 30, "each was answered: {counted:?}");
    let post = Request::post("/").header("host", "a.example").body(Full::from("once")).unwrap();
    let mut client = world.connect().await;
    for _ in 0..6 {
        let reply = client.send(post.clone()).await;
        assert_eq!(
            (reply.status, &reply.told()["length"]),
            (StatusCode::OK, &4.into()),
            "nothing was sent to the dead one"
        );
    }
}

#[tokio::test]
async fn busy_endpoints_get_less() {
    let mut world = World::start().await;
    world.ingress("a", &[], all("a.example", "web"));
    let (slow, _) = backend(|_| std::future::pending::<Response<Full<Bytes>>>()).await;
    world.service("web", &[slow, echo("quick").await]);
    world.apply().await;
    // One request at least hangs at the slow one; all later ones go to the other.
    let mut hanging = Vec::new();
    for _ in 0..2 {
        let mut client = world.connect().await;
        hanging.push(tokio::spawn(async move { client.send(get("a.example", "/")).await }));
    }
    while hanging.iter().filter(|task| task.is_finished()).count() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(counted(&world, 10).await, BTreeMap::from([("quick".to_owned(), 10)]));
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_cookie_keeps_a_client_where_it_is() {
    let mut world = World::start().await;
    world.ingress("a", &[("affinity", "cookie"), ("session-cookie-name", "route")], all("a.example", "web"));
    let (one, two) = (echo("one").await, echo("two").await);
    world.service("web", &[one, two]);
    world.apply().await;
    let mut client = world.connect().await;
    let first = client.send(get("a.example", "/")).await;
    let cookie = first.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("route=") && cookie.ends_with("; Path=/; HttpOnly"), "{cookie}");
    let with_cookie = || {
        let mut request = get("a.example", "/");
        request.headers_mut().insert("cookie", cookie.split(';').next().unwrap().parse().unwrap());
        request
    };
    for _ in 0..6 {
        let reply = client.send(with_cookie()).await;
        assert_eq!(reply.from(), first.from());
        assert!(!reply.headers.contains_key("set-cookie"));
    }
    let left = if first.from() == "one" { two } else { one };
    world.service("web", &[left]);
    world.apply().await;
    let moved = client.send(with_cookie()).await;
    assert_ne!(moved.from(), first.from());
    assert!(moved.headers.contains_key("set-cookie"), "it is told where it is now");
}

#[tokio::test]
async fn a_canary_takes_its_share() {
    let mut world = World::start().await;
    world.ingress("main", &[], all("a.example", "main"));
    world.service("main", &[echo("main").await]);
    world.service("canary", &[echo("canary").await]);
    let by = |weight| [("canary", "true"), ("canary-weight", weight), ("canary-by-header", "x-canary")];
    world.ingress("canary", &by("30"), all("a.example", "canary"));
    world.apply().await;
    let counts = counted(&world, 100).await;
    assert!((28..=32).contains(&counts["canary"]), "{counts:?}");
    let mut client = world.connect().await;
    for (value, from) in [("always", "canary"), ("never", "main")] {
        let mut request = get("a.example", "/");
        request.headers_mut().insert("x-canary", value.parse().unwrap());
        let seen: BTreeSet<_> =
            [client.send(request.clone()).await.from(), client.send(request).await.from()].into();
        assert_eq!(seen, BTreeSet::from([from.to_owned()]));
    }
    world.ingress("canary", &by("100"), all("a.example", "canary"));
    world.apply().await;
    assert_eq!(counted(&world, 10).await, BTreeMap::from([("canary".to_owned(), 10)]));
    world.ingress("canary", &[], None);
    world.apply().await;
    assert_eq!(counted(&world, 10).await, BTreeMap::from([("main".to_owned(), 10)]));
}
