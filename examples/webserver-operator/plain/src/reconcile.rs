//! One reconcile: reads, decides and writes.

use crate::{
    Context, NAME,
    api::WebServer,
    build,
    status::{self, Verdict},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
    networking::v1::Ingress,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        controller::Action,
        events::{Event, EventType},
        finalizer::{self, finalizer},
    },
};
use serde_json::{Value, json};
use std::{fmt::Debug, sync::Arc, time::Duration};

/// Keeps a WebServer until its Ingress is gone.
const FINALIZER: &str = "webserver.example.com/ingress";

/// Brings one site closer to what is wanted.
pub(crate) async fn reconcile(
    site: Arc<WebServer>,
    context: Arc<Context>,
) -> Result<Action, finalizer::Error<kube::Error>> {
    let api = api::<WebServer>(&site, &context);
    finalizer(&api, FINALIZER, site, |event| async {
        match event {
            finalizer::Event::Apply(site) => serve(&site, &context).await,
            finalizer::Event::Cleanup(site) => withdraw(&site, &context).await,
        }
    })
    .await
}

fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(
    site: &WebServer,
    context: &Context,
) -> Api<K> {
    Api::namespaced(context.client.clone(), &site.namespace().unwrap_or_default())
}

async fn serve(site: &WebServer, context: &Context) -> kube::Result<Action> {
    let host = site.host(&context.settings.domain);
    let holder = context.sites.state().into_iter().find(|other| {
        other.uid() != site.uid() && other.host(&context.settings.domain) == host && other.is_older_than(site)
    });
    let verdict = match (holder, taken(site, context).await?) {
        (Some(holder), _) => Verdict::HostTaken { host, by: holder },
        (None, Some(taken)) => Verdict::NameTaken(taken),
        (None, None) => Verdict::Accepted { host },
    };
    let deployment = match &verdict {
        Verdict::NameTaken(_) => None,
        verdict => {
            apply::<ConfigMap>(site, context, build::config_map(site)).await?;
            apply::<Service>(site, context, build::service(site)).await?;
            match verdict {
                Verdict::Accepted { host } => {
                    apply::<Ingress>(site, context, build::ingress(site, host)).await.map(drop)?
                }
                _ => delete_ingress(site, context).await.map(drop)?,
            }
            Some(apply::<Deployment>(site, context, build::deployment(site, &context.settings)).await?)
        }
    };
    report(site, context, status::status(site, &verdict, deployment.as_ref())).await?;
    Ok(Action::await_change())
}

/// The first object of the site's name that is somebody else's.
async fn taken(site: &WebServer, context: &Context) -> kube::Result<Option<String>> {
    Ok(match is_taken::<ConfigMap>(site, context).await? {
        None => match is_taken::<Deployment>(site, context).await? {
            None => match is_taken::<Service>(site, context).await? {
                None => is_taken::<Ingress>(site, context).await?,
                taken => taken,
            },
            taken => taken,
        },
        taken => taken,
    })
}

async fn is_taken<K>(site: &WebServer, context: &Context) -> kube::Result<Option<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Debug
        + Clone
        + serde::de::DeserializeOwned,
{
    let found = api::<K>(site, context).get_metadata_opt(&site.name_any()).await?;
    let foreign = found.filter(|found| !is_own(site, found));
    Ok(foreign
        .map(|_| format!("{} {}/{}", K::kind(&()), site.namespace().unwrap_or_default(), site.name_any())))
}

fn is_own<K: Resource<DynamicType = ()>>(site: &WebServer, object: &PartialObjectMeta<K>) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == site.uid().as_ref())
}

async fn apply<K>(site: &WebServer, context: &Context, object: Value) -> kube::Result<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Debug
        + Clone
        + serde::de::DeserializeOwned,
{
    api::<K>(site, context)
        .patch(&site.name_any(), &PatchParams::apply(NAME).force(), &Patch::Apply(object))
        .await
}

/// Deletes the site's Ingress; whether there is still one.
async fn delete_ingress(site: &WebServer, context: &Context) -> kube::Result<bool> {
    let api = api::<Ingress>(site, context);
    let Some(found) = api.get_metadata_opt(&site.name_any()).await? else { return Ok(false) };
    if !is_own(site, &found) {
        return Ok(false);
    }
    if found.metadata.deletion_timestamp.is_none() {
        let only = Preconditions { uid: found.uid(), ..Preconditions::default() };
        api.delete(&site.name_any(), &DeleteParams::default().preconditions(only)).await?;
    }
    Ok(api.get_metadata_opt(&site.name_any()).await?.is_some_and(|found| is_own(site, &found)))
}

/// The finalizer goes when this succeeds, so an Ingress that is still there is an error that is tried again.
async fn withdraw(site: &WebServer, context: &Context) -> kube::Result<Action> {
    if delete_ingress(site, context).await? {
        return Err(kube::Error::Service("the Ingress is not gone yet".into()));
    }
    Ok(Action::requeue(Duration::from_secs(300)))
}

async fn report(site: &WebServer, context: &Context, status: status::Status) -> kube::Result<()> {
    if let Some(note) = status.refusal {
        let (reason, note) = note;
        let event = Event {
            type_: EventType::Warning,
            action: reason.clone(),
            reason,
            note: Some(note),
            secondary: None,
        };
        context.recorder.publish(&event, &site.object_ref(&())).await?;
    }
    if site.status.as_ref() != Some(&status.status) {
        let (version, kind) = (WebServer::api_version(&()), WebServer::kind(&()));
        let metadata = json!({"name": site.name_any()});
        let patch =
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "status": status.status});
        let params = PatchParams::apply(NAME).force();
        api::<WebServer>(site, context).patch_status(&site.name_any(), &params, &Patch::Apply(patch)).await?;
    }
    Ok(())
}
