//! Port-forward for clients that speak WebSocket: a tunnel for SPDY, or the older channels, two for each port.
//!
//! Upstream: `k8s.io/streaming` portforward, apiserver `pkg/util/proxy/streamtunnel.go`.

use super::{
    Socket, Upgraded,
    channels::{Codec, Said},
    remote_command::close,
    spdy::{self, Connection},
};
use bytes::{Bytes, BytesMut};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use proa_meta::spdy::{Error, Event, Role};
use std::pin::pin;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    sync::{mpsc, watch},
};
use tokio_tungstenite::tungstenite::{self, Message};

const PIECE: usize = 32 << 10;

/// The ports that a query names.
pub(super) fn wanted_ports(query: &[(String, String)]) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for (_, text) in query.iter().filter(|(name, _)| name == "port") {
        for port in text.split(',') {
            match port.parse::<u16>() {
                Ok(0) => return Err(format!("port {text:?} must be > 0")),
                Ok(port) => ports.push(port),
                Err(error) => return Err(format!("unable to parse {text:?} as a port: {error}")),
            }
        }
    }
    if ports.is_empty() { Err("query parameter \"port\" is required".to_owned()) } else { Ok(ports) }
}

/// Carries a client's SPDY, which comes in binary messages.
pub(super) async fn tunnel(socket: Socket, runtime: Upgraded) {
    let (mut sink, mut source) = socket.split();
    let (mut reader, mut writer) = split(runtime);
    let done = {
        let there = pin!(async {
            while let Some(Ok(message)) = source.next().await {
                if let Message::Binary(data) = message {
                    writer.write_all(&data).await?;
                    writer.flush().await?;
                }
            }
            writer.shutdown().await
        });
        let back = pin!(async {
            let mut piece = BytesMut::new();
            loop {
                piece.reserve(PIECE);
                if reader.read_buf(&mut piece).await? == 0 {
                    return Ok::<_, tungstenite::Error>(());
                }
                sink.send(Message::Binary(piece.split().freeze())).await?;
            }
        });
        tokio::select! { _ = there => false, ended = back => ended.is_ok_and(|()| true) }
    };
    if done {
        close(sink, source).await;
    }
}

/// The streams of one port, and the channels that they are to the client.
struct Port {
    data: u32,
    error: u32,
    /// The data channel; the error channel is the next one.
    channel: u8,
    done: bool,
}

/// Carries the connections to `ports`, one each.
pub(super) async fn translate(socket: Socket, codec: Codec, runtime: Upgraded, ports: Vec<u16>) {
    let (connection, mut events) = spdy::start(runtime, Role::Client);
    let (mut sink, mut source) = socket.split();
    let Ok(mut forwards) = open_streams(&connection, &ports) else {
        return close(sink, source).await;
    };
    // Each channel starts with the number of its port.
    for (forward, port) in forwards.iter().zip(&ports) {
        for channel in [forward.channel, forward.channel + 1] {
            if sink.send(codec.write(channel, &port.to_le_bytes())).await.is_err() {
                return;
            }
        }
    }
    let streams: Vec<_> = forwards.iter().map(|f| (f.channel, f.data, f.error)).collect();
    let (accept, accepted) = watch::channel(false);
    let done = {
        let input = pin!(carry_input(&mut source, codec, &connection, &streams, accepted));
        let output = pin!(carry_output(&mut events, codec, &mut sink, &mut forwards, &accept));
        tokio::select! { () = input => false, sent = output => sent.is_ok() }
    };
    if done {
        close(sink, source).await;
    }
}

/// Opens both streams of each port.
fn open_streams(connection: &Connection, ports: &[u16]) -> Result<Vec<Port>, Error> {
    let mut forwards = Vec::new();
    for (number, port) in ports.iter().enumerate() {
        let channel = u8::try_from(2 * number).ok().filter(|c| *c < 254).ok_or(Error::NoMoreStreams)?;
        let headers = |kind: &str| {
            let request = number.to_string();
            let pairs = [("streamtype", kind.to_owned()), ("port", port.to_string()), ("requestid", request)];
            pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
        };
        let error = connection.open(headers("error"))?;
        let data = connection.open(headers("data"))?;
        forwards.push(Port { data, error, channel, done: false });
    }
    Ok(forwards)
}

/// From the client to the ports, once all streams are accepted: what is sent earlier is lost.
async fn carry_input(
    source: &mut SplitStream<Socket>,
    codec: Codec,
    connection: &Connection,
    streams: &[(u8, u32, u32)],
    mut accepted: watch::Receiver<bool>,
) {
    if accepted.wait_for(|all| *all).await.is_err() {
        return;
    }
    for (_, _, error) in streams {
        // Nothing is sent on it.
        let _ = connection.send(*error, Bytes::new(), true).await;
    }
    while let Some(Ok(message)) = source.next().await {
        if let Said::Data(channel, data) = codec.read(message)
            && let Some((_, id, _)) = streams.iter().find(|(c, ..)| *c == channel)
        {
            // A port that has closed lets the rest pass.
            let _ = connection.send(*id, data, false).await;
        }
    }
}

/// From the ports to the client, until all ports have closed.
async fn carry_output(
    events: &mut mpsc::Receiver<Event>,
    codec: Codec,
    sink: &mut SplitSink<Socket, Message>,
    forwards: &mut [Port],
    accept: &watch::Sender<bool>,
) -> Result<(), tungstenite::Error> {
    let mut waiting = 2 * forwards.len();
    while !forwards.iter().all(|f| f.done) {
        let (id, data, ends) = match events.recv().await {
            Some(Event::Data { id, data, fin }) => (id, data, fin),
            Some(Event::Reset { id, .. }) => (id, Bytes::new(), true),
            Some(Event::Replied { .. }) => {
                waiting -= 1;
                accept.send_replace(waiting == 0);
                continue;
            }
            Some(Event::GoingAway { .. }) | None => return Ok(()),
            Some(_) => continue,
        };
        let Some(forward) = forwards.iter_mut().find(|f| f.data == id || f.error == id) else { continue };
        let channel = if forward.data == id { forward.channel } else { forward.channel + 1 };
        // The error stream ends when the port has said everything.
        forward.done |= ends && forward.error == id;
        if !data.is_empty() {
            sink.send(codec.write(channel, &data)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_checked() {
        let ports = |texts: &[&str]| {
            let query: Vec<_> = texts.iter().map(|t| ("port".to_owned(), (*t).to_owned())).collect();
            wanted_ports(&query)
        };
        assert_eq!(ports(&["80,443", "8080"]), Ok(vec![80, 443, 8080]));
        assert_eq!(ports(&[]).unwrap_err(), "query parameter \"port\" is required");
        assert!(ports(&["0"]).is_err() && ports(&["65536"]).is_err() && ports(&[""]).is_err());
    }
}
