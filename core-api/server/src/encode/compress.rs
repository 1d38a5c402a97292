//! gzip for large answers, piece by piece, so that a list is never held whole because of it.
//!
//! Upstream: apiserver `pkg/endpoints/handlers/responsewriters/writers.go` (same threshold and speed).

use crate::api::{Body, Response};
use bytes::{BufMut, Bytes, BytesMut, buf::Writer};
use flate2::{Compression, write::GzEncoder};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, header};
use proa_meta::ApiError;
use std::io::Write as _;

/// Smaller answers are sent as they are.
const THRESHOLD: usize = 128 << 10;

/// Compresses an answer that is large, when the client accepts it. Not for watches.
pub(crate) fn large(response: Response, request_headers: &HeaderMap) -> Response {
    if response.body.size().is_some_and(|size| size <= THRESHOLD) || !accepts_gzip(request_headers) {
        return response;
    }
    compress(response)
}

/// Whether `Accept-Encoding` names gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    accepted.flat_map(|v| v.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.next() != Some("q=0")
    })
}

fn compress(mut response: Response) -> Response {
    response.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response.body = match response.body {
        Body::Whole(bytes) => Body::Stream(pieces(stream::iter([Ok(bytes)])).boxed()),
        Body::Chunks(chunks) => Body::Stream(pieces(stream::iter(chunks.into_iter().map(Ok))).boxed()),
        Body::Stream(stream) => Body::Stream(pieces(stream).boxed()),
        // Has no content.
        upgrade @ Body::Upgrade(_) => upgrade,
    };
    response
}

type Encoder = GzEncoder<Writer<BytesMut>>;

fn pieces(
    source: impl Stream<Item = Result<Bytes, ApiError>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    let encoder = GzEncoder::new(BytesMut::new().writer(), Compression::fast());
    stream::unfold((source, Some(encoder)), |(mut source, encoder)| async move {
        let mut encoder = encoder?;
        loop {
            match source.next().await {
                Some(Ok(bytes)) => {
                    if let Err(error) = encoder.write_all(&bytes) {
                        return Some((Err(ApiError::internal(error)), (source, None)));
                    }
                    let ready = take(&mut encoder);
                    if !ready.is_empty() {
                        return Some((Ok(ready), (source, Some(encoder))));
                    }
                }
                Some(Err(error)) => return Some((Err(error), (source, None))),
                None => return finish(encoder).map(|last| (last, (source, None))),
            }
        }
    })
}

fn take(encoder: &mut Encoder) -> Bytes {
    encoder.get_mut().get_mut().split().freeze()
}

fn finish(encoder: Encoder) -> Option<Result<Bytes, ApiError>> {
    match encoder.finish() {
        Ok(rest) => Some(Ok(rest.into_inner().freeze())),
        Err(error) => Some(Err(ApiError::internal(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond;
    use http::StatusCode;
    use std::io::Read as _;

    fn accepting(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, text.parse().unwrap())])
    }

    #[test]
    fn large_answers_are_compressed_when_accepted() {
        let text: Vec<u8> = (0..60_000).flat_map(|i: u32| i.to_string().into_bytes()).collect();
        let answer = |size: usize| respond::json(StatusCode::OK, text[..size].to_vec());
        for (response, headers, compressed) in [
            (answer(text.len()), accepting("deflate, gzip;q=0.5"), true),
            (answer(text.len()), accepting("gzip;q=0"), false),
            (answer(text.len()), HeaderMap::new(), false),
            (answer(1000), accepting("gzip"), false),
        ] {
            let response = large(response, &headers);
            assert_eq!(response.headers.contains_key(header::CONTENT_ENCODING), compressed);
            let Body::Stream(stream) = response.body else { continue };
            let pieces: Vec<_> = futures::executor::block_on(stream.collect());
            let bytes: Vec<u8> = pieces.into_iter().flat_map(Result::unwrap).collect();
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut back).unwrap();
            assert_eq!(back, text);
        }
    }
}
