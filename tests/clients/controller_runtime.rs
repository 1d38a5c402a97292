//! controller-runtime: the operator of `tests/clients/go/operator`; that of `examples/webserver-operator/go` is tried in
//! `outsiders.rs`.

crate::client_go::scenarios! { "operator":
    websites_follow_their_theme => "TestWebsitesFollowTheirTheme",
    dry_and_strict_clients => "TestDryAndStrictClients",
}
