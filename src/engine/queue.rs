//! The queue's index in memory: what waits, in which order, and the counts, all without scanning.
//!
//! The store has the truth on disk; this has what a worker needs to choose the next item and what `queue status` shows.
//! Items wait in lanes: one per platform, priority and substitutability, each first in, first out. A platform that takes
//! nothing now costs one look at its lanes, however many items wait there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::wire::{ByPriority, Platform, Priority, Time};

/// Order of acceptance: the row number in the store.
pub type Seq = i64;

/// FNV-1a over a subject's name: the same in every version of the program, since it is stored. Never 0.
pub fn subject_hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash.max(1)
}

/// Why an item waits for a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// It does not: it waits for a worker.
    #[default]
    No,
    /// The backoff after a failed try.
    Retry,
    /// Its user or workflow had its share of this minute.
    Throttle,
    /// Others may join its batch.
    Batch,
    /// It is driven again at a chosen pace.
    Pace,
}

/// A waiting item, as small as the index allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// The platform it is for.
    pub platform: Platform,
    /// The platform that stands in, once that is decided.
    pub via: Option<Platform>,
    /// How urgent.
    pub priority: Priority,
    /// Whether another platform could stand in.
    pub substitutable: bool,
    /// When it was accepted, or driven again.
    pub queued_at: Time,
    /// Not before this moment.
    pub due: Option<Time>,
    /// Why not before.
    pub wait: Wait,
    /// Tries so far that count against the retries.
    pub tries: u32,
    /// Whether a try was sent whose answer is not known: look before sending again.
    pub in_doubt: bool,
    /// Hash of the user, 0 for none.
    pub user: u64,
    /// Hash of the workflow, 0 for none.
    pub workflow: u64,
    /// Hash of what it can share a call with, 0 for nothing.
    pub batch: u64,
    /// Whether it belongs to a workflow's state: operators change it only through the workflow.
    pub owned: bool,
}

impl Item {
    /// The platform whose executor will run it.
    pub fn target(&self) -> Platform {
        self.via.unwrap_or(self.platform)
    }

    fn lane(&self) -> usize {
        let open_to_substitute = self.substitutable && self.via.is_none() && !self.in_doubt;
        self.target() as usize * 2 + usize::from(open_to_substitute)
    }

    fn joins_batches(&self) -> bool {
        self.batch != 0 && !self.in_doubt && self.tries == 0
    }
}

const LANES: usize = Platform::ALL.len() * 2;
const PRIORITIES: usize = Priority::ALL.len();

/// What a lane asks its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The executor of the lane.
    pub platform: Platform,
    /// Whether its items could run elsewhere.
    pub substitutable: bool,
}

/// Everything that waits.
#[derive(Debug, Default)]
pub struct Queue {
    items: BTreeMap<Seq, Item>,
    ready: [[BTreeSet<Seq>; LANES]; PRIORITIES],
    delayed: BTreeSet<(Time, Seq)>,
    /// By age: an item that is driven again is young, whatever its place in the order.
    ages: BTreeSet<(Time, Seq)>,
    batches: HashMap<u64, BTreeSet<Seq>>,
    counts: [u64; PRIORITIES],
    queued_at_sum: i128,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// A queue with these items, in any order.
    pub fn load(items: impl IntoIterator<Item = Item>) -> Self {
        let items: BTreeMap<Seq, Item> = items.into_iter().map(|item| (item.seq, item)).collect();
        let mut queue = Queue::new();
        for item in items.values() {
            queue.enlist(item);
        }
        queue.items = items;
        queue
    }

    /// Adds an item, or puts one back: it keeps its place in the order of acceptance.
    pub fn push(&mut self, item: Item) {
        self.remove(item.seq);
        self.enlist(&item);
        self.items.insert(item.seq, item);
    }

    fn enlist(&mut self, item: &Item) {
        self.counts[item.priority as usize] += 1;
        self.queued_at_sum += i128::from(item.queued_at.0);
        self.ages.insert((item.queued_at, item.seq));
        if item.joins_batches() {
            self.batches.entry(item.batch).or_default().insert(item.seq);
        }
        self.place(item);
    }

