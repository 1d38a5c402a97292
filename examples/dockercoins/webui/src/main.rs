//! The page that shows how fast coins are found, and `/json` with its numbers.

use dockercoins_common::{peer, redis::Redis};
use std::{
    error::Error,
    io,
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tiny_http::{Header, Request, Response, Server};

const PAGE: &str = include_str!("page.html");
/// Seconds between two readings of the speed.
const READING: f64 = 1.0;

fn main() -> Result<(), Box<dyn Error>> {
    dockercoins_common::start("webui")?;
    let server = Server::http(dockercoins_common::listen()).map_err(|error| error.to_string())?;
    let mut mine = Mine::default();
    for request in server.incoming_requests() {
        let line = format!("{} {}", request.method(), request.url());
        match serve(&mut mine, request) {
            Ok(code) => println!("{line} -> {code}"),
            Err(error) => println!("{line} failed: {error}"),
        }
    }
    Ok(())
}

fn serve(mine: &mut Mine, request: Request) -> io::Result<u16> {
    match request.url().split('?').next() {
        Some("/" | "/index.html") => respond(request, 200, "text/html; charset=utf-8", PAGE),
        Some("/json") => match mine.look() {
            Ok(json) => respond(request, 200, "application/json", &json),
            Err(error) => {
                respond(request, 503, "text/plain; charset=utf-8", &format!("redis: {error}\n"))?;
                Err(error)
            }
        },
        _ => respond(request, 404, "text/plain; charset=utf-8", "not found\n"),
    }
}

fn respond(request: Request, code: u16, kind: &str, body: &str) -> io::Result<u16> {
    let header =
        Header::from_bytes("Content-Type", kind).map_err(|()| io::Error::other("a broken header"))?;
    request.respond(Response::from_string(body).with_header(header).with_status_code(code))?;
    Ok(code)
}

/// The numbers in redis, and how they grew.
#[derive(Default)]
struct Mine {
    redis: Option<Redis>,
    last: Option<(Instant, i64)>,
    rate: f64,
}

impl Mine {
    fn look(&mut self) -> io::Result<String> {
        // A connection that failed is not used again.
        let mut redis = match self.redis.take() {
            Some(redis) => redis,
            None => Redis::connect(&peer("redis", 6379))?,
        };
        let coins = redis.ask(&[b"HLEN", b"wallet"])?.number();
        let hashes = redis.ask(&[b"GET", b"hashes"])?.number();
        self.redis = Some(redis);
        self.read_rate(hashes);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
        Ok(format!(r#"{{"coins":{coins},"hashes":{hashes},"now":{now:.3},"rate":{:.2}}}"#, self.rate))
    }
    fn read_rate(&mut self, hashes: i64) {
        let now = Instant::now();
        let Some((then, before)) = self.last else {
            self.last = Some((now, hashes));
            return;
        };
        let passed = now.duration_since(then).as_secs_f64();
        if passed >= READING {
            let grown = i32::try_from(hashes - before).unwrap_or(0);
            (self.rate, self.last) = (f64::from(grown) / passed, Some((now, hashes)));
        }
    }
}
