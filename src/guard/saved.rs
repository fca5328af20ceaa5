//! Saved plans: what was looked at and agreed on, executed exactly so later.
//!
//! Two lines of JSON: what kind of file it is with the digest of the second line, and the plan. No byte of it can be
//! changed unnoticed, and nothing is sent before all of it is checked.

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::plan::Step;
use crate::engine::canonical::sha256_hex;
use crate::error::{Fault, Kind};
use crate::files::write_whole;
use crate::redact::Redactor;
use crate::wire::Time;

/// The format that this build writes, and the only one it executes.
const FORMAT: u32 = 1;

/// How long a plan holds: what it was made from is older by then.
const LIFE: Duration = Duration::from_secs(30 * 60);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "opsctlPlan")]
    format: u32,
    sha256: String,
}

/// A plan in a file: where and until when it holds, and what it executes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedPlan<P> {
    /// The verb: `notion remove-duplicates`.
    pub verb: String,
    /// What happens, as a command says it.
    pub title: String,
    /// The context it was made for.
    pub context: String,
    /// Where that pointed.
    pub url: String,
    /// When it was made.
    pub created_at: Time,
    /// Until when it may be executed.
    pub expires_at: Time,
    /// What it executes.
    pub plan: P,
}

/// What a plan executes that the orchestrator is asked for as a whole: the command, as long as it still means these
/// steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WholePlan {
    /// The command's words, without what only says how to go about it.
    pub command: Vec<String>,
    /// What it would do.
    pub steps: Vec<Step>,
}

impl WholePlan {
    /// That these are the steps that were agreed on.
    pub fn ensure_same(&self, steps: &[Step]) -> Result<(), Fault> {
        let other = |ours: &[Step], theirs: &[Step]| ours.iter().find(|step| !theirs.contains(step)).cloned();
        let why = match (other(steps, &self.steps), other(&self.steps, steps)) {
            (Some(new), _) => format!("it would now also send {new}"),
            (None, Some(gone)) => format!("it would no longer send {gone}"),
            (None, None) if steps == self.steps.as_slice() => return Ok(()),
            (None, None) => "its steps have another order now".to_owned(),
        };
        Err(Fault::new(Kind::Conflict, "the plan is not executed: it is not the same any more")
            .because(why)
            .hint("make a new one by repeating the command with --save-plan"))
    }
}

impl<P> SavedPlan<P> {
    /// Until when a plan holds that is made now.
    pub fn expiry(now: Time) -> Time {
        now + LIFE
    }
}

impl<P: Serialize> SavedPlan<P> {
    /// Writes it, for its owner only. What is written passes the filter.
    pub fn save(&self, path: &Path, redactor: &Redactor) -> anyhow::Result<()> {
        let body = redactor.redact(&serde_json::to_string(self)?).into_owned();
        let head = serde_json::to_string(&Head { format: FORMAT, sha256: sha256_hex(&body, 64) })?;
        write_whole(path, format!("{head}\n{body}\n").as_bytes(), true)
    }
}

impl<P: DeserializeOwned> SavedPlan<P> {
    /// Reads one that is whole and still holds, for this context.
    pub fn read(path: &Path, context: &str, url: &str, now: Time) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Fault::new(Kind::NotFound, format!("there is no plan {shown}"))
                .because("no such file is there")
                .hint("make one with --save-plan FILE"),
            _ => Fault::new(Kind::Failed, format!("cannot read the plan {shown}"))
                .because(error.to_string())
                .hint("name the file that --save-plan wrote"),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| damaged(path, "it is not text"))?;
        let plan = parse(&text).map_err(|why| damaged(path, &why))?;
        let refuse = |why: String| Fault::new(Kind::Conflict, format!("the plan {shown} is not executed")).because(why);
        if (plan.context.as_str(), plan.url.as_str()) != (context, url) {
            let why = format!("it was made for `{}` at {}, and `{context}` at {url} is in use", plan.context, plan.url);
            return Err(refuse(why).hint(format!("opsctl apply {shown} --context {}", plan.context)).into());
        }
        if now >= plan.expires_at || now < plan.created_at {
            let why = format!("it held from {} until {}", plan.created_at, plan.expires_at);
            return Err(refuse(why).hint("make a new one by repeating the command with --save-plan").into());
        }
        Ok(plan)
    }
}

fn damaged(path: &Path, why: &str) -> Fault {
    Fault::new(Kind::Conflict, format!("the plan {} is not executed", path.display()))
        .because(why.to_owned())
        .hint("make a new one by repeating the command with --save-plan")
}

