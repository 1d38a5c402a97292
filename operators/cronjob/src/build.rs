//! The job of one scheduled time.

use proa_kit::{ObjectRef, Timestamp, owner::controller_reference, views::CronJobView};
use serde_json::{Value, json};

/// Annotation of the time that a job was scheduled for.
pub const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Name of the job of a scheduled time: the same however often it is made.
pub fn job_name(cron: &CronJobView, time: Timestamp) -> String {
    format!("{}-{}", cron.metadata.name, time.as_second().div_euclid(60))
}

/// The job. The annotation is in the schedule's time zone, or in UTC when it names none.
pub fn job(cron: &CronJobView, owner: &ObjectRef, time: Timestamp) -> Value {
    let template = &cron.spec.job_template;
    let mut metadata = json!({
        "name": job_name(cron, time),
        "annotations": {},
        "ownerReferences": [controller_reference(owner)],
    });
    for field in ["labels", "annotations"] {
        let own = template.pointer(&format!("/metadata/{field}")).filter(|own| own.is_object());
        if let Some(own) = own {
            metadata[field] = own.clone();
        }
    }
    let zone = proa_meta::cron::time_zone(cron.spec.time_zone.as_deref().unwrap_or_default());
    let local = time.to_zoned(zone.unwrap_or(jiff::tz::TimeZone::UTC));
    let format = if local.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    metadata["annotations"][SCHEDULED] = json!(local.strftime(format).to_string());
    json!({"metadata": metadata, "spec": template.get("spec").cloned().unwrap_or_default()})
}
