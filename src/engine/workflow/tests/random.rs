//! Random step graphs with random faults, moments and people: whatever happens, the rules hold.

use std::io::Write;

use serde_json::json;

use super::*;
use crate::wire::RollbackMode;

/// Random workflows; each is followed to its rest, and often rolled back again and again.
const CASES: u64 = 4000;
/// Ends of actions and changes by people until a workflow must have come to rest.
const PATIENCE: usize = 500;

/// What happened over all cases, so that a generator that tries nothing does not pass.
#[derive(Debug, Default)]
struct Seen {
    events: BTreeMap<&'static str, u64>,
    statuses: BTreeMap<&'static str, u64>,
    moves: BTreeSet<(&'static str, &'static str)>,
}

struct Case {
    rng: fastrand::Rng,
    state: State,
    ground: Ground,
    log: Vec<Event>,
    now: i64,
}

fn graph(rng: &mut fastrand::Rng) -> WorkflowRequest {
    let count = rng.usize(1..=8);
    let steps = (0..count).map(|n| {
        let name = format!("s{n}");
        let mut step = file(&name, json!({"optional": rng.u8(..) < 40}));
        if n > 0 && rng.bool() {
            let earlier: Vec<String> = (0..rng.usize(0..3)).map(|_| format!("s{}", rng.usize(0..n))).collect();
            step["dependsOn"] = json!(earlier);
        }
        if n > 0 && rng.u8(..) < 60 {
            let path = if rng.u8(..) < 230 { "id" } else { "nowhere" };
            step["data"]["content"] = json!(format!("$s{}.{path}", rng.usize(0..n)));
        }
        step
    });
    let mut request = request(steps.collect());
    request.transactional = rng.u8(..) < 220;
    request
}

impl Case {
    fn new(seed: u64) -> Case {
        let mut rng = fastrand::Rng::with_seed(seed);
        let request = graph(&mut rng);
        assert_eq!(check(&request, 8), Vec::<String>::new());
        let mut ground = Ground::default();
        for step in &request.steps {
            match rng.u8(..) {
                0..30 => _ = ground.ways.insert(step.id.clone(), Way::Manual(vec!["by hand".into()])),
                30..50 => _ = ground.ways.insert(step.id.clone(), Way::Nothing("it only read")),
                _ => {}
            }
        }
        let (state, event) = accepted(request);
        let mut case = Case { rng, state, ground, log: vec![event], now: 0 };
        let rules = case.rules();
        let events = advance(&mut case.state, rules, &mut case.ground).unwrap();
        case.enter(events);
        case
    }

    fn rules(&mut self) -> Rules {
        self.now += self.rng.i64(0..3);
        Rules { now: Time(self.now), rollback: true }
    }

    fn enter(&mut self, events: Vec<Event>) {
        self.ground.take(&events);
        self.log.extend(events);
    }

    /// Something happens: a request leaves, an action ends, time is over, or a person comes.
    fn happen(&mut self) {
        match self.rng.u8(..) {
            0..40 => {
                if let Some(sent) = self.rng.choice(self.ground.queue.values_mut().collect::<Vec<_>>()) {
                    *sent = true;
                }
            }
            40..44 => self.time_over(),
            44..48 => self.person(),
            _ => self.end_one(),
        }
    }

    fn end_one(&mut self) {
        let waiting: Vec<String> = self.ground.queue.keys().cloned().collect();
        let Some(action) = self.rng.choice(waiting) else { return };
        self.ground.queue.remove(&action);
        let place = self.state.place_of_action(&action).unwrap();
        let is_undo = self.state.steps[place].undo_action.as_deref() == Some(&action);
        let luck = self.rng.u8(..);
        let change = match (is_undo, luck) {
            (true, 0..80) => undo_failed(),
            (true, _) => undone(),
            (false, 0..35) => failed(ErrorCode::PermissionDenied),
            (false, 35..45) => {
                Change::StepFailed { error: error(ErrorCode::TimeoutError), in_doubt: true, before: None }
            }
            (false, _) => done(json!({"id": action})),
        };
        let rules = self.rules();
        let step = Some(self.state.steps[place].definition.id.clone());
        let event = Event { at: rules.now, step, change, by: None };
        self.state.apply(&event).unwrap();
        self.log.push(event);
        let events = advance(&mut self.state, rules, &mut self.ground).unwrap();
        self.enter(events);
    }

    fn time_over(&mut self) {
        let rules = self.rules();
        if overdue(&self.state) {
            let events = time_over(&mut self.state, 1, rules, &mut self.ground).unwrap();
            self.enter(events);
        }
    }

    fn person(&mut self) {
        let rules = self.rules();
        if self.state.lease.is_some() {
            return;
        }
        let mode = RollbackMode::ALL[self.rng.usize(..3)];
        if may_roll_back(&self.state, mode).is_ok() {
            let events = roll_back(&mut self.state, mode, "ana", rules, &mut self.ground).unwrap();
            self.enter(events);
        }
    }

