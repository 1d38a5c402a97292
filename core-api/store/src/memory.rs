//! The engine for tests and throw-away clusters: keeps everything in memory.
//!
//! A clone shares the content, so that opening a clone is what a restart is for a file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::{Backup, Meter};
use crate::{Change, Engine, EngineError, Loaded, Object, OpenError, Revision};

/// An engine without files.
#[derive(Clone, Default)]
pub struct Memory {
    content: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    compacted: Revision,
    revision: Revision,
    base: HashMap<crate::Key, Object>,
    changes: std::collections::VecDeque<Change>,
}

impl Memory {
    /// An empty engine.
    pub fn new() -> Self {
        Memory::default()
    }
}

impl Content {
    fn fold(&mut self, change: Change) {
        let Change { revision, key, value } = change;
        match value {
            Some(value) => {
                self.base.insert(key.clone(), Object { key, revision, bytes: value.bytes });
            }
            None => {
                self.base.remove(&key);
            }
        }
    }
}

impl Engine for Memory {
    fn load(&mut self) -> Result<Loaded, OpenError> {
        let content = self.content.lock();
        let base = content.base.values().cloned().collect();
        let changes = content.changes.iter().cloned().collect();
        Ok(Loaded { compacted: content.compacted, revision: content.revision, base, changes })
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), EngineError> {
        let mut content = self.content.lock();
        for change in changes {
            content.revision = change.revision;
            let value = change.value.as_ref().map(|value| crate::Value::new(value.bytes.clone()));
            content.changes.push_back(Change { value, ..change.clone() });
        }
        Ok(())
    }

    fn recover(&mut self, _next: Revision) -> Result<(), EngineError> {
        Ok(())
    }

    fn compact(&mut self, up_to: Revision) -> Result<(), EngineError> {
        let mut content = self.content.lock();
        while content.changes.front().is_some_and(|change| change.revision <= up_to) {
            let Some(change) = content.changes.pop_front() else { break };
            content.fold(change);
        }
        content.compacted = up_to;
        Ok(())
    }

    fn shrink(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn backup(&mut self, _to: &Path) -> Result<Backup, EngineError> {
        Err(EngineError::Io("a store in memory has no backup".into()))
    }

    fn meter(&self) -> Meter {
        Box::new(|| 0)
    }

    fn close(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}
