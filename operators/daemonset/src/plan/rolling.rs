//! Rolling replacement of old pods: within maxUnavailable, or with maxSurge a new pod beside the old one first.

use super::{Draft, Place, Places};
use proa_kit::views::PodView;

/// The pods of one node: at most one of the new and one of the old template.
struct Pair<'a> {
    new: Option<&'a PodView>,
    old: Option<&'a PodView>,
}

impl<'a> Draft<'a> {
    pub(super) fn roll(&mut self, places: &Places<'a>) {
        let desired = i32::try_from(places.values().filter(|place| place.runs()).count()).unwrap_or(i32::MAX);
        let surge = self.limit(|limits| limits.max_surge.clone(), desired);
        let mut unavailable = self.limit(|limits| limits.max_unavailable.clone(), desired);
        if surge == 0 && unavailable == 0 && desired > 0 {
            unavailable = 1;
        }
        // Places that neither have nor shall have a pod do not count.
        let concerned = places.iter().filter(|(_, place)| place.runs() || !place.pods.is_empty());
        let concerned: Vec<_> = concerned.map(|(node, place)| (*node, place)).collect();
        if surge == 0 {
            self.replace(&concerned, unavailable);
        } else {
            self.surge(&concerned, surge, desired);
        }
    }
    /// The pods of a node that are not going; `None` when there are too many of one template.
    fn pair(&self, place: &Place<'a>) -> Option<Pair<'a>> {
        let mut pair = Pair { new: None, old: None };
        for pod in place.pods.iter().filter(|pod| !pod.metadata.is_deleting()) {
            let slot = if self.is_updated(pod) { &mut pair.new } else { &mut pair.old };
            if slot.replace(pod).is_some() {
                return None;
            }
        }
        Some(pair)
    }
    fn replace(&mut self, places: &[(&'a str, &Place<'a>)], most: i32) {
        let (mut unavailable, mut at_once, mut candidates) = (0, Vec::new(), Vec::new());
        for (_, place) in places {
            match self.pair(place) {
                Some(Pair { new: Some(new), old: None }) => {
                    unavailable += i32::from(!self.is_available(new));
                }
                Some(Pair { new: None, old: Some(old) }) if self.is_available(old) => candidates.push(old),
                Some(Pair { new: None, old: Some(old) }) => {
                    at_once.push(old);
                    unavailable += 1;
                }
                _ => unavailable += 1,
            }
        }
        let room = usize::try_from(most - unavailable).unwrap_or(0);
        self.delete.extend(at_once);
        self.delete.extend(candidates.into_iter().take(room));
    }
    fn surge(&mut self, places: &[(&'a str, &Place<'a>)], most: i32, desired: i32) {
        let (mut surging, mut available) = (0, 0);
        let (mut candidates, mut misplaced) = (Vec::new(), Vec::new());
        for (node, place) in places {
            let Some(pair) = self.pair(place) else {
                surging += 1;
                continue;
            };
            let counted = pair.old.or(pair.new);
            available += i32::from(counted.is_some_and(|pod| self.is_available(pod)));
            match (pair.old, pair.new) {
                (None, _) => {}
                (Some(old), Some(new)) if self.is_available(new) => self.delete.push(old),
                (Some(_), Some(_)) => surging += 1,
                (Some(old), None) => match (self.is_available(old), place.runs()) {
                    (false, false) => self.delete.push(old),
                    (false, true) => self.create_on.push(node),
                    (true, false) => misplaced.push(old),
                    (true, true) => candidates.push(*node),
                },
            }
        }
        let spare = usize::try_from(available - desired).unwrap_or(0);
        self.delete.extend(misplaced.into_iter().take(spare));
        let room = usize::try_from(most - surging).unwrap_or(0);
        self.create_on.extend(candidates.into_iter().take(room));
    }
}
