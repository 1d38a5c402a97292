//! What a webhook's HTTP answer is worth: a body, or an error in the words of Go's client.
//!
//! Upstream: client-go `rest/request.go`, apimachinery `pkg/api/errors/errors.go` `NewGenericServerResponse`.

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Largest answer: three times the largest request, since a patch comes in base64.
const LARGEST: usize = 9 << 20;
/// Bytes of an error's body that are shown.
const SHOWN: usize = 2048;

/// Reads the whole answer.
pub(super) async fn read(response: Response<Incoming>) -> Result<Bytes, String> {
    let (parts, mut body) = response.into_parts();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        whole.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
        if whole.len() > LARGEST {
            return Err(format!("the answer has more than {LARGEST} bytes"));
        }
    }
    let is_success = (200..=206).contains(&parts.status.as_u16());
    if is_success { Ok(whole.freeze()) } else { Err(refusal(parts.status, &whole)) }
}

fn refusal(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let text = text.trim();
    match status.as_u16() {
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 => text.to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => "the server was unable to return a response in the time allotted, but may still be processing the \
                request"
            .to_owned(),
        500..=599 => format!("an error on the server ({text:?}) has prevented the request from succeeding"),
        400 => "the server rejected our request for an unknown reason".to_owned(),
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_in_gos_words() {
        for (status, want) in [
            (500, "an error on the server (\"broken\") has prevented the request from succeeding"),
            (404, "the server could not find the requested resource"),
            (403, "broken"),
            (301, "the server responded with the status code 301 but did not return more information"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(refusal(status, b"broken\n"), want);
        }
    }
}
