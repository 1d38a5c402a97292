//! The disk: what processes see, what is durable, and what a crash makes of the rest.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use proa_store::{Disk, DiskFile};

use crate::random::Random;

/// Files as a process finds them.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

/// An operation, or what the test notes between them.
enum Event<N> {
    Create { name: String, file: usize },
    Rename { from: String, to: String },
    Remove { name: String },
    SyncNames { ok: bool },
    Write { file: usize, at: usize, bytes: Vec<u8> },
    SetSize { file: usize, size: usize },
    Sync { file: usize, ok: bool },
    Note(N),
}

/// What goes wrong while it runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Percent of syncs that fail.
    pub(crate) sync: u64,
    /// This many syncs fail first.
    pub(crate) next_syncs: u64,
    /// Percent of writes that fail, some after writing a part.
    pub(crate) write: u64,
    /// Percent of creations, renames, removals and changes of size that fail.
    pub(crate) name: u64,
    /// Bytes that all files may have together.
    pub(crate) space: Option<usize>,
}

struct State<N> {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    /// What was durable when recording began.
    start: Vec<Vec<u8>>,
    start_names: BTreeMap<String, usize>,
    events: Vec<Event<N>>,
    faults: Faults,
    luck: Random,
}

/// A disk in memory that records everything.
pub(crate) struct TestDisk<N>(Arc<Mutex<State<N>>>);

impl<N> Clone for TestDisk<N> {
    fn clone(&self) -> Self {
        TestDisk(Arc::clone(&self.0))
    }
}

impl<N: Clone> TestDisk<N> {
    pub(crate) fn new(image: Image, seed: u64) -> Self {
        let mut names = BTreeMap::new();
        let mut files = Vec::new();
        for (name, bytes) in image {
            names.insert(name, files.len());
            files.push(bytes);
        }
        let (start, start_names, luck) = (files.clone(), names.clone(), Random(seed));
        let (events, faults) = (Vec::new(), Faults::default());
        TestDisk(Arc::new(Mutex::new(State { names, files, start, start_names, events, faults, luck })))
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.0.lock().unwrap().faults = faults;
    }

    pub(crate) fn note(&self, note: N) {
        self.0.lock().unwrap().events.push(Event::Note(note));
    }

    /// How many points of the record a crash can be replayed at.
    pub(crate) fn points(&self) -> usize {
        self.0.lock().unwrap().events.len() + 1
    }

    /// The files as they are now, without a crash.
    pub(crate) fn image(&self) -> Image {
        let state = self.0.lock().unwrap();
        state.names.iter().map(|(name, file)| (name.clone(), state.files[*file].clone())).collect()
    }

    pub(crate) fn used(&self) -> usize {
        let state = self.0.lock().unwrap();
        state.names.values().map(|file| state.files[*file].len()).sum()
    }

    /// Every note before a point.
    pub(crate) fn notes(&self, point: usize) -> Vec<N> {
        let state = self.0.lock().unwrap();
        let note = |event: &Event<N>| match event {
            Event::Note(note) => Some(note.clone()),
            _ => None,
        };
        state.events[..point].iter().filter_map(note).collect()
    }

    /// The last note before a point.
    pub(crate) fn last_note(&self, point: usize) -> Option<N> {
        let state = self.0.lock().unwrap();
        state.events[..point].iter().rev().find_map(|event| match event {
            Event::Note(note) => Some(note.clone()),
            _ => None,
        })
    }

    /// The files after a power loss at a point.
    pub(crate) fn crash(&self, point: usize, luck: &mut Random) -> Image {
        let state = self.0.lock().unwrap();
        let mut after = After::new(&state.start, &state.start_names, luck);
        state.events[..point].iter().for_each(|event| after.event(event, luck));
        after.lose_power(luck)
    }
}

/// A change of a file or of the names that is not durable.
enum Loose {
    Write { at: usize, bytes: Vec<u8> },
    SetSize(usize),
}

