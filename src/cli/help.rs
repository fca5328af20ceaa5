//! The root help: grouped by the runbook's headings, emergencies first.

use std::fmt::Write as _;

use crate::aliases::VERBS;

/// What the runbook's emergency box says, in its order; only verbs of this build are shown.
const EMERGENCY: [(&str, &str, &str); 6] = [
    ("pause all", "pause all", "Stop taking work"),
    ("resume all", "resume all [--slow-start]", "Take work again"),
    ("queue clear", "queue clear --stuck-only", "Take stuck items out of the queue"),
    ("circuit reset", "circuit reset PLATFORM", "Close an open circuit"),
    ("rollback force", "rollback force WORKFLOW", "Roll back past what refuses"),
    ("restart all", "restart all", "Restart the orchestrator's parts in order"),
];

/// A heading and its lines: nouns, and the text for those that share a line.
type Group = (&'static str, &'static [(&'static [Noun], &'static str)]);

/// A noun and what it is about.
type Noun = (&'static str, &'static str);

/// Headings with their lines, in the runbook's order; nouns that share a line share its text there, so that the page
/// stays on one screen when every noun is built.
const GROUPS: [Group; 7] = [
    (
        "Health and status",
        &[
            (
                &[("check", "Look at health, alerts, keys"), ("alerts", "Alerts: list, silence, acknowledge")],
                "Look at health, alerts, keys; quiet",
            ),
            (&[("system", "One screen about everything, worst first")], ""),
            (&[("executor", "The executors of the platforms")], ""),
            (&[("circuit", "Circuit breakers")], ""),
            (&[("rate-limits", "Rate limits")], ""),
            (
                &[
                    ("metrics", "Performance, requests, actions"),
                    ("monitor", "Follow a platform"),
                    ("wait", "Wait for a state"),
                    ("changes", "What changed, and who did it"),
                ],
                "Numbers; follow, wait for; what changed",
            ),
        ],
    ),
    (
        "Queue and work",
        &[
            (&[("queue", "What waits, is stuck, or failed")], ""),
            (
                &[
                    ("pause", "Stop taking work"),
                    ("resume", "Take work again"),
                    ("restart", "Restart parts of the orchestrator"),
                ],
                "Stop, go on, restart parts",
            ),
            (
                &[("workflow", "Workflows and their steps"), ("rollback", "Roll back again, or past refusals")],
                "Workflows and taking them back",
            ),
            (
                &[
                    ("idempotency", "Keys that keep work from running twice"),
                    ("approvals", "Decisions that wait for a person"),
                ],
                "Keys against repeats; decisions that wait",
            ),
        ],
    ),
    (
        "Logs and analysis",
        &[
            (&[("logs", "Errors, executors, workflows")], ""),
            (
                &[
                    ("analyze", "Questions over many records"),
                    ("report", "Reports"),
                    ("issues", "Export what went wrong"),
                    ("docs", "Generated documents"),
                ],
                "Questions over many records",
            ),
            (
                &[("dashboard", "Dashboards"), ("benchmark", "Measure the orchestrator")],
                "Dashboards; measure the orchestrator",
            ),
        ],
    ),
    (
        "Platforms and keys",
        &[
            (
                &[
                    ("test", "Sign in to the platforms"),
                    ("validate", "Look at keys without showing them"),
                    ("google", "Google tokens"),
                ],
                "Sign in, look at keys",
            ),
            (
                &[
                    ("notion", "Pages and databases"),
                    ("trello", "Cards and boards"),
                    ("slack", "Messages"),
                    ("drive", "Files"),
                    ("sheets", "Rows"),
                ],
                "Work on the platforms' own objects",
            ),
        ],
    ),
    (
        "Settings and storage",
        &[
            (&[("config", "Settings of the orchestrator")], ""),
            (
                &[("cache", "Response caches"), ("db", "The store"), ("eventbus", "The event bus")],
                "Caches, store and event bus",
            ),
            (
                &[
                    ("state", "Stored state"),
                    ("backup", "Backups"),
                    ("restore", "Go back to a point in time"),
                    ("verify", "Compare state with the platforms"),
                ],
                "Stored state and backups",
            ),
        ],
    ),
    (
        "Routine and emergency procedures",
        &[
            (
                &[("maintenance", "Daily to quarterly tasks"), ("cron", "Jobs for a schedule")],
                "Daily to quarterly tasks; schedules",
            ),
            (
                &[("security", "Lockdown, keys, audit"), ("notify", "Tell people"), ("dr", "Disaster recovery tests")],
                "Lockdown, keys, audit; recovery tests",
            ),
            (
                &[
                    ("runbook", "The runbook, read and walked step by step"),
                    ("escalate", "Whom to call, and when"),
                    ("links", "Dashboards and status pages"),
                ],
                "The runbook; whom to call; addresses",
            ),
        ],
    ),
    (
        "This tool",
        &[
            (&[("context", "Which orchestrator to talk to")], ""),
            (&[("sandbox", "A practice ground with faults on demand")], ""),
            (
                &[
                    ("serve", "Run the orchestrator"),
                    ("worker", "Execute for a Restate cluster"),
                    ("token", "Tokens of the orchestrator"),
                    ("api", "Any admin API call"),
                ],
                "Run the orchestrator; its tokens; any call",
            ),
            (
                &[
                    ("history", "What was changed from here"),
                    ("undo", "Take a change back"),
                    ("apply", "Execute a saved plan"),
                ],
                "What was changed from here, and taking it back",
            ),
            (
                &[("completions", "Shell completions"), ("man", "Manual pages"), ("version", "Versions")],
                "Completions, manual, versions",
            ),
        ],
    ),
];

