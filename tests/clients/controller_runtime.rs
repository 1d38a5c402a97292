//! controller-runtime: the operator of `tests/clients/go/operator`.

crate::client_go::scenarios! { "operator":
    websites_come_and_go => "TestWebsitesComeAndGo",
    websites_follow_their_theme => "TestWebsitesFollowTheirTheme",
    wrong_websites_are_refused => "TestWrongWebsitesAreRefused",
}