fn parse<P: DeserializeOwned>(text: &str) -> Result<SavedPlan<P>, String> {
    let edited = || "it is not as it was saved: somebody edited it, or it is no plan of opsctl".to_owned();
    let (first, rest) = text.split_once('\n').ok_or_else(edited)?;
    let head: Head = serde_json::from_str(first).map_err(|_| edited())?;
    if head.format > FORMAT {
        return Err(format!("a newer opsctl made it (format {}, this one knows {FORMAT})", head.format));
    }
    // The first line has one spelling too.
    let spelled = serde_json::to_string(&head).map_err(|_| edited())?;
    let is_whole = |body: &&str| spelled == first && head.format == FORMAT && sha256_hex(body, 64) == head.sha256;
    let body = rest.strip_suffix('\n').filter(is_whole);
    serde_json::from_str(body.ok_or_else(edited)?).map_err(|error| format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Explained;
    use crate::secret::Secret;
    use crate::server::testing::scratch;

    const URL: &str = "http://localhost:3000";

    type Saved = SavedPlan<WholePlan>;

    fn step(target: &str) -> Step {
        Step::new("DELETE /admin/v1/queue/items/ID").on(target).because("queued ntn_0123456789")
    }

    fn plan() -> Saved {
        SavedPlan {
            verb: "queue remove".into(),
            title: "take 1 item out of the queue".into(),
            context: "here".into(),
            url: URL.into(),
            created_at: Time(1_000_000),
            expires_at: Saved::expiry(Time(1_000_000)),
            plan: WholePlan { command: vec!["queue".into(), "remove".into(), "a".into()], steps: vec![step("a")] },
        }
    }

    #[test]
    fn only_the_same_steps_are_executed() {
        let agreed = WholePlan { command: vec![], steps: vec![step("a"), step("b")] };
        let why = |steps: &[Step]| agreed.ensure_same(steps).map_err(|fault| fault.causes[0].clone());
        assert_eq!(why(&[step("a"), step("b")]), Ok(()));
        assert!(why(&[step("a")]).unwrap_err().contains("no longer send DELETE"));
        assert!(why(&[step("a"), step("b"), step("c")]).unwrap_err().contains("also send"));
        assert!(why(&[step("b"), step("a")]).unwrap_err().contains("another order"));
        assert!(why(&[step("a"), step("b"), step("b")]).is_err());
    }

    #[test]
    fn a_plan_is_private_holds_no_secret_and_is_read_as_it_was() {
        let dir = scratch("saved");
        let path = dir.path().join("plan");
        plan().save(&path, &Redactor::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Saved::read(&path, "here", URL, Time(1_000_001)).unwrap(), plan());
        plan().save(&path, &Redactor::new([&Secret::new("ntn_0123456789")])).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("ntn_0"));
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let dir = scratch("saved");
        let path = dir.path().join("plan");
        plan().save(&path, &Redactor::default()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                std::fs::write(&path, &bytes).unwrap();
                let error = Saved::read(&path, "here", URL, Time(1_000_001)).unwrap_err();
                assert_eq!(Explained::from_error(&error).kind, Kind::Conflict, "byte {at}, bit {bit}");
            }
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(Saved::read(&path, "here", URL, Time(1_000_001)).is_err(), "cut off");
    }

    #[test]
    fn other_places_other_times_and_newer_formats_are_refused() {
        let dir = scratch("saved");
        let path = dir.path().join("plan");
        plan().save(&path, &Redactor::default()).unwrap();
        let why = |context: &str, url: &str, now: i64| {
            let error = Explained::from_error(&Saved::read(&path, context, url, Time(now)).unwrap_err());
            assert_eq!(error.kind, Kind::Conflict);
            error.causes.join(" ")
        };
        assert!(why("there", URL, 1_000_001).contains("made for `here`"));
        assert!(why("here", "http://other", 1_000_001).contains("http://other"));
        assert!(why("here", URL, 1_000_000 + 1_800_000).contains("it held from"));
        let text = std::fs::read_to_string(&path).unwrap().replacen("\"opsctlPlan\":1", "\"opsctlPlan\":2", 1);
        std::fs::write(&path, text).unwrap();
        assert!(why("here", URL, 1_000_001).contains("a newer opsctl"));
        let error = Saved::read(&dir.path().join("none"), "here", URL, Time(1)).unwrap_err();
        assert_eq!(Explained::from_error(&error).kind, Kind::NotFound);
    }
}
