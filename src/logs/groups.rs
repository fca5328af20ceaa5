//! Rows counted by a value in bounded memory: the values lie one after the other in one buffer, and a small table of
//! numbers finds them. A map of strings takes three times as much.

use std::hash::{BuildHasher, RandomState};

use super::json::Value;

/// Different values that are counted one by one; rows of others are counted together.
pub const GROUPS_MAX: usize = 100_000;
/// Bytes of values that are kept at most; longer ones use up the room of others.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// The first values met, which most lines have again, are compared before anything is hashed.
const FIRST: usize = 8;

/// Rows by the value of a key.
#[derive(Debug, Default)]
pub struct Groups {
    bytes: Vec<u8>,
    groups: Vec<Group>,
    /// For each hash, the place of its group plus one, or of a later one; 0 is free. At most half full.
    slots: Vec<u32>,
    hasher: RandomState,
    /// Rows whose value came when there was no more room.
    pub other: u64,
}

#[derive(Debug)]
struct Group {
    /// Where its value ends; it begins where the one before ends.
    end: u32,
    hash: u32,
    rows: u64,
}

impl Groups {
    /// Counts a row by a value, as it reads.
    pub fn count(&mut self, value: Value<'_>) {
        match value {
            Value::Text(text) if !text.escaped => self.add(text.raw, 1),
            other => self.add(other.plain().as_bytes(), 1),
        }
    }

    /// Counts rows that have this value.
    pub fn add(&mut self, value: &[u8], rows: u64) {
        if let Some(place) = (0..self.groups.len().min(FIRST)).find(|place| self.value(*place) == value) {
            self.groups[place].rows += rows;
            return;
        }
        if self.slots.len() < 2 * (self.groups.len() + 1) {
            self.grow();
        }
        let hash = self.hasher.hash_one(value) as u32;
        let mut slot = self.slot(hash);
        while let Some(place) = (self.slots[slot] as usize).checked_sub(1) {
            if self.groups[place].hash == hash && self.value(place) == value {
                self.groups[place].rows += rows;
                return;
            }
            slot = (slot + 1) % self.slots.len();
        }
        if self.groups.len() == GROUPS_MAX || self.bytes.len() + value.len() > BYTES_MAX {
            self.other += rows;
            return;
        }
        self.bytes.extend_from_slice(value);
        self.groups.push(Group { end: self.bytes.len() as u32, hash, rows });
        self.slots[slot] = self.groups.len() as u32;
    }

    /// Takes over what another has counted, and leaves it empty.
    pub fn take(&mut self, from: &mut Groups) {
        from.iter().for_each(|(value, rows)| self.add(value, rows));
        self.other += std::mem::take(&mut from.other);
        from.bytes.clear();
        from.groups.clear();
        from.slots.fill(0);
    }

    /// How many different values.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Bytes of all values.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Values with their rows, in the order in which they were met.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.groups.iter().enumerate().map(|(place, group)| (self.value(place), group.rows))
    }

    /// The values with most rows, those first; values with as many by their text.
    pub fn largest(&self, limit: usize) -> Vec<(String, u64)> {
        let by_rows = |a: &u32, b: &u32| {
            let (a, b) = (*a as usize, *b as usize);
            self.groups[b].rows.cmp(&self.groups[a].rows).then_with(|| self.value(a).cmp(self.value(b)))
        };
        let mut places: Vec<u32> = (0..self.groups.len() as u32).collect();
        places.sort_unstable_by(by_rows);
        let shown = places.into_iter().take(limit).map(|place| place as usize);
        shown.map(|at| (String::from_utf8_lossy(self.value(at)).into_owned(), self.groups[at].rows)).collect()
    }

    fn value(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.groups[before].end as usize);
        &self.bytes[start..self.groups[place].end as usize]
    }

    fn slot(&self, hash: u32) -> usize {
        hash as usize % self.slots.len()
    }

    fn grow(&mut self) {
        self.slots.clear();
        self.slots.resize((4 * self.groups.len()).next_power_of_two().max(64), 0);
        for place in 0..self.groups.len() {
            let mut slot = self.slot(self.groups[place].hash);
            while self.slots[slot] != 0 {
                slot = (slot + 1) % self.slots.len();
            }
            self.slots[slot] = place as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn counts_are_those_of_a_map() {
        let mut random = fastrand::Rng::with_seed(5);
        let (mut groups, mut part, mut map) = (Groups::default(), Groups::default(), HashMap::new());
        for round in 0..200_000 {
            let value = format!("v{}", random.u32(0..30_000) / random.u32(1..5_000));
            *map.entry(value.clone().into_bytes()).or_insert(0) += 1;
            if round % 3 == 0 {
                part.add(value.as_bytes(), 1)
            } else {
                groups.add(value.as_bytes(), 1)
            }
            if part.len() > 100 {
                groups.take(&mut part);
            }
        }
        groups.take(&mut part);
        let counted: HashMap<Vec<u8>, u64> = groups.iter().map(|(value, rows)| (value.to_vec(), rows)).collect();
        assert_eq!((counted.len(), groups.other, part.len()), (groups.len(), 0, 0));
        assert_eq!(counted, map);
        let largest = groups.largest(10);
        assert_eq!(largest.len(), 10);
        assert!(largest.is_sorted_by(|a, b| (b.1, &a.0) <= (a.1, &b.0)), "{largest:?}");
        assert_eq!(largest[0].1, *map.values().max().unwrap());
    }

    #[test]
    fn what_has_no_room_is_counted_as_other() {
        let mut groups = Groups::default();
        (0..GROUPS_MAX + 7).for_each(|n| groups.add(n.to_string().as_bytes(), 1));
        groups.add(b"99999", 2);
        assert_eq!((groups.len(), groups.other), (GROUPS_MAX, 7));
        assert_eq!(groups.largest(1), [("99999".to_owned(), 3)]);

        let mut long = Groups::default();
        (0..9).for_each(|n| long.add(&[vec![b'x'; 1024 * 1024 - 1], vec![b'0' + n]].concat(), 1));
        assert_eq!((long.len(), long.other), (4, 5));
    }
}