    /// Takes an item out.
    pub fn remove(&mut self, seq: Seq) -> Option<Item> {
        let item = self.items.remove(&seq)?;
        self.unplace(&item);
        self.counts[item.priority as usize] -= 1;
        self.queued_at_sum -= i128::from(item.queued_at.0);
        self.ages.remove(&(item.queued_at, seq));
        if let Some(members) = self.batches.get_mut(&item.batch) {
            members.remove(&seq);
            if members.is_empty() {
                self.batches.remove(&item.batch);
            }
        }
        Some(item)
    }

    /// Takes the next item: the most urgent priority, in it the oldest item whose lane's `gate` gives a platform to run it
    /// on. An item for which `hold` names a later moment is put aside until then.
    pub fn take(
        &mut self,
        now: Time,
        mut gate: impl FnMut(Lane) -> Option<Platform>,
        mut hold: impl FnMut(&Item) -> Option<Time>,
    ) -> Option<(Item, Platform)> {
        self.promote(now);
        let mut gates: [Option<Option<Platform>>; LANES] = [None; LANES];
        for priority in 0..PRIORITIES {
            loop {
                let mut best: Option<(Seq, Platform)> = None;
                for (lane, ready) in self.ready[priority].iter().enumerate() {
                    let Some(seq) = ready.first().copied() else { continue };
                    if best.is_some_and(|(other, _)| other < seq) {
                        continue;
                    }
                    let open = *gates[lane].get_or_insert_with(|| {
                        gate(Lane { platform: Platform::ALL[lane / 2], substitutable: lane % 2 == 1 })
                    });
                    best = open.map(|platform| (seq, platform)).or(best);
                }
                let Some((seq, platform)) = best else { break };
                let held = self.items.get(&seq).and_then(&mut hold);
                match held {
                    Some(until) => self.delay(seq, until, Wait::Throttle),
                    None => return self.remove(seq).map(|item| (item, platform)),
                }
            }
        }
        None
    }

    /// Takes up to `max` waiting items that can share a call with others of `batch`, oldest first.
    pub fn take_batch(&mut self, batch: u64, max: usize) -> Vec<Item> {
        let seqs: Vec<Seq> = self.batches.get(&batch).into_iter().flatten().take(max).copied().collect();
        seqs.into_iter().filter_map(|seq| self.remove(seq)).collect()
    }

    /// How many waiting items can share a call.
    pub fn batch_len(&self, batch: u64) -> usize {
        self.batches.get(&batch).map_or(0, BTreeSet::len)
    }

    /// A batch is full: its members wait no longer for others.
    pub fn release_batch(&mut self, batch: u64) {
        let waiting: Vec<Seq> = self.batches.get(&batch).into_iter().flatten().copied().collect();
        for seq in waiting {
            if self.items.get(&seq).is_some_and(|item| item.wait == Wait::Batch) {
                self.delay_until(seq, None, Wait::No);
            }
        }
    }

    /// Puts a waiting item aside until a moment.
    pub fn delay(&mut self, seq: Seq, until: Time, wait: Wait) {
        self.delay_until(seq, Some(until), wait);
    }

    /// Makes items ready whose moment has come.
    pub fn promote(&mut self, now: Time) {
        while let Some((due, seq)) = self.delayed.first().copied() {
            if due > now {
                return;
            }
            self.delay_until(seq, None, Wait::No);
        }
    }

    /// The next moment at which a delayed item becomes ready.
    pub fn next_due(&self) -> Option<Time> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// Whether anything waits for a worker now in a lane of this platform.
    pub fn has_ready(&self, platform: Platform) -> bool {
        let first = platform as usize * 2;
        self.ready.iter().any(|lanes| !lanes[first].is_empty() || !lanes[first + 1].is_empty())
    }

    /// A waiting item.
    pub fn get(&self, seq: Seq) -> Option<&Item> {
        self.items.get(&seq)
    }

