//! client-go: the scenarios of `tests/clients/go/clientgo`.

use crate::{
    kubectl::Step,
    program::{Toolchain, program},
    server::Server,
};

/// Runs one test of a Go package with a server of its own.
#[track_caller]
pub(crate) fn run(package: &str, test: &str) -> Option<Step> {
    let folder = Toolchain::Go.folder()?;
    let server = Server::with_node();
    Some(program(server.kubectl(), &folder.join(package)).run(&format!("-test.run ^{test}$ -test.v")))
}

/// It passes; that it passed is read from its output, because a name that no test has is no failure for Go.
#[track_caller]
pub(crate) fn passes(package: &str, test: &str) {
    if let Some(step) = run(package, test) {
        step.ok().shows(&[&format!("--- PASS: {test} ")]);
    }
}

macro_rules! scenarios {
    ($package:literal: $($name:ident => $test:literal,)*) => {
        $(#[test]
        fn $name() {
            $crate::client_go::passes($package, $test);
        })*
    };
}
pub(crate) use scenarios;

scenarios! { "clientgo":
    typed_objects_come_and_go => "TestTypedObjectsComeAndGo",
    patches => "TestPatches",
    apply => "TestApply",
    informers_fill_from_streaming_lists => "TestInformersFillFromStreamingLists",
    watches_go_on_where_they_were => "TestWatchesGoOnWhereTheyWere",
    lists_in_chunks => "TestListsInChunks",
    waiting_for_a_deployment => "TestWaitingForADeployment",
    leadership_passes_on => "TestLeadershipPassesOn",
    dynamic_client_on_a_defined_kind => "TestDynamicClientOnADefinedKind",
    definitions_have_rules => "TestDefinitionsHaveRules",
    metadata_client => "TestMetadataClient",
    discovery => "TestDiscovery",
    mapper_learns_of_new_kinds => "TestMapperLearnsOfNewKinds",
    recorders_of_both_groups => "TestRecordersOfBothGroups",
    tokens_and_roles => "TestTokensAndRoles",
    pods_are_bound_and_evicted => "TestPodsAreBoundAndEvicted",
    protobuf_by_default => "TestProtobufByDefault",
    protobuf_only => "TestProtobufOnly",
    protobuf_says_what_json_says => "TestProtobufSaysWhatJSONSays",
    webhooks_are_called => "TestWebhooksAreCalled",
    ephemeral_containers => "TestPodsTakeEphemeralContainers",
    pods_are_resized_in_place => "TestPodsAreResizedInPlace",
    stateful_sets_run => "TestStatefulSetsRun",
    disruption_budgets_hold => "TestDisruptionBudgetsHold",
}
