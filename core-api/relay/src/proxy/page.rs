//! Pages that come through a proxy: their links lead through it, too.
//!
//! A page is held until all of it is there. One that is too long, or packed otherwise than by gzip or deflate, passes as it
//! is. Upstream: apimachinery `pkg/util/proxy/transport.go`.

use super::html;
use bytes::{Bytes, BytesMut};
use flate2::{Compression, read, write};
use futures::{StreamExt, stream};
use http::{HeaderMap, header};
use proa_server::{Body, Response};
use std::io::{self, Read, Write};

/// The longest page that is held, in bytes, packed or not.
const LONGEST: usize = 8 << 20;

#[derive(Clone, Copy)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
}

/// The response with every link as `link` gives it, if it is a page.
pub(super) async fn through(response: Response, link: impl Fn(&str) -> String) -> Response {
    let Some(coding) = page(&response.headers) else { return response };
    let Response { status, mut headers, body } = response;
    let Body::Stream(mut pieces) = body else { return Response { status, headers, body } };
    let mut held = BytesMut::new();
    while held.len() <= LONGEST {
        match pieces.next().await {
            Some(Ok(piece)) => held.extend_from_slice(&piece),
            Some(Err(error)) => {
                pieces = stream::iter([Err(error)]).boxed();
                break;
            }
            None => {
                let held = held.freeze();
                let Ok(changed) = changed(&held, coding, &link) else {
                    return Response { status, headers, body: Body::Whole(held) };
                };
                headers.remove(header::CONTENT_LENGTH);
                return Response { status, headers, body: Body::Whole(changed) };
            }
        }
    }
    let body = Body::Stream(stream::iter([Ok(held.freeze())]).chain(pieces).boxed());
    Response { status, headers, body }
}

/// How a page is packed; none if the answer is no page, or none that can be read.
fn page(headers: &HeaderMap) -> Option<Coding> {
    let text = |name| headers.get(name).map_or(Some(""), |value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE)?.split(';').next()?.trim();
    if kind != "text/html" || headers.contains_key(header::LOCATION) {
        return None;
    }
    match text(header::CONTENT_ENCODING)? {
        "" => Some(Coding::Identity),
        "gzip" => Some(Coding::Gzip),
        "deflate" => Some(Coding::Deflate),
        _ => None,
    }
}

fn changed(page: &Bytes, coding: Coding, link: &impl Fn(&str) -> String) -> io::Result<Bytes> {
    let packed = page.as_ref();
    Ok(match coding {
        Coding::Identity => html::rewrite(packed, link),
        Coding::Gzip => {
            let text = whole(read::GzDecoder::new(packed))?;
            let mut out = write::GzEncoder::new(Vec::new(), Compression::default());
            out.write_all(&html::rewrite(&text, link))?;
            out.finish()?
        }
        Coding::Deflate => {
            let text = whole(read::DeflateDecoder::new(packed))?;
            let mut out = write::DeflateEncoder::new(Vec::new(), Compression::default());
            out.write_all(&html::rewrite(&text, link))?;
            out.finish()?
        }
    }
    .into())
}

fn whole(packed: impl Read) -> io::Result<Vec<u8>> {
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    packed.take(most + 1).read_to_end(&mut text)?;
    if text.len() > LONGEST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue, StatusCode};
    use proa_meta::{ApiError, Reason};

    fn response(headers: &[(HeaderName, &'static str)], pieces: Vec<Result<Bytes, ApiError>>) -> Response {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        Response {
            status: StatusCode::OK,
            headers: headers.collect(),
            body: Body::Stream(stream::iter(pieces).boxed()),
        }
    }

    /// The body after a rewrite, and whether it still came piece by piece.
    async fn answered(response: Response) -> (Vec<Result<Bytes, ApiError>>, bool) {
        match through(response, |link| format!("/p{link}")).await.body {
            Body::Whole(bytes) => (vec![Ok(bytes)], false),
            Body::Stream(stream) => (stream.collect().await, true),
            other => panic!("{other:?}"),
        }
    }

    const PAGE: &[u8] = b"<a href=\"/x\">";
    const CHANGED: &[u8] = b"<a href=\"/p/x\">";

    #[tokio::test]
    async fn pages_are_rewritten_packed_or_not() {
        let html = (header::CONTENT_TYPE, "text/html; charset=utf-8");
        let pieces = || vec![Ok(Bytes::from_static(&PAGE[..5])), Ok(Bytes::from_static(&PAGE[5..]))];
        let (body, _) = answered(response(&[html.clone(), (header::CONTENT_LENGTH, "13")], pieces())).await;
        assert_eq!(body[0].as_ref().unwrap(), CHANGED);
        for coding in ["gzip", "deflate"] {
            let mut gzip = write::GzEncoder::new(Vec::new(), Compression::default());
            let mut deflate = write::DeflateEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(PAGE).unwrap();
            deflate.write_all(PAGE).unwrap();
            let packed = if coding == "gzip" { gzip.finish() } else { deflate.finish() }.unwrap();
            let asked =
                response(&[html.clone(), (header::CONTENT_ENCODING, coding)], vec![Ok(packed.into())]);
            let (body, _) = answered(asked).await;
            let body = body[0].as_ref().unwrap();
            let text = if coding == "gzip" {
                whole(read::GzDecoder::new(&body[..]))
            } else {
                whole(read::DeflateDecoder::new(&body[..]))
            };
            assert_eq!(text.unwrap(), CHANGED, "{coding}");
        }
    }

    #[tokio::test]
    async fn all_else_passes_as_it_is() {
        let html = (header::CONTENT_TYPE, "text/html");
        let page = || vec![Ok(Bytes::from_static(PAGE))];
        for headers in [
            vec![],
            vec![(header::CONTENT_TYPE, "text/plain")],
            vec![html.clone(), (header::CONTENT_ENCODING, "br")],
            vec![html.clone(), (header::CONTENT_ENCODING, "gzip")],
            vec![html.clone(), (header::LOCATION, "/")],
        ] {
            let (body, _) = answered(response(&headers, page())).await;
            assert_eq!(body[0].as_ref().unwrap(), PAGE, "{headers:?}");
        }
        let broken = vec![Ok(Bytes::from_static(PAGE)), Err(ApiError::new(Reason::Unknown, "reset"))];
        let (body, streamed) = answered(response(std::slice::from_ref(&html), broken)).await;
        assert!(streamed && body[0].as_ref().unwrap() == PAGE && body[1].is_err());
        let long = Bytes::from(vec![b'<'; LONGEST + 1]);
        let (body, streamed) = answered(response(&[html], vec![Ok(long.clone()), Ok(long.clone())])).await;
        assert!(
            streamed
                && body.len() == 2
                && body.iter().all(|piece| piece.as_ref().is_ok_and(|piece| *piece == long))
        );
    }
}
