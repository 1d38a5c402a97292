//! The bootstrap-token operator: by a token a new node finds out that it talks to the right cluster.
//!
//! Watches: secrets of type `bootstrap.kubernetes.io/token` in `kube-system`, and the config map `kube-public/cluster-info`.
//! Writes: in that map, one signature of its kubeconfig by each token that may sign (`jws-kubeconfig-ID`); deletes tokens that
//! have ended. Guarantees: signatures of tokens that are gone, changed or may no longer sign are removed; the map's other
//! entries are left alone; a timer exists only while a token has an end. Deliberately absent: the map itself, which
//! whoever sets up the cluster makes; authentication by tokens, which is the API server's.
//! Upstream: `pkg/controller/bootstrap/{bootstrapsigner,tokencleaner}.go`, `cluster-bootstrap/token/jws`.

pub mod index;
pub mod plan;

use index::{InfoView, Item, TokenView, Tokens};
use proa_kit::{
    Change, Client, Filter, Plan, RunConfig, Timestamp, Typed, Watch, Write,
    decide::{self, Decider, Feed},
    queue::Queue,
    rbac::rbac_rules,
};
use serde_json::Value;

#[derive(Clone, Copy, Debug)]
struct BootstrapToken;

impl Decider for BootstrapToken {
    const NAME: &'static str = "bootstrap-token-controller";
    type Index = Tokens;
    type Item = Item;

    fn index(&self) -> Tokens {
        Tokens::default()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Tokens, Item>>> {
        let tokens = Filter {
            namespace: "kube-system".into(),
            ..Filter::fields("type=bootstrap.kubernetes.io/token")
        };
        let info = Filter { namespace: "kube-public".into(), ..Filter::fields("metadata.name=cluster-info") };
        let token =
            |index: &mut Tokens, change: &Change<TokenView>, wake: &Queue<Item>| index.token(change, wake);
        let take_info = |index: &mut Tokens, change: &Change<InfoView>, wake: &Queue<Item>| {
            index.info.clone_from(&change.new);
            wake.mark(Item::Info);
        };
        vec![
            decide::feed(TokenView::KIND, token).only(tokens).into(),
            decide::feed(InfoView::KIND, take_info).only(info).into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            // A token's name has its id, so this cannot be limited to some names; what is deleted was read as a token.
            Write::to(&TokenView::KIND, &["delete"]),
            Write::to(&InfoView::KIND, &["patch"]).named(&["cluster-info"]),
        ]
    }
    fn plan(&self, item: &Item, index: &mut Tokens, now: Timestamp) -> Plan {
        match item {
            Item::Info => plan::sign(index, now),
            Item::Token(key) => plan::clean(index, key, now),
        }
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let feeds = BootstrapToken.feeds();
    rbac_rules(feeds.iter().map(Watch::watched), &BootstrapToken.reads(), &BootstrapToken.writes())
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    decide::decide(BootstrapToken, client, config).await;
}
