//! CronJobs at work on a simulated node.

use crate::{kubectl::example, server::Server};

#[test]
fn a_cron_job_starts_jobs_until_it_is_suspended() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl
        .run("create cronjob tick --image=registry.example/tick:1 --schedule='@every 1s'")
        .ok()
        .prints("cronjob.batch/tick created");
    kubectl.run("wait --for=jsonpath='{.status.lastSuccessfulTime}' cronjob/tick --timeout=60s").ok();
    kubectl
        .run("get jobs -o custom-columns=NAME:.metadata.name,OWNER:.metadata.ownerReferences[0].name")
        .ok()
        .matches(r"^tick-\d+ +tick$");
    kubectl.run("patch cronjob tick -p '{\"spec\":{\"suspend\":true}}'").ok();
    kubectl
        .run("get cronjob tick")
        .ok()
        .matches(r"^NAME +SCHEDULE +TIMEZONE +SUSPEND +ACTIVE +LAST SCHEDULE +AGE$")
        .matches(r"^tick +@every 1s +<none> +True +\d+ +\d+s +\d+s$");
    kubectl.follow("events --for cronjob/tick --watch").until("Saw completed job: tick-");
    kubectl.run("events --for cronjob/tick").ok().shows(&["Created job tick-"]);
    kubectl.run("create job by-hand --from=cronjob/tick").ok().prints("job.batch/by-hand created");
    kubectl.run("wait --for=condition=Complete job/by-hand --timeout=60s").ok();
    kubectl.run("delete cronjob tick").ok();
    kubectl.run("wait --for=delete job/by-hand --timeout=60s").ok();
}

#[test]
fn a_schedule_is_checked_and_its_time_zone_shown() {
    let server = Server::start(&[]);
    let kubectl = server.kubectl();
    kubectl.run(&format!("apply -f {}", example("cronjob/cronjob.yaml"))).ok();
    kubectl.run("get cj night").ok().matches(r"^night +0 3 \* \* \* +Europe/Paris +False +0 +<none> +\d+s$");
    kubectl
        .run("create cronjob bad --image=x:1 --schedule='61 * * * *'")
        .fails(&["spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61"]);
    kubectl
        .run("patch cronjob night -p '{\"spec\":{\"timeZone\":\"Moon/Base\"}}'")
        .fails(&["spec.timeZone: Invalid value: \"Moon/Base\": unknown time zone Moon/Base"]);
}
