//! The API server: who may ask it, what it answers, and where the figures come from.
//!
//! Reads top-down: `listener` accepts connections; `front_proxy` says who asks; `route` what is asked; `answer` is the
//! answer, from figures that `scrape` has nodes measure and `samples` computes. Only `listener`, `scrape` and the review
//! of access do I/O.

mod answer;
mod front_proxy;
mod listener;
mod route;
mod samples;
mod scrape;

use crate::{
    REVIEWS,
    index::{Place, Publication, SERVICE},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use front_proxy::FrontProxy;
use http::{HeaderMap, Method, StatusCode, Uri};
use listener::{Identity, Listener};
use proa_kit::{
    Action, Index, Reader, Timestamp, Writer,
    decide::Feed,
    views::{NodeView, PodView},
};
use proa_meta::{ApiError, User, identity::MASTERS};
use route::{Access, Form, Question, Which};
use scrape::Scraper;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Pause before a server that could not listen is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The server behind its connections.
pub(crate) struct Api {
    reader: Reader,
    reviewer: Writer,
    scraper: Scraper,
}

/// Serves until it is dropped.
pub(crate) async fn serve(reader: Reader, feed: Feed<Publication, ()>, reviewer: Writer) {
    let (identity, listener) = loop {
        let identity = Identity::new(&format!("{}.{}.svc", SERVICE.1, SERVICE.0));
        match (identity, Listener::bind().await) {
            (Ok(identity), Ok(listener)) => break (identity, listener),
            (identity, listener) => {
                let why = identity.err().map(|error| error.to_string());
                let why = why.or(listener.err().map(|error| error.to_string())).unwrap_or_default();
                tracing::warn!(why, "the metrics API cannot be served; will try again");
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    let authority = BASE64_STANDARD.encode(&identity.authority);
    let place = Place { port: listener.port, authority };
    feed.take_in(|publication, wake| {
        publication.place = Some(place);
        wake.mark(());
    });
    let api = Arc::new(Api { scraper: Scraper::new(reader.clone()), reader, reviewer });
    let believed = move || {
        let found = feed.take_in(|publication, _| publication.authentication.clone())?;
        FrontProxy::of(&found)
    };
    listener.accept(&identity, believed, api).await;
}

impl Api {
    /// Answers a request of `user`.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        user: &User,
    ) -> (StatusCode, Value) {
        match self.answered(method, uri, headers, user).await {
            Ok(answer) => (StatusCode::OK, answer),
            Err(error) => {
                let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (code, error.to_status())
            }
        }
    }

    async fn answered(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        user: &User,
    ) -> Result<Value, ApiError> {
        let question = route::parse(method, uri)?;
        self.review(user, question.access(uri.path())).await?;
        let form = route::form(headers);
        let form = form.ok_or_else(|| ApiError::bad_request("only JSON is served").with_code(406))?;
        let is_of_objects = matches!(question, Question::Nodes(_) | Question::Pods(_));
        let answer = match question {
            Question::Health => json!("ok"),
            Question::Groups => answer::groups(),
            Question::Group => answer::group(),
            Question::Resources => answer::resources(),
            Question::Nodes(which) => self.nodes(&which).await?,
            Question::Pods(which) => self.pods(&which).await?,
        };
        Ok(if is_of_objects && form == Form::Table { answer::table(answer) } else { answer })
    }

    /// Whether the user may, as the cluster's API server sees it.
    async fn review(&self, user: &User, access: Access) -> Result<(), ApiError> {
        if user.in_group(MASTERS) {
            return Ok(());
        }
        let spec = front_proxy::review(user, &access);
        let review = Action::create(REVIEWS, "", json!({"spec": spec}));
        let answer: Value = self.reviewer.ask(&review).await.map_err(|error| {
            tracing::warn!(%error, "cannot review access to metrics");
            ApiError::unavailable("access cannot be reviewed")
        })?;
        if answer["status"]["allowed"] == true {
            return Ok(());
        }
        Err(access.refusal(&user.name))
    }

    async fn nodes(&self, which: &Which) -> Result<Value, ApiError> {
        let cache = self.reader.cache::<NodeView>();
        let mut nodes: Vec<Arc<NodeView>> = cache.list();
        nodes.retain(|node| which.takes(&node.metadata, &node.metadata.name));
        nodes.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let asked = nodes.iter().filter(|node| measures(node)).map(|node| node.metadata.name.clone());
        let figures = self.scraper.of_all(asked.collect()).await;
        let now = Timestamp::now();
        let items = nodes.iter().filter_map(|node| {
            let figures = figures.get(&node.metadata.name)?;
            Some(answer::node(&node.metadata, figures.node.as_ref()?, now))
        });
        answer::given(which, "NodeMetrics", "nodemetrics", items.collect())
    }

    async fn pods(&self, which: &Which) -> Result<Value, ApiError> {
        let cache = self.reader.cache::<PodView>();
        let mut pods = match &which.namespace {
            Some(namespace) => cache.by(&Index::NAMESPACE, namespace),
            None => cache.list(),
        };
        pods.retain(|pod| &*pod.status.phase == "Running" && which.takes(&pod.metadata, &pod.spec.node_name));
        pods.sort_by(|a, b| {
            (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name))
        });
        let mut names: Vec<Box<str>> = pods.iter().map(|pod| pod.spec.node_name.clone()).collect();
        names.sort();
        names.dedup();
        let nodes = self.reader.cache::<NodeView>();
        names.retain(|name| nodes.get(&proa_kit::Key::new("", name)).is_some_and(|node| measures(&node)));
        let figures = self.scraper.of_all(names).await;
        let now = Timestamp::now();
        let items = pods.iter().filter_map(|pod| {
            let meta = &pod.metadata;
            let all = &figures.get(&pod.spec.node_name)?.pods;
            Some(answer::pod(meta, all.get(&(meta.namespace.clone(), meta.name.clone()))?, now))
        });
        answer::given(which, "PodMetrics", "podmetrics", items.collect())
    }
}

/// Whether a node has an agent that can be asked.
fn measures(node: &NodeView) -> bool {
    node.status.daemon_endpoints.kubelet_endpoint.port != 0
}
