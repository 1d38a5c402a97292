use super::{frame::Setting, *};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What `from` has to say, heard by `to`.
fn carry(from: &mut Session, to: &mut Session) -> Result<Vec<Event>, Error> {
    let mut wire = from.output();
    let mut events = Vec::new();
    while let Some(event) = to.receive(&mut wire)? {
        events.push(event);
    }
    assert!(wire.is_empty(), "whole frames were sent");
    Ok(events)
}

fn pair(flow: FlowControl) -> (Session, Session) {
    (Session::new(Role::Client, flow), Session::new(Role::Server, flow))
}

fn open(client: &mut Session, server: &mut Session) -> u32 {
    let id = client.open(headers(&[("streamtype", "stdin")]), false).unwrap();
    let opened = Event::Opened { id, headers: headers(&[("streamtype", "stdin")]), fin: false };
    assert_eq!(carry(client, server), Ok(vec![opened]));
    server.reply(id, Headers::new(), false).unwrap();
    assert_eq!(carry(server, client), Ok(vec![Event::Replied { id, headers: vec![], fin: false }]));
    id
}

#[test]
fn a_stream_lives_and_ends() {
    let (mut client, mut server) = pair(FlowControl::Off);
    let id = open(&mut client, &mut server);
    assert_eq!(id, 1);
    client.send(id, &mut Bytes::from_static(b"in"), true).unwrap();
    let data = Event::Data { id, data: Bytes::from_static(b"in"), fin: true };
    assert_eq!(carry(&mut client, &mut server), Ok(vec![data]));
    assert_eq!(client.send(id, &mut Bytes::new(), true), Err(Error::Closed(1)));
    server.send(id, &mut Bytes::from_static(b"out"), true).unwrap();
    let data = Event::Data { id, data: Bytes::from_static(b"out"), fin: true };
    assert_eq!(carry(&mut server, &mut client), Ok(vec![data]));
    assert_eq!((client.streams(), server.streams()), (0, 0));
    assert_eq!(client.open(Headers::new(), false), Ok(3));
    assert_eq!(server.open(Headers::new(), false), Ok(2));
}

#[test]
fn an_end_needs_no_data() {
    let (mut client, mut server) = pair(FlowControl::On);
    let id = open(&mut client, &mut server);
    client.send(id, &mut Bytes::new(), true).unwrap();
    let end = Event::Data { id, data: Bytes::new(), fin: true };
    assert_eq!(carry(&mut client, &mut server), Ok(vec![end]));
}

#[test]
fn a_reset_ends_both_halves_and_late_data_is_dropped() {
    let (mut client, mut server) = pair(FlowControl::Off);
    let id = open(&mut client, &mut server);
    client.send(id, &mut Bytes::from_static(b"late"), false).unwrap();
    server.reset(id, reset::CANCEL);
    assert_eq!(carry(&mut client, &mut server), Ok(vec![]));
    assert_eq!(carry(&mut server, &mut client), Ok(vec![Event::Reset { id, status: reset::CANCEL }]));
    assert_eq!(client.send(id, &mut Bytes::new(), false), Err(Error::Closed(id)));
}

#[test]
fn pings_are_answered_and_going_away_stops_new_streams() {
    let (mut client, mut server) = pair(FlowControl::Off);
    let ping = client.ping();
    assert_eq!(carry(&mut client, &mut server), Ok(vec![]));
    assert_eq!(carry(&mut server, &mut client), Ok(vec![Event::Pong(ping)]));
    server.go_away(0);
    assert_eq!(carry(&mut server, &mut client), Ok(vec![Event::GoingAway { last: 0, status: 0 }]));
    assert_eq!(client.open(Headers::new(), false), Err(Error::NoMoreStreams));
}

#[test]
fn a_header_with_several_values_keeps_them() {
    let (mut client, mut server) = pair(FlowControl::Off);
    let sent = headers(&[("a", "1"), ("a", "2"), ("b", "")]);
    client.open(sent.clone(), true).unwrap();
    let opened = Event::Opened { id: 1, headers: sent, fin: true };
    assert_eq!(carry(&mut client, &mut server), Ok(vec![opened]));
}

#[test]
fn nothing_is_sent_beyond_the_window() {
    let (mut client, mut server) = pair(FlowControl::On);
    let id = open(&mut client, &mut server);
    let mut data = Bytes::from(vec![7; 200_000]);
    let (mut received, mut rounds) = (0, 0);
    while received < 200_000 {
        client.send(id, &mut data, true).unwrap();
        for event in carry(&mut client, &mut server).unwrap() {
            let Event::Data { data, .. } = event else { panic!("{event:?}") };
            received += data.len();
            server.consumed(id, data.len());
        }
        assert!(received <= (rounds + 1) << 16);
        rounds += 1;
        let events = carry(&mut server, &mut client).unwrap();
        assert!(events.iter().all(|e| matches!(e, Event::Writable(_))), "{events:?}");
    }
    assert!(rounds > 1 && data.is_empty());
}

