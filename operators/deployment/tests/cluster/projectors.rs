//! A projection of config maps into a table that fails now and then.

use crate::{Cluster, PATIENCE};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;
use proa_kit::{
    Change, Error, Key, RunConfig, Typed, Watch,
    project::{Dirty, Feed, Projection, Sink, feed, project},
    views::{ConfigMapView, View},
};
use serde_json::json;
use std::collections::BTreeMap;
use tokio::{sync::watch, time::timeout};

type Table = BTreeMap<String, String>;

struct Names;

/// The whole table, or single rows: a value or its removal.
enum Rows {
    Whole(Table),
    Some(Vec<(String, Option<String>)>),
}

impl Projection for Names {
    const NAME: &'static str = "names";
    type Index = BTreeMap<Key, String>;
    type Key = Key;
    type Change = Rows;
    fn index(&self) -> Self::Index {
        BTreeMap::new()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Self::Index, Key>>> {
        let take_in = |index: &mut Self::Index, change: &Change<ConfigMapView>, dirty: &mut Dirty<Key>| {
            let Some(map) = change.latest() else { return };
            match &change.new {
                Some(new) => index.insert(map.key(), new.data.get("value").unwrap_or("").to_owned()),
                None => index.remove(&map.key()),
            };
            dirty.mark(map.key());
        };
        vec![feed(ConfigMapView::KIND, take_in).into()]
    }
    fn render(&self, index: &Self::Index, dirty: &Dirty<Key>) -> Rows {
        let name = |key: &Key| key.name().to_owned();
        match dirty {
            Dirty::All => Rows::Whole(index.iter().map(|(key, value)| (name(key), value.clone())).collect()),
            Dirty::Keys(keys) => {
                Rows::Some(keys.iter().map(|key| (name(key), index.get(key).cloned())).collect())
            }
        }
    }
}

/// Every third change is lost.
struct Shaky {
    table: watch::Sender<Table>,
    changes: usize,
}

impl Sink<Rows> for Shaky {
    async fn apply(&mut self, change: Rows) -> Result<(), Error> {
        self.changes += 1;
        if self.changes.is_multiple_of(3) {
            return Err(Error::Invalid("the table is busy".to_owned()));
        }
        self.table.send_modify(|table| match change {
            Rows::Whole(whole) => *table = whole,
            Rows::Some(rows) => {
                for (name, value) in rows {
                    match value {
                        Some(value) => table.insert(name, value),
                        None => table.remove(&name),
                    };
                }
            }
        });
        Ok(())
    }
}

#[tokio::test]
async fn a_table_follows_its_objects_though_changes_are_lost() {
    let cluster = Cluster::start().await;
    let create = |name: String| json!({"metadata": {"name": name}, "data": {"value": name}});
    cluster.create::<ConfigMap>(create("early".to_owned())).await;
    let (table, mut seen) = watch::channel(Table::new());
    let running = tokio::spawn(project(
        Names,
        Shaky { table, changes: 0 },
        cluster.client.clone(),
        RunConfig::default(),
    ));
    for number in 0..10 {
        cluster.create::<ConfigMap>(create(format!("m{number}"))).await;
        let wanted = format!("m{number}");
        timeout(PATIENCE, seen.wait_for(|table| table.contains_key(&wanted))).await.unwrap().unwrap();
    }
    cluster.api::<ConfigMap>().delete("m3", &DeleteParams::default()).await.unwrap();
    let gone = |table: &Table| !table.contains_key("m3") && table.contains_key("early") && table.len() >= 10;
    timeout(PATIENCE, seen.wait_for(gone)).await.unwrap().unwrap();
    running.abort();
    cluster.stop().await;
}

/// The same, with rows that stand alone.
struct Alone;

impl Projection for Alone {
    const NAME: &'static str = "alone";
    const ROWS_STAND_ALONE: bool = true;
    type Index = <Names as Projection>::Index;
    type Key = Key;
    type Change = Rows;
    fn index(&self) -> Self::Index {
        Names.index()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Self::Index, Key>>> {
        Names.feeds()
    }
    fn render(&self, index: &Self::Index, dirty: &Dirty<Key>) -> Rows {
        Names.render(index, dirty)
    }
}

/// A change with the row `bad` fails; which rows came in a change of their own.
struct Stubborn(watch::Sender<Vec<String>>);

impl Sink<Rows> for Stubborn {
    async fn apply(&mut self, change: Rows) -> Result<(), Error> {
        let is_bad = match &change {
            Rows::Whole(whole) => whole.contains_key("bad"),
            Rows::Some(rows) => rows.iter().any(|(name, _)| name == "bad"),
        };
        if is_bad {
            return Err(Error::Invalid("this one never works".to_owned()));
        }
        if let Rows::Some(rows) = change {
            self.0.send_modify(|seen| seen.extend(rows.into_iter().map(|(name, _)| name)));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_row_that_always_fails_does_not_hold_up_others() {
    let cluster = Cluster::start().await;
    let create = |name: String| json!({"metadata": {"name": name}});
    cluster.create::<ConfigMap>(create("bad".to_owned())).await;
    let (told, mut seen) = watch::channel(Vec::new());
    let running = tokio::spawn(project(Alone, Stubborn(told), cluster.client.clone(), RunConfig::default()));
    // One may come just when everything is tried again, which fails; the next does not.
    let arrives = async {
        for number in 0.. {
            cluster.create::<ConfigMap>(create(format!("good{number}"))).await;
            tokio::select! {
                arrived = seen.wait_for(|rows| rows.iter().any(|name| name.starts_with("good"))) => {
                    return arrived.is_ok();
                }
                () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {}
            }
        }
        false
    };
    assert!(timeout(PATIENCE, arrives).await.unwrap());
    running.abort();
    cluster.stop().await;
}
