//! What the table in the kernel holds, and the transactions that change it. Pure.
//!
//! Invariants: a transaction names only what differs. Where several parts claim one element (two services with the same
//! external address and port) the first in order has it, and the next takes over when that one goes.

use super::nft::Listed;
use crate::{
    ProxyConfig,
    index::Subject,
    render::{
        Rules, base,
        part::{Destination, Element, Part},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    net::SocketAddrV4,
    sync::Arc,
};

/// Who answers UDP clients of destinations that changed; no one when a destination is gone.
pub type Datagrams = BTreeMap<Destination, BTreeSet<SocketAddrV4>>;

/// The table.
#[derive(Debug)]
pub struct Table {
    config: Arc<ProxyConfig>,
    parts: HashMap<Subject, Part>,
    claims: BTreeMap<Element, BTreeMap<Subject, String>>,
    datagrams: Datagrams,
}

impl Table {
    /// An empty table.
    pub fn new(config: Arc<ProxyConfig>) -> Self {
        Self { config, parts: HashMap::new(), claims: BTreeMap::new(), datagrams: Datagrams::new() }
    }
    /// UDP destinations that changed since the last call.
    pub fn take_datagrams(&mut self) -> Datagrams {
        std::mem::take(&mut self.datagrams)
    }

    /// The transaction that makes a table hold these rules and nothing else, keeping sets that are still wanted.
    pub fn rebuild(&mut self, rules: Rules, listed: &Listed, bridge_is_filtered: bool) -> String {
        self.parts.clear();
        self.claims.clear();
        let script = self.script(rules.parts);
        let name = self.config.table();
        let mut text = format!("add table ip {name}\n");
        if listed.exists {
            line(&mut text, format_args!("flush table ip {name}"));
            for (what, shared) in base::shared().filter(|(what, own)| listed.has_set(what, own)) {
                line(&mut text, format_args!("flush {what} ip {name} {shared}"));
            }
        }
        self.write_base(&mut text, bridge_is_filtered);
        script.write(&name, &mut text);
        self.write_leftovers(&mut text, listed);
        text
    }

    /// The transaction that makes the same table anew.
    pub fn anew(&self, bridge_is_filtered: bool) -> String {
        let name = self.config.table();
        let mut text = format!("add table ip {name}\ndelete table ip {name}\nadd table ip {name}\n");
        self.write_base(&mut text, bridge_is_filtered);
        let mut all = Self::new(self.config.clone());
        all.script(self.parts.clone().into_iter().collect()).write(&name, &mut text);
        text
    }

    /// The transaction that brings these parts up to date; empty when they are.
    pub fn change(&mut self, parts: Vec<(Subject, Part)>) -> String {
        let script = self.script(parts);
        let mut text = String::new();
        script.write(&self.config.table(), &mut text);
        text
    }

    fn write_base(&self, text: &mut String, bridge_is_filtered: bool) {
        for command in base::commands(&self.config, bridge_is_filtered) {
            line(text, format_args!("{command}"));
        }
    }

    fn write_leftovers(&self, text: &mut String, listed: &Listed) {
        let name = self.config.table();
        let own = self.parts.values();
        let chains: BTreeSet<&str> =
            own.clone().flat_map(|part| part.chains.keys()).map(String::as_str).collect();
        let sets: BTreeSet<&str> = own.flat_map(|part| part.sets.keys()).map(String::as_str).collect();
        let fixed = base::names(&self.config);
        for chain in &listed.chains {
            if !chains.contains(chain.as_str()) && !fixed.contains(&chain.as_str()) {
                line(text, format_args!("delete chain ip {name} {chain}"));
            }
        }
        for (what, set) in &listed.sets {
            let is_shared = base::shared().any(|(_, shared)| shared == set);
            if !sets.contains(set.as_str()) && !is_shared {
                line(text, format_args!("delete {what} ip {name} {set}"));
            }
        }
    }

    fn script(&mut self, parts: Vec<(Subject, Part)>) -> Script {
        let mut script = Script::default();
        let mut touched: BTreeMap<Element, Option<String>> = BTreeMap::new();
        for (subject, new) in parts {
            let old = self.parts.remove(&subject).unwrap_or_default();
            if old != new {
                script.objects(&old, &new);
                self.claim(&subject, &old, &new, &mut touched);
                self.note_datagrams(&old, &new);
            }
            if !new.is_empty() {
                self.parts.insert(subject, new);
            }
        }
        for (element, before) in touched {
            let after = self.value(&element);
            script.element(element, before.as_deref(), after);
        }
        script
    }

    /// Notes who claims what now; `touched` keeps the values of before.
    fn claim(
        &mut self,
        subject: &Subject,
        old: &Part,
        new: &Part,
        touched: &mut BTreeMap<Element, Option<String>>,
    ) {
        let differing = |a: &'_ Part, b: &'_ Part| -> Vec<Element> {
            a.elements
                .iter()
                .filter(|(key, value)| b.elements.get(*key) != Some(*value))
                .map(|(key, _)| key.clone())
                .collect()
        };
        for element in differing(old, new).into_iter().chain(differing(new, old)) {
            let before = self.value(&element).map(str::to_owned);
            touched.entry(element.clone()).or_insert(before);
            match new.elements.get(&element) {
                Some(value) => {
                    self.claims.entry(element).or_default().insert(subject.clone(), value.clone());
                }
                None => self.unclaim(&element, subject),
            }
        }
    }

    fn unclaim(&mut self, element: &Element, subject: &Subject) {
        if let Some(claims) = self.claims.get_mut(element) {
            claims.remove(subject);
            if claims.is_empty() {
                self.claims.remove(element);
            }
        }
    }

    fn value(&self, element: &Element) -> Option<&str> {
        self.claims.get(element)?.values().next().map(String::as_str)
    }

    fn note_datagrams(&mut self, old: &Part, new: &Part) {
        for destination in old.datagrams.keys().chain(new.datagrams.keys()) {
            let now = new.datagrams.get(destination);
            if now != old.datagrams.get(destination) {
                self.datagrams.insert(*destination, now.cloned().unwrap_or_default());
            }
        }
    }
}

impl Listed {
    fn has_set(&self, what: &str, name: &str) -> bool {
        self.sets.iter().any(|(own, set)| own == what && set == name)
    }
}

/// A transaction in the order that nft takes: nothing is used before it is there, or goes while it is used.
#[derive(Debug, Default)]
struct Script {
    elements_gone: BTreeMap<&'static str, Vec<String>>,
    sets: Vec<(String, String)>,
    chains: Vec<String>,
    flushed: Vec<String>,
    rules: Vec<(String, String)>,
    elements: BTreeMap<&'static str, Vec<String>>,
    chains_gone: Vec<String>,
    sets_gone: Vec<String>,
}

impl Script {
    fn objects(&mut self, old: &Part, new: &Part) {
        for (set, kind) in &new.sets {
            if !old.sets.contains_key(set) {
                self.sets.push((set.clone(), kind.clone()));
            }
        }
        for (chain, rules) in &new.chains {
            match old.chains.get(chain) {
                Some(before) if before == rules => continue,
                Some(_) => self.flushed.push(chain.clone()),
                None => self.chains.push(chain.clone()),
            }
            self.rules.extend(rules.iter().map(|rule| (chain.clone(), rule.clone())));
        }
        let gone = old.chains.keys().filter(|chain| !new.chains.contains_key(*chain));
        self.chains_gone.extend(gone.cloned());
        self.sets_gone.extend(old.sets.keys().filter(|set| !new.sets.contains_key(*set)).cloned());
    }

    fn element(&mut self, element: Element, before: Option<&str>, after: Option<&str>) {
        if before == after {
            return;
        }
        let Element { map, key } = element;
        if before.is_some() {
            self.elements_gone.entry(map).or_default().push(key.clone());
        }
        if let Some(value) = after {
            let text = if value.is_empty() { key } else { format!("{key} : {value}") };
            self.elements.entry(map).or_default().push(text);
        }
    }

    fn write(&self, table: &str, text: &mut String) {
        for (map, keys) in &self.elements_gone {
            line(text, format_args!("delete element ip {table} {map} {{ {} }}", keys.join(", ")));
        }
        for (set, kind) in &self.sets {
            line(text, format_args!("add set ip {table} {set} {{ {kind} }}"));
        }
        for chain in &self.chains {
            line(text, format_args!("add chain ip {table} {chain}"));
        }
        for chain in self.flushed.iter().chain(&self.chains_gone) {
            line(text, format_args!("flush chain ip {table} {chain}"));
        }
        for (chain, rule) in &self.rules {
            line(text, format_args!("add rule ip {table} {chain} {rule}"));
        }
        for (map, elements) in &self.elements {
            line(text, format_args!("add element ip {table} {map} {{ {} }}", elements.join(", ")));
        }
        for chain in &self.chains_gone {
            line(text, format_args!("delete chain ip {table} {chain}"));
        }
        for set in &self.sets_gone {
            line(text, format_args!("delete set ip {table} {set}"));
        }
    }
}

fn line(text: &mut String, command: std::fmt::Arguments<'_>) {
    writeln!(text, "{command}").expect("a string takes everything");
}