#[test]
fn a_peer_that_ignores_the_window_is_cut_off() {
    let mut client = Session::new(Role::Client, FlowControl::Off);
    let mut server = Session::new(Role::Server, FlowControl::On);
    let id = open(&mut client, &mut server);
    client.send(id, &mut Bytes::from(vec![0; 100_000]), false).unwrap();
    let outcome = carry(&mut client, &mut server);
    assert_eq!(outcome, Err(Error::FlowControl));
}

#[test]
fn a_smaller_initial_window_holds_the_sender_back() {
    let (mut client, mut server) = pair(FlowControl::On);
    let id = open(&mut client, &mut server);
    let mut wire = BytesMut::new();
    let smaller = Setting { flags: 0, id: 7, value: 10 };
    Encoder::default().encode(&Frame::Settings(vec![smaller]), &mut wire);
    assert_eq!(client.receive(&mut wire), Ok(Some(Event::Writable(0))));
    let mut data = Bytes::from_static(b"0123456789abcdef");
    client.send(id, &mut data, true).unwrap();
    assert_eq!(data, "abcdef");
    assert_eq!(carry(&mut client, &mut server).unwrap().len(), 1);
}

#[test]
fn a_flood_of_pings_that_are_not_read_ends() {
    let mut server = Session::new(Role::Server, FlowControl::Off);
    let mut wire = BytesMut::new();
    for _ in 0..100_000 {
        Encoder::default_ping(&mut wire);
    }
    assert_eq!(server.receive(&mut wire), Err(Error::Unread));
    assert!(server.unsent() <= MAX_UNSENT_REPLIES + 64);
}

