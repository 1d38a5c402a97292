//! What every owner of a pod template shares: defaults, validation, preparation and warnings of pod specs.
//!
//! Deliberately absent: fields of the Pod itself, such as status and deletion (`core/pod.rs`).

mod alpha;
pub(crate) mod defaults;
pub(crate) mod prepare;
pub(crate) mod qos;
pub(crate) mod resources;
pub(crate) mod template;
pub(crate) mod update;
pub(crate) mod validate;
pub(crate) mod warnings;

use crate::cursor::Cursor;

/// The three lists of containers.
pub(crate) const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Calls `visit` with every container of a pod spec: init containers first, as upstream does.
pub(crate) fn each_container<'v>(spec: &Cursor<'v, '_>, mut visit: impl FnMut(&Cursor<'v, '_>)) {
    for list in CONTAINER_LISTS {
        for container in spec.get(list).items() {
            visit(&container);
        }
    }
}