enum LooseName {
    Create { name: String, file: usize },
    Rename { from: String, to: String, file: usize },
    Remove { name: String },
}

/// How the disk treats what was not synced.
#[derive(Clone, Copy)]
enum Mood {
    Loses,
    Keeps,
    Tears { part: usize, garbage: bool },
}

/// Replays the record up to a crash.
struct After {
    /// What processes see.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    loose_names: Vec<LooseName>,
    durable: Vec<Vec<u8>>,
    loose: Vec<Vec<Loose>>,
    mood: Mood,
}

impl After {
    fn new(start: &[Vec<u8>], names: &BTreeMap<String, usize>, luck: &mut Random) -> Self {
        let part = [1, 8, 64, 512, 512, 4096][luck.below(6) as usize];
        let mood = match luck.below(10) {
            0 => Mood::Loses,
            1 => Mood::Keeps,
            2 | 3 => Mood::Tears { part, garbage: true },
            _ => Mood::Tears { part, garbage: false },
        };
        let loose = start.iter().map(|_| Vec::new()).collect();
        let (names, durable_names) = (names.clone(), names.clone());
        After { names, durable_names, loose_names: Vec::new(), durable: start.to_vec(), loose, mood }
    }

    fn event<N>(&mut self, event: &Event<N>, luck: &mut Random) {
        match event {
            Event::Create { name, file } => {
                self.durable.resize_with(self.durable.len().max(file + 1), Vec::new);
                self.loose.resize_with(self.durable.len(), Vec::new);
                self.names.insert(name.clone(), *file);
                self.loose_names.push(LooseName::Create { name: name.clone(), file: *file });
            }
            Event::Rename { from, to } => {
                let file = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), file);
                self.loose_names.push(LooseName::Rename { from: from.clone(), to: to.clone(), file });
            }
            Event::Remove { name } => {
                self.names.remove(name);
                self.loose_names.push(LooseName::Remove { name: name.clone() });
            }
            Event::Write { file, at, bytes } => {
                self.loose[*file].push(Loose::Write { at: *at, bytes: bytes.clone() });
            }
            Event::SetSize { file, size } => self.loose[*file].push(Loose::SetSize(*size)),
            // After a failed sync what was written before is gone or not, whatever is synced later.
            Event::Sync { file, ok } => self.settle(*file, *ok, luck),
            Event::SyncNames { ok } => self.settle_names(*ok, luck),
            Event::Note(_) => {}
        }
    }

    fn settle(&mut self, file: usize, all: bool, luck: &mut Random) {
        let mood = if all { Mood::Keeps } else { self.mood };
        for loose in std::mem::take(&mut self.loose[file]) {
            apply(&mut self.durable[file], loose, mood, luck);
        }
    }

    fn settle_names(&mut self, all: bool, luck: &mut Random) {
        let mood = if all { Mood::Keeps } else { self.mood };
        for loose in std::mem::take(&mut self.loose_names) {
            let survives = match mood {
                Mood::Loses => false,
                Mood::Keeps => true,
                Mood::Tears { .. } => luck.chance(50),
            };
            if survives {
                self.apply_name(loose);
            }
        }
    }

    fn apply_name(&mut self, loose: LooseName) {
        let names = &mut self.durable_names;
        match loose {
            LooseName::Create { name, file } => {
                names.insert(name, file);
            }
            LooseName::Rename { from, to, file } => {
                if names.get(&from) == Some(&file) {
                    names.remove(&from);
                }
                names.insert(to, file);
            }
            LooseName::Remove { name } => {
                names.remove(&name);
            }
        }
    }

    fn lose_power(mut self, luck: &mut Random) -> Image {
        for file in 0..self.durable.len() {
            self.settle(file, false, luck);
        }
        self.settle_names(false, luck);
        let durable = &self.durable;
        self.durable_names.into_iter().map(|(name, file)| (name, durable[file].clone())).collect()
    }
}