    /// Items that wait, delayed ones included.
    pub fn len(&self) -> u64 {
        self.items.len() as u64
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The same by priority.
    pub fn by_priority(&self) -> ByPriority {
        let [critical, high, normal, low] = self.counts;
        ByPriority { critical, high, normal, low }
    }

    /// How many items wait that are at least as urgent.
    pub fn ahead_of_new(&self, priority: Priority) -> u64 {
        self.counts[..=priority as usize].iter().sum()
    }

    /// Mean age in milliseconds; 0 when nothing waits.
    pub fn mean_age_ms(&self, now: Time) -> u64 {
        let n = i128::try_from(self.items.len()).unwrap_or(i128::MAX);
        let sum = i128::from(now.0) * n - self.queued_at_sum;
        u64::try_from(sum.checked_div(n).unwrap_or(0)).unwrap_or(0)
    }

    /// When the item that waits longest was accepted.
    pub fn oldest(&self) -> Option<Time> {
        self.ages.first().map(|(queued_at, _)| *queued_at)
    }

    /// Items in the order of acceptance.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.values()
    }

    /// Items that wait since before a moment, oldest first; the younger ones are not looked at.
    pub fn waiting_since_before(&self, moment: Time) -> impl Iterator<Item = &Item> {
        let old = self.ages.iter().take_while(move |(queued_at, _)| *queued_at < moment);
        old.filter_map(|(_, seq)| self.items.get(seq))
    }

    fn place(&mut self, item: &Item) {
        match item.due {
            Some(due) => self.delayed.insert((due, item.seq)),
            None => self.ready[item.priority as usize][item.lane()].insert(item.seq),
        };
    }

    fn unplace(&mut self, item: &Item) {
        match item.due {
            Some(due) => self.delayed.remove(&(due, item.seq)),
            None => self.ready[item.priority as usize][item.lane()].remove(&item.seq),
        };
    }

