//! Ids in the vendors' shapes, the same for the same seed.

use serde::{Deserialize, Serialize};

use crate::wire::Time;

const HEX: &[u8] = b"0123456789abcdef";
const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const DIGITS: &[u8] = b"0123456789";

/// A sequence of ids. Its place is part of a snapshot, so that a restored simulator repeats none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ids {
    seed: u64,
    used: u64,
}

impl Ids {
    /// `name` keeps the sequences of two simulators with one seed apart.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mixed = name.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17)
        });
        Ids { seed: mixed, used: 0 }
    }

    fn letters(&mut self, count: usize, from: &[u8]) -> String {
        self.used += 1;
        let mut rng = fastrand::Rng::with_seed(self.seed.wrapping_add(self.used.wrapping_mul(0xd134_2543_de82_ef95)));
        (0..count).map(|_| char::from(from[rng.usize(..from.len())])).collect()
    }

    pub(super) fn hex(&mut self, count: usize) -> String {
        self.letters(count, HEX)
    }

    pub(super) fn alnum(&mut self, count: usize) -> String {
        self.letters(count, ALNUM)
    }

    pub(super) fn digits(&mut self, count: usize) -> String {
        self.letters(count, DIGITS)
    }

    /// Slack's: a letter for the kind, then ten upper-case letters and digits.
    pub(super) fn slack(&mut self, kind: char) -> String {
        format!("{kind}0{}", self.letters(9, UPPER))
    }

    /// A version 4 UUID.
    pub(super) fn uuid(&mut self) -> String {
        let h = self.hex(32);
        format!("{}-{}-4{}-a{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..])
    }

    /// Trello's: seconds, then what tells two of one second apart; they sort by creation.
    pub(super) fn trello(&mut self, now: Time) -> String {
        self.used += 1;
        let seconds = u32::try_from(now.0 / 1000).unwrap_or_default();
        format!("{seconds:08x}{:010x}{:06x}", self.seed & 0xff_ffff_ffff, self.used & 0xff_ffff)
    }

    /// Drive's.
    pub(super) fn drive(&mut self) -> String {
        format!("1{}", self.alnum(32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let mut ids = Ids::new(1, "t");
        let uuid = ids.uuid();
        assert_eq!((uuid.len(), uuid.as_bytes()[14], uuid.as_bytes()[19]), (36, b'4', b'a'));
        let (one, two) = (ids.trello(Time(1_790_000_000_000)), ids.trello(Time(1_790_000_000_001)));
        assert!(one < two && one.len() == 24 && one.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(Ids::new(1, "a").hex(8), Ids::new(1, "b").hex(8));
        assert_eq!(Ids::new(1, "a").hex(8), Ids::new(1, "a").hex(8));
    }
}