fn apply(file: &mut Vec<u8>, loose: Loose, mood: Mood, luck: &mut Random) {
    let (part, garbage) = match mood {
        Mood::Loses => return,
        Mood::Keeps => (usize::MAX, false),
        Mood::Tears { part, garbage } => (part, garbage),
    };
    let tears = part != usize::MAX;
    match loose {
        Loose::SetSize(size) => {
            if !tears || luck.chance(50) {
                file.resize(size, 0);
            }
        }
        Loose::Write { at, bytes } => {
            let kept = luck.below(101);
            let mut done = 0;
            while done < bytes.len() {
                // Parts are parts of the file, as sectors are.
                let len = if tears { part - (at + done) % part } else { usize::MAX }.min(bytes.len() - done);
                let (from, to) = (at + done, at + done + len);
                if !tears || luck.chance(kept) {
                    put(file, from, &bytes[done..done + len]);
                } else if garbage && from >= file.len() {
                    put(file, from, &luck.bytes(len as u64));
                }
                done = to - at;
            }
        }
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    file.resize(file.len().max(at + bytes.len()), 0);
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

impl<N> State<N> {
    fn fails(&mut self, percent: u64) -> bool {
        percent > 0 && self.luck.chance(percent)
    }

    fn broken(&mut self, percent: u64) -> io::Result<()> {
        if self.fails(percent) { Err(io::Error::other("injected")) } else { Ok(()) }
    }

    fn broken_sync(&mut self) -> io::Result<()> {
        let percent = if self.faults.next_syncs > 0 { 100 } else { self.faults.sync };
        self.faults.next_syncs = self.faults.next_syncs.saturating_sub(1);
        self.broken(percent)
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn left(&self) -> usize {
        let used: usize = self.names.values().map(|file| self.files[*file].len()).sum();
        self.faults.space.map_or(usize::MAX, |space| space.saturating_sub(used))
    }
}

impl<N: Clone + Send + 'static> Disk for TestDisk<N> {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock().unwrap();
        let percent = state.faults.name;
        state.broken(percent)?;
        let file = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(name.into(), file);
        state.events.push(Event::Create { name: name.into(), file });
        Ok(Box::new(TestFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.lock().unwrap().find(name)?;
        Ok(Box::new(TestFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let percent = state.faults.name;
        state.broken(percent)?;
        let file = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.into(), file);
        state.events.push(Event::Rename { from: from.into(), to: to.into() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let percent = state.faults.name;
        state.broken(percent)?;
        state.find(name)?;
        state.names.remove(name);
        state.events.push(Event::Remove { name: name.into() });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let failed = state.broken_sync();
        state.events.push(Event::SyncNames { ok: failed.is_ok() });
        failed
    }
}

struct TestFile<N> {
    disk: TestDisk<N>,
    file: usize,
}

impl<N: Send> DiskFile for TestFile<N> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().unwrap().files[self.file].len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.disk.0.lock().unwrap();
        let bytes = state.files[self.file].get(offset as usize..).and_then(|bytes| bytes.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let (file, at) = (self.file, offset as usize);
        let grows = (at + bytes.len()).saturating_sub(state.files[file].len());
        let space = state.left();
        let percent = state.faults.write;
        let result =
            if grows > space { Err(io::ErrorKind::StorageFull.into()) } else { state.broken(percent) };
        let fits = bytes.len() - grows.saturating_sub(space);
        let len = if result.is_ok() { bytes.len() } else { state.luck.below(fits as u64 + 1) as usize };
        put(&mut state.files[file], at, &bytes[..len]);
        state.events.push(Event::Write { file, at, bytes: bytes[..len].to_vec() });
        result
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let percent = state.faults.name;
        state.broken(percent)?;
        state.files[self.file].resize(size as usize, 0);
        state.events.push(Event::SetSize { file: self.file, size: size as usize });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let failed = state.broken_sync();
        state.events.push(Event::Sync { file: self.file, ok: failed.is_ok() });
        failed
    }
}
