//! Random changes of inputs: of their bytes, and of the JSON that they are.

use serde_json::Value;

/// Pieces that mean something to one of the targets.
const TOKENS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e999",
    "18446744073709551616",
    "- ",
    "&a ",
    "*a",
    "!!binary ",
    "%",
    "\n",
    "\t",
    "\u{feff}",
    "é",
    "metadata",
    "$patch",
    "delete",
    "$setElementOrder/",
    "~1",
    "/-",
    "self",
    ".all(x, ",
    ".map(x, ",
    ")",
    "(",
    "==",
    " in ",
    "has(",
    "'",
    "? ",
    "x-kubernetes-",
];

/// A sequence of numbers that is the same for each seed.
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }
}

/// One of the inputs, changed, with parts of the others.
pub fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| corpus.get(random.below(corpus.len())).cloned().unwrap_or_default();
    let (mut input, other) = (pick(random), pick(random));
    if random.below(2) == 0
        && let (Ok(mut value), Ok(other)) = (serde_json::from_slice(&input), serde_json::from_slice(&other))
    {
        for _ in 0..=random.below(3) {
            let part = node(&other, random).clone();
            graft(&mut value, part, random);
        }
        return value.to_string().into_bytes();
    }
    for _ in 0..=random.below(4) {
        change(&mut input, &other, random);
    }
    input
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = at + random.below((input.len() - at).min(16) + 1);
    match random.below(6) {
        0 => drop(input.splice(at..end, [])),
        1 => drop(input.splice(at..end, TOKENS[random.below(TOKENS.len())].bytes())),
        2 => {
            let byte = random.next().to_le_bytes()[0];
            drop(input.splice(at..end.min(at + 1), [byte]));
        }
        3 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again.repeat(1 + random.below(40)));
        }
        4 => {
            let from = random.below(other.len() + 1);
            let to = from + random.below((other.len() - from).min(64) + 1);
            input.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

fn node<'v>(value: &'v Value, random: &mut Random) -> &'v Value {
    let mut value = value;
    while random.below(4) > 0 {
        let below = match value {
            Value::Array(items) => items.get(random.below(items.len())),
            Value::Object(members) => members.values().nth(random.below(members.len())),
            _ => None,
        };
        let Some(below) = below else { break };
        value = below;
    }
    value
}

/// Puts a part at some place, or takes away what is there.
fn graft(value: &mut Value, part: Value, random: &mut Random) {
    if random.below(5) == 0 {
        *value = part;
        return;
    }
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(5) {
                0 => drop(items.remove(at)),
                1 => items.push(part),
                _ => graft(&mut items[at], part, random),
            }
        }
        Value::Object(members) if !members.is_empty() => {
            let Some(name) = members.keys().nth(random.below(members.len())).cloned() else { return };
            match (random.below(5), members.get_mut(&name)) {
                (0, _) => drop(members.remove(&name)),
                (1, _) => drop(members.insert(TOKENS[random.below(TOKENS.len())].to_owned(), part)),
                (_, Some(below)) => graft(below, part, random),
                (_, None) => {}
            }
        }
        _ => *value = part,
    }
}
