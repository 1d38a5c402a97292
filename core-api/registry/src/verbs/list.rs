//! `list`: a page of a snapshot. Pages of one list come from one revision.
//!
//! A continue token names the revision and the last key; the page behind it is cut from the snapshot at that
//! revision, which is the present one with later events undone. When those events are gone, or the list began too long
//! ago, the answer is 410 with a token that continues inconsistently from the present.
//! Upstream: apiserver `pkg/storage/continue.go`, KEP-365.

use crate::{
    entry::Entry,
    registry::Registry,
    request::{List, ListOptions, Target, VersionMatch},
    selection::Selected,
    state::Snapshot,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proa_meta::{ApiError, ApiResult, Reason};
use proa_store::Revision;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a continue token says, before base64.
#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
    /// When the list began, in seconds since 1970.
    #[serde(default)]
    begun: i64,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";
/// Revision of a token that continues from the present.
const INCONSISTENT: i64 = -1;
/// Seconds that a list may take: upstream's etcd keeps old revisions for at least as long.
const LIST_SECONDS: i64 = 300;
/// A webhook is asked about at least so many objects at once, while there are so many.
const CONVERTED_AT_ONCE: usize = 100;

impl Registry {
    /// One page.
    ///
    /// # Errors
    /// 400 for options that do not fit together, 410 for a revision or token that is too old, 504 for a revision that is not
    /// reached.
    pub async fn list(&self, target: &Target, options: &ListOptions) -> ApiResult<List> {
        let selected = Selected::new(target, &options.selection)?;
        let token = options.continue_token.as_deref().map(decode_token).transpose()?;
        let (snapshot, revision) = self.snapshot_for(target, options, token.as_ref()).await?;
        // Who goes on from the present begins anew.
        let begun = token
            .as_ref()
            .filter(|t| t.rv != INCONSISTENT)
            .map_or_else(|| self.now().as_second(), |t| t.begun);
        let start = token.map_or_else(String::new, |t| format!("{}{}", selected.prefix(), t.start));
        let mut list = match self.selected_after_conversion(target, &selected) {
            Some(wide) => {
                self.converted_page(target, &snapshot, revision, (&selected, &wide), start, options).await?
            }
            None => page(&snapshot, revision, &selected, &start, options),
        };
        list.continue_token = list.continue_token.map(|start| {
            let rv = i64::try_from(revision.0).unwrap_or(i64::MAX);
            encode_token(&Token { v: TOKEN_VERSION.to_owned(), rv, start, begun })
        });
        if !options.metadata_only {
            list.items = self.in_version(&target.kind, list.items).await?;
        }
        Ok(list)
    }

    /// A page of objects that are selected by fields of a version in which they may not be stored.
    async fn converted_page(
        &self,
        target: &Target,
        snapshot: &Snapshot,
        revision: Revision,
        (selected, wide): (&Selected, &Selected),
        mut start: String,
        options: &ListOptions,
    ) -> ApiResult<List> {
        let mut items = Vec::new();
        loop {
            let limit = match options.limit {
                0 => 0,
                limit => (limit - items.len()).max(CONVERTED_AT_ONCE),
            };
            let part = page(snapshot, revision, wide, &start, &ListOptions { limit, ..options.clone() });
            let mut converted = self.in_version(&target.kind, part.items).await?.into_iter();
            let mut continue_token = part.continue_token;
            while let Some(entry) = converted.next() {
                if selected.matches(&entry) {
                    items.push(entry);
                }
                if items.len() == options.limit && options.limit > 0 {
                    // The page ends with the last object that it shows.
                    let more = converted.len() > 0 || continue_token.is_some();
                    continue_token = more.then(|| continue_after(items.last(), selected.prefix()));
                    return Ok(List {
                        revision,
                        items,
                        continue_token,
                        remaining: None,
                        warnings: Vec::new(),
                    });
                }
            }
            match continue_token {
                Some(next) => start = format!("{}{next}", selected.prefix()),
                None => {
                    return Ok(List {
                        revision,
                        items,
                        continue_token,
                        remaining: None,
                        warnings: Vec::new(),
                    });
                }
            }
        }
    }

    async fn snapshot_for(
        &self,
        target: &Target,
        options: &ListOptions,
        token: Option<&Token>,
    ) -> ApiResult<(Arc<Snapshot>, Revision)> {
        let state = &target.kind.state;
        let present = || {
            // The revision is read first: the snapshot then holds everything up to it.
            let revision = self.revision();
            let snapshot = state.snapshot();
            let revision = revision.max(snapshot.revision());
            (snapshot, revision)
        };
        if let Some(token) = token {
            let Ok(revision) = u64::try_from(token.rv) else { return Ok(present()) };
            let revision = Revision(revision);
            if self.now().as_second().saturating_sub(token.begun) > LIST_SECONDS {
                return Err(expired_token(token));
            }
            let snapshot = state.snapshot_at(revision).map_err(|_| expired_token(token))?;
            return Ok((snapshot, revision));
        }
        match (options.resource_version, options.version_match) {
            (None, _) => {
                self.barrier().await?;
                Ok(present())
            }
            (Some(revision), Some(VersionMatch::Exact)) => {
                self.not_older_than(revision).await?;
                let snapshot = state.snapshot_at(revision).map_err(|_| {
                    ApiError::expired("The resourceVersion for the provided list is too old.")
                })?;
                Ok((snapshot, revision))
            }
            (Some(revision), _) => {
                self.not_older_than(revision).await?;
                Ok(present())
            }
        }
    }
}

fn page(
    snapshot: &Snapshot,
    revision: Revision,
    selected: &Selected,
    start: &str,
    options: &ListOptions,
) -> List {
    let mut range = snapshot.range(selected.prefix(), start);
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    let mut items: Vec<Arc<Entry>> = Vec::new();
    let mut more = false;
    for entry in range.by_ref() {
        if selected.matches(entry) {
            if items.len() == limit {
                more = true;
                break;
            }
            items.push(entry.clone());
        }
    }
    let continue_token = more.then(|| continue_after(items.last(), selected.prefix()));
    // Counting would need a scan through selectors; upstream leaves it out then, too.
    let remaining =
        (more && selected.is_everything()).then(|| i64::try_from(range.count() + 1).unwrap_or(i64::MAX));
    List { revision, items, continue_token, remaining, warnings: Vec::new() }
}

/// The smallest key behind the last one.
fn continue_after(last: Option<&Arc<Entry>>, prefix: &str) -> String {
    let key = last.map_or("", |e| e.key.strip_prefix(prefix).unwrap_or(&e.key));
    format!("{key}\0")
}

fn encode_token(token: &Token) -> String {
    let json = serde_json::to_vec(token).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(json)
}

fn decode_token(text: &str) -> ApiResult<Token> {
    let invalid = |why: &str| ApiError::bad_request(format!("continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|e| invalid(&e.to_string()))?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|e| invalid(&e.to_string()))?;
    if token.v != TOKEN_VERSION {
        return Err(invalid("server does not recognize this encoded version"));
    }
    if token.start.is_empty() || token.start.starts_with('/') && token.start.contains("..") {
        return Err(invalid("start key is empty"));
    }
    Ok(token)
}

fn expired_token(token: &Token) -> ApiError {
    const MESSAGE: &str = "The provided continue parameter is too old to display a consistent list result. You can \
                           start a new list without the continue parameter, or use the continue token in this \
                           response to retrieve the remainder of the results. Continuing with the provided token \
                           results in an inconsistent list - objects that were created, modified, or deleted between \
                           the time the first chunk was returned and now may show up in the list.";
    let onward =
        Token { v: TOKEN_VERSION.to_owned(), rv: INCONSISTENT, start: token.start.clone(), begun: 0 };
    ApiError::new(Reason::Expired, MESSAGE).with_list_continue(encode_token(&onward))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_garbage_is_refused() {
        for start in ["a\0", "default/web-1\0", "x/y"] {
            let token = Token { v: TOKEN_VERSION.to_owned(), rv: 77, start: start.to_owned(), begun: 5 };
            let token = decode_token(&encode_token(&token)).expect("own token");
            assert_eq!((token.rv, token.start.as_str(), token.begun), (77, start, 5));
        }
        for text in ["!", "e30", "", "AAAA"] {
            assert_eq!(decode_token(text).err().map(|e| e.code()), Some(400), "{text:?}");
        }
    }
}
