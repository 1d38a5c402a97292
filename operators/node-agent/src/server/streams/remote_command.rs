//! Exec and attach for clients that speak WebSocket: their channels are the streams of a SPDY connection to the runtime.
//!
//! Upstream: apiserver `pkg/util/proxy/streamtranslator.go`, `k8s.io/streaming` remotecommand.

use super::{
    Socket, Upgraded,
    channels::{Codec, Said},
    spdy::{self, Connection},
};
use bytes::{Bytes, BytesMut};
use futures::{
    Sink, SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use proa_meta::{
    ApiError,
    spdy::{Error, Event, Role},
};
use proa_runtime_shim::Streams;
use serde_json::Value;
use std::{collections::BTreeMap, pin::pin, time::Duration};
use tokio::{io::AsyncWriteExt, sync::mpsc, time::timeout};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// How long the runtime may take to accept the streams.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to close after it was told to.
const GRACE: Duration = Duration::from_secs(5);
/// Most bytes of a status that are kept to be translated.
const LARGEST_STATUS: usize = 64 << 10;

/// Carries a command's streams until it ends or the client goes.
pub(super) async fn translate(socket: Socket, codec: Codec, runtime: Upgraded, streams: Streams) {
    let (connection, mut events) = spdy::start(runtime, Role::Client);
    let (mut sink, source) = socket.split();
    let opened = timeout(PATIENCE, open_streams(&connection, &mut events, streams)).await;
    let channels = match opened {
        Ok(Ok(channels)) => channels,
        Ok(Err(error)) => return refuse(sink, source, codec, &error.to_string()).await,
        Err(_) => return refuse(sink, source, codec, "the runtime does not accept streams").await,
    };
    // An empty message tells the client that it is connected.
    let first = if streams.stdout {
        STDOUT
    } else if streams.stderr {
        STDERR
    } else {
        ERROR
    };
    if sink.send(codec.write(first, &[])).await.is_err() {
        return;
    }
    let mut source = source;
    let done = {
        let input = pin!(carry_input(&mut source, codec, &connection, &channels));
        let output = pin!(carry_output(&mut events, codec, &mut sink, &channels));
        tokio::select! { () = input => false, sent = output => sent.is_ok() }
    };
    // A client that went needs no goodbye, and the runtime notices when the connection is dropped.
    if done {
        close(sink, source).await;
    }
}

/// Streams by channel.
type Channels = BTreeMap<u8, u32>;

/// Opens the streams and waits until all are accepted: what is sent earlier is lost.
async fn open_streams(
    connection: &Connection,
    events: &mut mpsc::Receiver<Event>,
    streams: Streams,
) -> Result<Channels, Error> {
    let wanted = [
        (ERROR, "error", true),
        (STDIN, "stdin", streams.stdin),
        (STDOUT, "stdout", streams.stdout),
        (STDERR, "stderr", streams.stderr),
        (RESIZE, "resize", streams.tty),
    ];
    let mut channels = Channels::new();
    for (channel, name, _) in wanted.into_iter().filter(|(_, _, wanted)| *wanted) {
        let id = connection.open(vec![("streamtype".to_owned(), name.to_owned())])?;
        channels.insert(channel, id);
    }
    let mut accepted = 0;
    while accepted < channels.len() {
        match events.recv().await {
            Some(Event::Replied { .. }) => accepted += 1,
            Some(Event::Reset { id, .. }) => return Err(Error::Closed(id)),
            Some(_) => {}
            None => return Err(Error::NoMoreStreams),
        }
    }
    Ok(channels)
}

/// From the client to the command, until the client closes.
async fn carry_input(
    source: &mut SplitStream<Socket>,
    codec: Codec,
    connection: &Connection,
    channels: &Channels,
) {
    while let Some(Ok(message)) = source.next().await {
        let (channel, data, fin) = match codec.read(message) {
            Said::Data(channel @ (STDIN | RESIZE), data) => (channel, data, false),
            Said::Close(channel @ (STDIN | RESIZE)) => (channel, Bytes::new(), true),
            Said::Data(..) | Said::Close(_) | Said::Nothing => continue,
        };
        if let Some(&id) = channels.get(&channel).filter(|_| fin || !data.is_empty()) {
            // A command that has closed its input lets the rest of it pass.
            let _ = connection.send(id, data, fin).await;
        }
    }
}

/// From the command to the client, until the runtime has said everything.
async fn carry_output(
    events: &mut mpsc::Receiver<Event>,
    codec: Codec,
    sink: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin),
    channels: &Channels,
) -> Result<(), tungstenite::Error> {
    let mut status = BytesMut::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Data { id, data, .. } if channels.get(&ERROR) == Some(&id) => {
                let room = LARGEST_STATUS.saturating_sub(status.len());
                status.extend_from_slice(&data[..data.len().min(room)]);
            }
            Event::Data { id, data, .. } if !data.is_empty() => {
                let channel = [STDOUT, STDERR].into_iter().find(|c| channels.get(c) == Some(&id));
                if let Some(channel) = channel {
                    sink.send(codec.write(channel, &data)).await?;
                }
            }
            // Everything was said before.
            Event::GoingAway { .. } => break,
            _ => {}
        }
    }
    match outcome(&status, codec) {
        Some(text) => sink.send(codec.write(ERROR, &text)).await,
        None => Ok(()),
    }
}