    /// What must hold at every moment.
    fn hold(&self) {
        let undoing = self.state.steps.iter().filter(|s| s.undo_status() == Some(UndoStatus::InProgress)).count();
        assert!(undoing == 0 || (undoing == 1 && !self.state.in_flight()), "one undo at a time, after every step");
        assert_eq!(self.state.lease.is_some(), self.state.status == WorkflowStatus::RollingBack);
        assert!(!self.ground.queue.is_empty() || self.state.at_rest(), "nothing is under way: {:?}", self.state.status);
    }

    /// What must hold of the whole log.
    fn judge(&self, seen: &mut Seen) {
        let mut state = State::accepted("w", &self.log[0]).unwrap();
        let mut undone = BTreeSet::new();
        let mut below = u32::MAX;
        for event in &self.log[1..] {
            let (before, kind) = (state.clone(), event.change.kind());
            *seen.events.entry(kind.as_str()).or_default() += 1;
            state.apply(event).expect("the log is legal");
            if before.status != state.status {
                seen.moves.insert((before.status.as_str(), state.status.as_str()));
            }
            let read = Change::read(kind, event.change.data()).expect("the entry can be read");
            assert_eq!(read, event.change, "an entry is the same after it was stored");
            let Some(place) = event.step.as_deref().and_then(|id| before.place(id)) else {
                below = u32::MAX;
                continue;
            };
            match &event.change {
                Change::StepStarted { .. } => {
                    let ended =
                        |at: &usize| !matches!(before.steps[*at].status, StepStatus::Pending | StepStatus::Executing);
                    assert!(before.steps[place].waits.iter().all(ended), "a step waits for those it depends on");
                }
                Change::UndoStarted { .. } | Change::UndoSkipped { .. } => {
                    let order = before.steps[place].order.expect("only what ended is undone");
                    assert!(order < below, "strictly the reverse order of completion");
                    below = order;
                    if matches!(event.change, Change::UndoStarted { .. }) {
                        assert!(!undone.contains(&place), "nothing is undone twice");
                        assert!(self.is_free(&before, place), "the ground of what still stands is left alone");
                    }
                }
                Change::UndoCompleted { .. } => assert!(undone.insert(place), "nothing is undone twice"),
                _ => {}
            }
        }
        assert_eq!(state, self.state, "the log replayed is the state");
        *seen.statuses.entry(state.status.as_str()).or_default() += 1;
        assert!(
            state.status != WorkflowStatus::Failed || !state.definition.transactional,
            "what is transactional does not stay failed"
        );
        if state.status == WorkflowStatus::RolledBack {
            let kept = |s: &Step| !s.stands() || s.undo_status() == Some(UndoStatus::Kept);
            assert!(state.steps.iter().all(kept), "nothing stands any more");
        }
    }

    /// Whether no later step that builds on this one still stands after a failed undo, or the rollback is forced.
    fn is_free(&self, state: &State, place: usize) -> bool {
        let mut above = vec![place];
        while let Some(at) = above.pop() {
            let stuck = matches!(state.steps[at].undo_status(), Some(UndoStatus::Failed | UndoStatus::Blocked));
            if at != place && stuck {
                return state.rolling == Some(RollbackMode::Force);
            }
            above.extend((at + 1..state.steps.len()).filter(|n| state.steps[*n].builds_on.contains(&at)));
        }
        true
    }
}

#[test]
fn whatever_happens_order_once_and_rest() {
    let mut seen = Seen::default();
    for seed in 0..CASES {
        let mut case = Case::new(seed);
        for turn in 0.. {
            assert!(turn < PATIENCE, "seed {seed} does not come to rest");
            case.hold();
            if case.ground.queue.is_empty() {
                // At rest; often a person comes once more.
                if case.rng.u8(..) < 80 {
                    break;
                }
                case.person();
            } else {
                case.happen();
            }
        }
        while !case.ground.queue.is_empty() {
            case.end_one();
            case.hold();
        }
        case.judge(&mut seen);
    }
    // Past libtest's capture, which only sees the print macros: how much was tried is part of the result.
    let (events, undos) = (seen.events.values().sum::<u64>(), seen.events["undo_completed"]);
    let _ =
        writeln!(std::io::stderr(), "{CASES} random workflows, {events} events, {undos} undos: {:?}", seen.statuses);
    let legal = [
        ("pending", "executing"),
        ("executing", "completed"),
        ("executing", "failed"),
        ("executing", "rolling_back"),
        ("completed", "rolling_back"),
        ("failed", "rolling_back"),
        ("rolling_back", "rolled_back"),
        ("rolling_back", "rollback_failed"),
        ("rollback_failed", "rolling_back"),
    ];
    assert_eq!(seen.moves, legal.into_iter().collect(), "every legal move was seen, and no other");
    for status in ["completed", "failed", "rolled_back", "rollback_failed"] {
        assert!(seen.statuses.get(status).is_some_and(|n| *n > CASES / 50), "{status} hardly ever: {seen:?}");
    }
}
