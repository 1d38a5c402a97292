//! Ports and connections while routes change.

use super::{
    super::PortState,
    world::{PATIENCE, World, all, echo, get},
};
use http::StatusCode;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

#[tokio::test]
async fn ports_are_taken_for_ingresses_only() {
    let mut world = World::start().await;
    let mut http = world.ports.http.clone();
    assert_eq!(*http.borrow(), PortState::Closed, "there is nothing to serve");
    world.ingress("a", &[], all("a.example", "web"));
    world.apply().await;
    let address = world.http().await;
    assert_eq!(world.get("a.example", "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.ingress("a", &[], None);
    world.apply().await;
    timeout(PATIENCE, http.wait_for(|state| *state == PortState::Closed)).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn a_taken_port_is_told_of_and_tried_again() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut world = World::start_on(other.local_addr().unwrap()).await;
    world.ingress("a", &[], all("a.example", "web"));
    world.apply().await;
    let mut http = world.ports.http.clone();
    let failed = timeout(PATIENCE, http.wait_for(|state| matches!(state, PortState::Failed(_)))).await;
    let why = format!("{:?}", *failed.unwrap().unwrap());
    assert!(
        why.contains(&format!("port {} cannot be listened on", other.local_addr().unwrap().port())),
        "{why}"
    );
    world.https().await;
    drop(other);
    assert_eq!(world.get("a.example", "/").await.status, StatusCode::SERVICE_UNAVAILABLE, "it is served now");
}

/// Requests one after the other on one connection, while everything about their route changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_and_no_connection_is_lost_when_routes_change() {
    let mut world = World::start().await;
    let (one, two) = (echo("one").await, echo("two").await);
    world.ingress("a", &[], all("a.example", "web"));
    world.service("web", &[one, two]);
    world.apply().await;
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (mut client, done, answered) = (world.connect().await, done.clone(), answered.clone());
        clients.push(tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let reply = client.try_send(get("a.example", "/")).await.expect("the connection stays");
                assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for round in 0..200 {
        world.service("web", &[if round % 2 == 0 { one } else { two }]);
        let other = format!("{round}.example");
        world.ingress("b", &[], all(&other, "web"));
        if round % 3 == 0 {
            world.ingress("a", &[("proxy-body-size", "2m")], all("a.example", "web"));
        }
        world.apply().await;
        let so_far = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < so_far + 2
            && clients.iter().all(|client| !client.is_finished())
        {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("every request was answered");
    }
    assert!(answered.load(Ordering::Relaxed) >= 400);
}
