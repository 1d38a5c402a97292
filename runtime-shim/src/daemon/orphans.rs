//! What sandboxes and containers left that containerd does not know, or no longer: it was killed while it made or removed
//! them, or whoever asked it to was (then it forgets the sandbox and leaves the shim).
//!
//! When a node's containerd is started or adopted, before anybody asks it for anything, everything of sandboxes that is on
//! the machine is written down. Whatever of it belongs to nothing that containerd lists is removed: shims with their
//! processes, bundles, network namespaces (their links go with them) and addresses (N4). What it lists but does not run
//! stays in doubt, because such a sandbox may be forgotten later without its parts, and is looked at again. What is made
//! afterwards was not written down, so it is safe.

use super::{
    DaemonConfig, Result, blocking, cgroups,
    leases::{self, Lease},
    mounts, namespace, processes,
};
use crate::{
    Containerd,
    containerd::{self, Known},
    process::Handle,
};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long killed processes may take to go.
const WITHIN: Duration = Duration::from_secs(5);
/// Below the state directory.
const NAMESPACES: &str = "io.containerd.grpc.v1.cri/netns";
/// Below the state directory and below containerd's root.
const BUNDLES: &str = "io.containerd.runtime.v2.task/k8s.io";

/// What was there before anybody asked containerd for anything.
#[derive(Debug, Default)]
pub(super) struct Found {
    shims: Vec<(String, Handle)>,
    bundles: Vec<PathBuf>,
    namespaces: Vec<PathBuf>,
    leases: Vec<Lease>,
}

impl Found {
    /// Writes down what is there. Nobody may ask this node's containerd for anything meanwhile.
    pub(super) fn now(config: &DaemonConfig) -> Self {
        let mut bundles = entries(&config.state.join(BUNDLES));
        bundles.extend(entries(&config.root.join("containerd").join(BUNDLES)));
        Self {
            shims: processes::shims_by_id(&config.socket()).collect(),
            bundles,
            namespaces: entries(&config.state.join(NAMESPACES)),
            leases: leases::all(&config.addresses),
        }
    }

    /// Whether nothing needs another look.
    pub(super) fn is_empty(&self) -> bool {
        let Self { shims, bundles, namespaces, leases } = self;
        shims.is_empty() && bundles.is_empty() && namespaces.is_empty() && leases.is_empty()
    }

    /// The sandboxes and containers of which something is there.
    pub(super) fn ids(&self) -> HashSet<String> {
        let shims = self.shims.iter().map(|(id, _)| id.as_str());
        let bundles = self.bundles.iter().map(|bundle| name(bundle));
        let leases = self.leases.iter().map(|lease| lease.sandbox.as_str());
        shims.chain(bundles).chain(leases).map(str::to_owned).collect()
    }

    /// The network namespaces.
    pub(super) fn namespaces(&self) -> HashSet<PathBuf> {
        self.namespaces.iter().cloned().collect()
    }

    /// What belongs to nothing that is known.
    pub(super) fn not_in(self, known: &Known) -> Self {
        self.only(|id| !known.ids.contains_key(id), |namespace| !known.namespaces.contains_key(namespace))
    }

    /// What belongs to some.
    pub(super) fn only(mut self, id: impl Fn(&str) -> bool, namespace: impl Fn(&PathBuf) -> bool) -> Self {
        self.shims.retain(|(own, _)| id(own));
        self.bundles.retain(|bundle| id(name(bundle)));
        self.namespaces.retain(namespace);
        self.leases.retain(|lease| id(&lease.sandbox));
        self
    }

    /// Takes more in.
    pub(super) fn extend(&mut self, more: Self) {
        self.shims.extend(more.shims);
        self.bundles.extend(more.bundles);
        self.namespaces.extend(more.namespaces);
        self.leases.extend(more.leases);
    }

