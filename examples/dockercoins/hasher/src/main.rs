//! Hashes: `POST /` gives the SHA-256 of the body as hexadecimal text.
//!
//! Each hash takes a tenth of a second, but many can be asked for at once.

use sha2::{Digest, Sha256};
use std::{error::Error, fmt::Write, io, sync::Arc, thread, time::Duration};
use tiny_http::{Method, Request, Response, Server};

/// What one hash costs.
const COST: Duration = Duration::from_millis(100);
/// Hashes at once.
const THREADS: usize = 32;
/// Largest body.
const MOST: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    dockercoins_common::start("hasher")?;
    let server = Server::http(dockercoins_common::listen()).map_err(|error| error.to_string())?;
    let server = Arc::new(server);
    let threads = (0..THREADS).map(|_| {
        let server = server.clone();
        thread::spawn(move || server.incoming_requests().for_each(answer))
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().map_err(|_| "a thread failed")?;
    }
    Ok(())
}

fn answer(request: Request) {
    let line = format!("{} {}", request.method(), request.url());
    match serve(request) {
        Ok(what) => println!("{line} -> {what}"),
        Err(error) => println!("{line} failed: {error}"),
    }
}

fn serve(mut request: Request) -> io::Result<String> {
    if *request.method() != Method::Post {
        let text =
            format!("HASHER {} running on {}\n", dockercoins_common::version(), dockercoins_common::host());
        request.respond(Response::from_string(text))?;
        return Ok("who I am".to_owned());
    }
    let mut body = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(request.as_reader(), MOST), &mut body)?;
    thread::sleep(COST);
    let hash = hexadecimal(&Sha256::digest(&body));
    request.respond(Response::from_string(&hash))?;
    Ok(hash)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_hexadecimal() {
        let hash = hexadecimal(&Sha256::digest(b"abc"));
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