/// What the client is told of how the command ended.
fn outcome(status: &[u8], codec: Codec) -> Option<Bytes> {
    if status.is_empty() {
        let error = "the container runtime closed the connection before the command ended";
        return Some(failure(error, codec));
    }
    if codec.has_status {
        return Some(Bytes::copy_from_slice(status));
    }
    let status: Value = serde_json::from_slice(status).unwrap_or_default();
    let is_success = status["status"] == "Success";
    (!is_success).then(|| status["message"].as_str().unwrap_or_default().to_owned().into())
}

fn failure(why: &str, codec: Codec) -> Bytes {
    if codec.has_status {
        ApiError::internal(why).to_status().to_string().into()
    } else {
        why.to_owned().into()
    }
}

/// Tells the client that there is no command.
async fn refuse(mut sink: SplitSink<Socket, Message>, source: SplitStream<Socket>, codec: Codec, why: &str) {
    if sink.send(codec.write(ERROR, &failure(why, codec))).await.is_ok() {
        close(sink, source).await;
    }
}

/// Closes and waits for the client to do so: a connection that is closed with unread input loses what was written last.
pub(super) async fn close(sink: SplitSink<Socket, Message>, source: SplitStream<Socket>) {
    let Ok(mut socket) = sink.reunite(source) else { return };
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if socket.send(Message::Close(Some(goodbye))).await.is_err() {
        return;
    }
    let drained = async {
        while let Some(Ok(_)) = socket.next().await {}
        socket.get_mut().shutdown().await
    };
    // A client that does neither is left alone.
    let _ = timeout(GRACE, drained).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_are_told_only_of_failure() {
        let (new, old) = (Codec::of("v4.channel.k8s.io"), Codec::of("channel.k8s.io"));
        let success = br#"{"status":"Success"}"#;
        let failure = br#"{"status":"Failure","message":"exit code 3"}"#;
        assert_eq!(outcome(success, new).as_deref(), Some(&success[..]));
        assert_eq!(outcome(success, old), None);
        assert_eq!(outcome(failure, old).as_deref(), Some(&b"exit code 3"[..]));
    }

    #[test]
    fn a_lost_runtime_is_an_error() {
        let status: Value =
            serde_json::from_slice(&outcome(b"", Codec::of("v5.channel.k8s.io")).unwrap()).unwrap();
        assert_eq!((&status["status"], &status["reason"]), (&"Failure".into(), &"InternalError".into()));
    }
}