    /// Removes what belongs to nothing that containerd, which answers by now, knows; keeps what is in doubt.
    ///
    /// # Errors
    /// containerd does not say what it knows; nothing is removed then. What cannot be removed is logged.
    pub(super) async fn remove_orphans(&mut self, config: &DaemonConfig) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let connection = Containerd::connect(&config.socket()).await?;
        let known = containerd::known(&connection).await?;
        let (orphans, doubtful) = std::mem::take(self).divide(&known);
        *self = doubtful;
        if orphans.is_empty() {
            return Ok(());
        }
        tracing::info!(
            shims = orphans.shims.len(),
            bundles = orphans.bundles.len(),
            networks = orphans.namespaces.len(),
            addresses = orphans.leases.len(),
            "removing what containerd lost"
        );
        let config = config.clone();
        blocking(move || {
            orphans.remove(&config);
            Ok(())
        })
        .await
    }

    /// What nothing has, and what is still there of something that does not run. The rest needs no further look.
    fn divide(self, known: &Known) -> (Self, Self) {
        let is_lost = |id: &str| !known.ids.contains_key(id);
        let is_doubtful = |id: &str| known.ids.get(id) == Some(&false);
        let namespace_runs = |namespace: &PathBuf| known.namespaces.get(namespace).copied();
        let (lost_shims, shims): (Vec<_>, Vec<_>) = self.shims.into_iter().partition(|(id, _)| is_lost(id));
        let (lost_bundles, bundles): (Vec<_>, Vec<_>) =
            self.bundles.into_iter().partition(|b| is_lost(name(b)));
        let (lost_namespaces, namespaces): (Vec<_>, Vec<_>) =
            self.namespaces.into_iter().partition(|namespace| namespace_runs(namespace).is_none());
        let (lost_leases, leases): (Vec<_>, Vec<_>) =
            self.leases.into_iter().partition(|l| is_lost(&l.sandbox));
        let lost = Self {
            shims: lost_shims,
            bundles: lost_bundles,
            namespaces: lost_namespaces,
            leases: lost_leases,
        };
        let mut doubtful = Self { shims, bundles, namespaces, leases };
        doubtful.shims.retain(|(id, shim)| is_doubtful(id) && !shim.has_ended());
        doubtful.bundles.retain(|bundle| is_doubtful(name(bundle)) && bundle.exists());
        doubtful
            .namespaces
            .retain(|namespace| namespace_runs(namespace) == Some(false) && namespace.exists());
        doubtful.leases.retain(|lease| is_doubtful(&lease.sandbox) && lease.file.exists());
        (lost, doubtful)
    }

    fn remove(self, config: &DaemonConfig) {
        let mut ids: HashSet<String> = self.bundles.iter().map(|bundle| name(bundle).to_owned()).collect();
        for (id, shim) in self.shims {
            if !shim.kill_and_wait(WITHIN) {
                tracing::warn!(id, "a shim does not end");
            }
            ids.insert(id);
        }
        for left in ids.iter().filter_map(|id| cgroups::remove_named(&config.cgroup_parent, id, WITHIN)) {
            tracing::warn!(left, "not removed");
        }
        let mounts: Vec<&Path> = self.bundles.iter().chain(&self.namespaces).map(PathBuf::as_path).collect();
        let removed = namespace::within(config, || {
            mounts::remove_below(&mounts)?;
            // Empty by now, and nothing is mounted on them.
            self.bundles.iter().for_each(|bundle| drop(fs::remove_dir_all(bundle)));
            self.namespaces.iter().for_each(|namespace| drop(fs::remove_file(namespace)));
            Ok(())
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "mounts of lost containers stay");
        }
        self.leases.iter().for_each(Lease::release);
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The id that a bundle is named after.
fn name(bundle: &Path) -> &str {
    bundle.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_settled_and_what_does_not_is_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            path
        };
        let lease = |sandbox: &str| Lease { file: path(sandbox), sandbox: sandbox.into() };
        let names = ["runs", "ended", "lost"];
        let found = Found {
            shims: vec![],
            bundles: names.map(path).into(),
            namespaces: names.map(path).into(),
            leases: names.map(lease).into(),
        };
        let known = Known {
            ids: [("runs".to_owned(), true), ("ended".to_owned(), false)].into(),
            namespaces: [(path("runs"), true), (path("ended"), false)].into(),
        };
        let (lost, doubtful) = found.divide(&known);
        for (part, name) in [(&lost, "lost"), (&doubtful, "ended")] {
            assert_eq!(part.bundles, [path(name)]);
            assert_eq!(part.namespaces, [path(name)]);
            assert_eq!(part.leases, [lease(name)]);
        }
        fs::remove_file(path("ended")).unwrap();
        let (lost, doubtful) = doubtful.divide(&known);
        assert!(lost.is_empty() && doubtful.is_empty(), "what went by itself needs no further look");
    }

    #[test]
    fn what_is_not_listed_is_told_by_ids_and_namespaces() {
        let names = ["listed", "forgotten"];
        let lease = |sandbox: &str| Lease { file: sandbox.into(), sandbox: sandbox.into() };
        let found = || Found {
            shims: vec![],
            bundles: names.map(PathBuf::from).into(),
            namespaces: names.map(PathBuf::from).into(),
            leases: names.map(lease).into(),
        };
        let known = Known {
            ids: [("listed".to_owned(), false)].into(),
            namespaces: [(PathBuf::from("listed"), false)].into(),
        };
        let unlisted = found().not_in(&known);
        assert_eq!(unlisted.ids(), ["forgotten".to_owned()].into());
        assert_eq!(unlisted.namespaces(), [PathBuf::from("forgotten")].into());
        assert!(found().only(|_| false, |_| false).is_empty());
    }

    #[test]
    fn a_new_node_has_nothing_to_lose() {
        assert_eq!(entries(Path::new("/nowhere/at/all")), Vec::<PathBuf>::new());
    }
}