impl Encoder {
    /// A ping without a compressor of its own each time.
    fn default_ping(out: &mut BytesMut) {
        out.extend_from_slice(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
    }
}

#[test]
fn streams_of_the_wrong_side_or_out_of_order_are_refused() {
    let mut encoder = Encoder::default();
    for ids in [&[2][..], &[3, 1], &[1, 1]] {
        let mut server = Session::new(Role::Server, FlowControl::Off);
        let mut encoder_of_peer = Encoder::default();
        let mut wire = BytesMut::new();
        for &id in ids {
            let frame = Frame::SynStream {
                id,
                associated: 0,
                priority: 0,
                fin: false,
                unidirectional: false,
                headers: vec![],
            };
            encoder_of_peer.encode(&frame, &mut wire);
        }
        let outcome = std::iter::from_fn(|| server.receive(&mut wire).transpose()).last();
        assert_eq!(outcome, Some(Err(Error::StreamId(*ids.last().unwrap()))));
    }
    let mut wire = BytesMut::new();
    encoder.encode(&Frame::Data { id: 9, fin: false, data: Bytes::from_static(b"x") }, &mut wire);
    let mut server = Session::new(Role::Server, FlowControl::Off);
    assert_eq!(server.receive(&mut wire), Err(Error::StreamId(9)));
}

#[test]
fn a_large_frame_arrives_in_pieces() {
    let mut wire = BytesMut::new();
    let data = Bytes::from(vec![1; 1 << 20]);
    Encoder::default().encode(&Frame::Data { id: 1, fin: true, data }, &mut wire);
    let mut decoder = Decoder::default();
    let mut first = wire.split_to(1000);
    let Ok(Some(Frame::Data { fin: false, data, .. })) = decoder.decode(&mut first) else { panic!() };
    assert_eq!(data.len(), 992);
    assert_eq!(decoder.decode(&mut first), Ok(None));
    let Ok(Some(Frame::Data { fin: true, data, .. })) = decoder.decode(&mut wire) else { panic!() };
    assert_eq!(data.len(), (1 << 20) - 992);
}

#[test]
fn what_is_no_spdy_is_refused() {
    for (bytes, error) in [
        (&b"\x80\x02\0\x01\0\0\0\0"[..], Error::Version(2)),
        (b"HTTP/1.1 200 OK\r\n", Error::Malformed("")),
        (b"\0\0\0\0\0\0\0\0", Error::StreamId(0)),
        (b"\x80\x03\0\x01\0\xff\xff\xff", Error::FrameTooLarge(0xff_ffff)),
        (b"\x80\x03\0\x03\0\0\0\x04\0\0\0\x01", Error::Malformed("RST_STREAM")),
        (b"\x80\x03\0\x04\0\0\0\x04\0\0\0\x01", Error::Malformed("SETTINGS")),
        (b"\x80\x03\0\x02\0\0\0\x02\0\0", Error::Malformed("SYN_REPLY")),
    ] {
        let outcome = Decoder::default().decode(&mut BytesMut::from(bytes));
        // Text looks like a data frame of a stream with a large id: the session knows no such stream.
        if bytes.starts_with(b"HTTP") {
            let mut session = Session::new(Role::Client, FlowControl::Off);
            assert!(session.receive(&mut BytesMut::from(bytes)).is_err());
        } else {
            assert_eq!(outcome, Err(error));
        }
    }
}

fn any_headers() -> impl Strategy<Value = Headers> {
    let pair = ("[a-z][a-z0-9-]{0,12}", "[ -~]{0,40}");
    // Values of one name come back together.
    prop::collection::btree_map(pair.0, pair.1, 0..6).prop_map(|map| map.into_iter().collect())
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let id = 1u32..0x7fff_ffff;
    prop_oneof![
        (id.clone(), 0u32..9, 0u8..8, any::<[bool; 2]>(), any_headers()).prop_map(
            |(id, associated, priority, [fin, unidirectional], headers)| Frame::SynStream {
                id,
                associated,
                priority,
                fin,
                unidirectional,
                headers
            }
        ),
        (id.clone(), any::<bool>(), any_headers()).prop_map(|(id, fin, headers)| Frame::SynReply {
            id,
            fin,
            headers
        }),
        (id.clone(), any::<bool>(), any_headers()).prop_map(|(id, fin, headers)| Frame::Headers {
            id,
            fin,
            headers
        }),
        (id.clone(), any::<u32>()).prop_map(|(id, status)| Frame::Reset { id, status }),
        (id.clone(), any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (id.clone(), id.clone()).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
        any::<u32>().prop_map(Frame::Ping),
        prop::collection::vec((any::<u8>(), 0u32..0xff_ffff, any::<u32>()), 0..4).prop_map(|all| {
            Frame::Settings(all.into_iter().map(|(flags, id, value)| Setting { flags, id, value }).collect())
        }),
        (id, any::<bool>(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(id, fin, data)| Frame::Data { id, fin, data: data.into() }),
    ]
}

/// Frames in `bytes` as they come in pieces of `sizes`, pieces of data joined.
fn decode_in_pieces(bytes: &[u8], sizes: &[usize]) -> Result<Vec<Frame>, Error> {
    let (mut decoder, mut input, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = bytes;
    let mut open: Option<BytesMut> = None;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        rest = later;
        input.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut input)? {
            match (frame, open.take()) {
                (Frame::Data { id, fin, data }, Some(mut before)) => {
                    before.extend_from_slice(&data);
                    frames.pop();
                    frames.push(Frame::Data { id, fin, data: before.clone().freeze() });
                    open = Some(before);
                }
                (Frame::Data { id, fin, data }, None) => {
                    open = Some(BytesMut::from(&data[..]));
                    frames.push(Frame::Data { id, fin, data });
                }
                (frame, _) => frames.push(frame),
            }
        }
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn frames_come_back_however_they_are_cut(
        frames in prop::collection::vec(any_frame(), 1..8),
        sizes in prop::collection::vec(1usize..200, 1..8),
    ) {
        // A ping between keeps neighbouring data frames apart, which otherwise look like pieces of one.
        let frames: Vec<_> = frames.into_iter().flat_map(|frame| [frame, Frame::Ping(4)]).collect();
        let (mut encoder, mut wire) = (Encoder::default(), BytesMut::new());
        frames.iter().for_each(|frame| encoder.encode(frame, &mut wire));
        prop_assert_eq!(decode_in_pieces(&wire, &sizes), Ok(frames));
    }

    #[test]
    fn bytes_at_random_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        for (role, flow) in [(Role::Client, FlowControl::Off), (Role::Server, FlowControl::On)] {
            let mut session = Session::new(role, flow);
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = session.receive(&mut input) {}
        }
    }

    #[test]
    fn a_broken_conversation_breaks_nothing(
        frames in prop::collection::vec(any_frame(), 1..8),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (mut encoder, mut wire) = (Encoder::default(), BytesMut::new());
        frames.iter().for_each(|frame| encoder.encode(frame, &mut wire));
        for (at, bits) in flips {
            let at = at.index(wire.len());
            wire[at] ^= bits;
        }
        for (role, flow) in [(Role::Client, FlowControl::On), (Role::Server, FlowControl::Off)] {
            let mut session = Session::new(role, flow);
            let mut input = wire.clone();
            while let Ok(Some(event)) = session.receive(&mut input) {
                if let Event::Opened { id, .. } = event {
                    let _ = session.reply(id, Headers::new(), false);
                }
            }
        }
    }
}