/// The global flags, in as few lines as they fit.
const FLAGS: &str = "\
Global options:
  -o, --output FORMAT     table, json, jsonl or csv
      --context NAME      local, sandbox, or one of yours
      --color WHEN        auto, always or never
      --timeout DURATION  limit for a whole call: 500ms, 30s
  -q, --quiet   -v, --verbose   -h, --help   -V, --version
";

/// The whole page.
pub(super) fn root() -> String {
    page(|words| VERBS.iter().any(|v| v.name == words || v.name.split(' ').next() == Some(words)))
}

/// The page with the verbs and nouns that are there.
pub(super) fn page(is_built: impl Fn(&str) -> bool) -> String {
    let mut page = String::from(
        "The on-call engineer's tool for an AI-operations orchestrator\n\nUsage: opsctl [OPTIONS] COMMAND [VERB] ...\n",
    );
    let mut section = |heading: &str, lines: Vec<(String, &str)>| {
        if !lines.is_empty() {
            let _ = writeln!(page, "\n{heading}:");
        }
        for (words, about) in lines {
            let _ = writeln!(page, "  {words:<30} {about}");
        }
    };
    let emergency = EMERGENCY.iter().filter(|(verb, ..)| is_built(verb));
    section("Emergencies", emergency.map(|(_, line, about)| ((*line).to_owned(), *about)).collect());
    for (heading, lines) in GROUPS {
        let line = |(nouns, together): &(&[Noun], &'static str)| {
            let built: Vec<&Noun> = nouns.iter().filter(|(noun, _)| is_built(noun)).collect();
            let about = match built.as_slice() {
                [] => return None,
                [(_, about)] => *about,
                _ => *together,
            };
            Some((built.iter().map(|(noun, _)| *noun).collect::<Vec<_>>().join(", "), about))
        };
        section(heading, lines.iter().filter_map(line).collect());
    }
    page.push('\n');
    page.push_str(FLAGS);
    page.push_str("\n`opsctl COMMAND --help` says more. Type runbook lines without `npm run`.\n");
    page
}

/// The line about a noun.
pub(crate) fn about(noun: &str) -> Option<&'static str> {
    let lines = GROUPS.iter().flat_map(|(_, lines)| lines.iter());
    lines.flat_map(|(nouns, _)| nouns.iter()).find(|(name, _)| *name == noun).map(|(_, about)| *about)
}
