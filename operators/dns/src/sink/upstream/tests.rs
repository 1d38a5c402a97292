//! Against name servers of the test's own on loopback.

use super::*;
use hickory_server::proto::{
    op::MessageType,
    rr::{DNSClass, RData, RecordType, rdata::A},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

fn asked(name: &str) -> Asked {
    let name = Name::from_ascii(name).unwrap();
    let question = Question {
        name: (&name).into(),
        kind: RecordType::A,
        class: DNSClass::IN,
        signed: false,
        unchecked: false,
    };
    Asked { question, name, recursion: true }
}

fn reply_to(packet: &[u8], change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::from_vec(packet).unwrap();
    message.metadata.message_type = MessageType::Response;
    change(&mut message);
    message.to_vec().unwrap()
}

fn add(message: &mut Message, last: u8) {
    let name = message.queries[0].name().clone();
    message.add_answer(Record::from_rdata(name, 300, RData::A(A::new(192, 0, 2, last))));
}

fn addresses(reply: &Reply) -> Vec<String> {
    reply.answers.iter().map(|record| record.data.to_string()).collect()
}

/// The servers, named by a file, with what serves them.
struct Outside {
    upstreams: Upstreams,
    _folder: tempfile::TempDir,
    _servers: JoinSet<()>,
}

fn outside(servers: &[SocketAddr], serving: JoinSet<()>) -> Outside {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    Outside { upstreams: Upstreams::new(file, Vec::new()), _folder: folder, _servers: serving }
}

#[tokio::test]
async fn replies_to_other_questions_are_ignored_and_the_right_one_is_kept() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut serving = JoinSet::new();
    // It answers one query only: the second answer is a kept one.
    serving.spawn(async move {
        let mut buffer = [0; 512];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let packet = &buffer[..length];
        let forged = reply_to(packet, |message| {
            message.metadata.id = message.metadata.id.wrapping_add(1);
            add(message, 66);
        });
        let right = reply_to(packet, |message| add(message, 1));
        for reply in [&[0, 1, 2][..], &forged, &right] {
            socket.send_to(reply, client).await.unwrap();
        }
    });
    let outside = outside(&[address], serving);
    for _ in 0..2 {
        let reply = outside.upstreams.resolve(&asked("www.example.com.")).await;
        assert_eq!((reply.code, addresses(&reply)), (ResponseCode::NoError, vec!["192.0.2.1".to_owned()]));
    }
}

#[tokio::test]
async fn a_cut_reply_is_asked_for_again_by_tcp() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut buffer = [0; 512];
        let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
        let cut = reply_to(&buffer[..length], |message| message.metadata.truncation = true);
        udp.send_to(&cut, client).await.unwrap();
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut packet = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut packet).await.unwrap();
        let whole = reply_to(&packet, |message| (0..200).for_each(|last| add(message, last)));
        stream.write_u16(u16::try_from(whole.len()).unwrap()).await.unwrap();
        stream.write_all(&whole).await.unwrap();
    });
    let outside = outside(&[address], serving);
    assert_eq!(outside.upstreams.resolve(&asked("big.example.com.")).await.answers.len(), 200);
}

#[tokio::test]
async fn servers_that_fail_or_are_silent_give_way_to_the_next() {
    // Nobody listens on the first address; the second never answers; the third refuses; the last knows.
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (refuses, knows) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let known = knows.local_addr().unwrap();
    let order = [closed, silent.local_addr().unwrap(), refuses.local_addr().unwrap(), known];
    let mut serving = JoinSet::new();
    for (socket, code) in [(refuses, ResponseCode::Refused), (knows, ResponseCode::NXDomain)] {
        serving.spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let reply = reply_to(&buffer[..length], |message| message.metadata.response_code = code);
                socket.send_to(&reply, client).await.unwrap();
            }
        });
    }
    let (server, message) = race(&order, &asked("no.example.com.")).await.unwrap();
    assert_eq!((server, message.metadata.response_code), (known, ResponseCode::NXDomain));
    let (_, refusal) = race(&order[2..3], &asked("no.example.com.")).await.unwrap();
    assert_eq!(refusal.metadata.response_code, ResponseCode::Refused);
    drop((silent, serving));
}

#[tokio::test]
async fn without_servers_a_query_fails() {
    let outside = outside(&[], JoinSet::new());
    assert_eq!(outside.upstreams.resolve(&asked("www.example.com.")).await.code, ResponseCode::ServFail);
}