    fn delay_until(&mut self, seq: Seq, due: Option<Time>, wait: Wait) {
        let Some(mut item) = self.items.get(&seq).copied() else { return };
        self.unplace(&item);
        (item.due, item.wait) = (due, wait);
        self.place(&item);
        self.items.insert(seq, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(seq: Seq, platform: Platform, priority: Priority) -> Item {
        Item {
            seq,
            platform,
            via: None,
            priority,
            substitutable: false,
            queued_at: Time(seq * 1000),
            due: None,
            wait: Wait::No,
            tries: 0,
            in_doubt: false,
            user: 0,
            workflow: 0,
            batch: 0,
            owned: false,
        }
    }

    fn drain(queue: &mut Queue, now: Time, open: &[Platform]) -> Vec<Seq> {
        let gate = |lane: Lane| open.contains(&lane.platform).then_some(lane.platform);
        std::iter::from_fn(|| queue.take(now, gate, |_| None)).map(|(item, _)| item.seq).collect()
    }

    #[test]
    fn urgent_first_then_oldest_over_all_platforms() {
        use Platform::*;
        use Priority::*;
        let mut queue = Queue::load([
            item(1, Notion, Low),
            item(2, Slack, Normal),
            item(3, Notion, Normal),
            item(4, Drive, Critical),
            item(5, Slack, High),
        ]);
        assert_eq!(queue.len(), 5);
        assert_eq!(drain(&mut queue, Time(0), Platform::ALL), [4, 5, 2, 3, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_platform_that_takes_nothing_is_passed_by() {
        use Platform::*;
        let mut queue =
            Queue::load((1..=6).map(|n| item(n, if n % 2 == 0 { Slack } else { Notion }, Priority::Normal)));
        assert_eq!(drain(&mut queue, Time(0), &[Slack]), [2, 4, 6]);
        assert_eq!(queue.len(), 3);
        assert!(queue.has_ready(Notion) && !queue.has_ready(Slack));
    }

    #[test]
    fn a_retry_waits_without_a_place_in_the_lane_and_keeps_its_order() {
        let mut queue = Queue::load([item(2, Platform::Notion, Priority::Normal)]);
        queue.push(Item { due: Some(Time(5000)), wait: Wait::Retry, ..item(1, Platform::Notion, Priority::Normal) });
        assert_eq!(queue.next_due(), Some(Time(5000)));
        assert_eq!(drain(&mut queue, Time(4999), Platform::ALL), [2]);
        queue.push(item(3, Platform::Notion, Priority::Normal));
        assert_eq!(drain(&mut queue, Time(5000), Platform::ALL), [1, 3]);
    }

    #[test]
    fn counts_follow_every_change() {
        let mut queue =
            Queue::load([item(1, Platform::Notion, Priority::Low), item(3, Platform::Slack, Priority::High)]);
        assert_eq!(queue.mean_age_ms(Time(5000)), 3000);
        assert_eq!(queue.oldest(), Some(Time(1000)));
        assert_eq!(queue.ahead_of_new(Priority::Normal), 1);
        assert_eq!(queue.waiting_since_before(Time(3000)).count(), 1);
        queue.push(Item { queued_at: Time(4000), ..item(1, Platform::Notion, Priority::Low) });
        assert_eq!((queue.oldest(), queue.waiting_since_before(Time(4000)).count()), (Some(Time(3000)), 1));
        queue.push(item(1, Platform::Notion, Priority::Low));
        queue.push(Item { due: Some(Time(9000)), ..item(3, Platform::Slack, Priority::High) });
        assert_eq!(queue.by_priority(), ByPriority { low: 1, high: 1, ..ByPriority::default() });
        queue.remove(1);
        assert_eq!(queue.mean_age_ms(Time(5000)), 2000);
        queue.remove(3);
        assert_eq!((queue.mean_age_ms(Time(5000)), queue.next_due()), (0, None));
    }

    #[test]
    fn a_held_item_lets_the_next_one_pass() {
        let busy = Item { user: 9, ..item(1, Platform::Notion, Priority::Normal) };
        let mut queue = Queue::load([busy, item(2, Platform::Notion, Priority::Normal)]);
        let gate = |lane: Lane| Some(lane.platform);
        let hold = |item: &Item| (item.user == 9).then_some(Time(60_000));
        assert_eq!(queue.take(Time(0), gate, hold).map(|(item, _)| item.seq), Some(2));
        assert_eq!(queue.get(1).map(|item| (item.due, item.wait)), Some((Some(Time(60_000)), Wait::Throttle)));
        assert_eq!(drain(&mut queue, Time(60_000), Platform::ALL), [1]);
    }

    #[test]
    fn only_substitutable_items_go_elsewhere() {
        let create = Item { substitutable: true, ..item(2, Platform::Notion, Priority::Normal) };
        let lost = Item { substitutable: true, in_doubt: true, ..item(3, Platform::Notion, Priority::Normal) };
        let mut queue = Queue::load([item(1, Platform::Notion, Priority::Normal), create, lost]);
        let mut gate = |lane: Lane| lane.substitutable.then_some(Platform::Trello);
        let taken = queue.take(Time(0), &mut gate, |_| None).map(|(item, platform)| (item.seq, platform));
        assert_eq!(taken, Some((2, Platform::Trello)));
        assert_eq!(queue.take(Time(0), &mut gate, |_| None), None);
    }

    #[test]
    fn a_batch_waits_for_others_until_it_is_full() {
        let member = |seq| Item {
            batch: 5,
            due: Some(Time(99_000)),
            wait: Wait::Batch,
            ..item(seq, Platform::Sheets, Priority::Low)
        };
        let mut queue = Queue::load([member(1), member(2)]);
        assert_eq!(drain(&mut queue, Time(1000), Platform::ALL), [] as [Seq; 0]);
        queue.push(member(3));
        assert_eq!(queue.batch_len(5), 3);
        queue.release_batch(5);
        let (first, _) = queue.take(Time(1000), |lane| Some(lane.platform), |_| None).unwrap();
        let rest: Vec<_> = queue.take_batch(first.batch, 9).iter().map(|item| item.seq).collect();
        assert_eq!((first.seq, rest, queue.batch_len(5)), (1, vec![2, 3], 0));
    }

    #[test]
    fn subjects_hash_the_same_for_ever() {
        assert_eq!(subject_hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_ne!(subject_hash(""), 0);
    }
}
