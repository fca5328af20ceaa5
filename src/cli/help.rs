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

/// Headings with their nouns, in the runbook's order.
const GROUPS: [(&str, &[(&str, &str)]); 7] = [
    (
        "Health and status",
        &[
            ("check", "Look at health, keys, permissions"),
            ("system", "One screen about everything, worst first"),
            ("executor", "The executors of the platforms"),
            ("circuit", "Circuit breakers"),
            ("rate-limits", "Rate limits"),
            ("metrics", "Performance, requests, actions"),
            ("monitor", "Follow a platform"),
        ],
    ),
    (
        "Queue and work",
        &[
            ("queue", "What waits, is stuck, or failed"),
            ("pause", "Stop taking work"),
            ("resume", "Take work again"),
            ("restart", "Restart parts of the orchestrator"),
            ("workflow", "Workflows and their steps"),
            ("rollback", "Roll back again, or past refusals"),
            ("idempotency", "Keys that keep work from running twice"),
            ("approvals", "Decisions that wait for a person"),
        ],
    ),
    (
        "Logs and analysis",
        &[
            ("logs", "Errors, executors, workflows"),
            ("analyze", "Questions over many records"),
            ("report", "Reports"),
            ("issues", "Export what went wrong"),
            ("dashboard", "Dashboards"),
            ("benchmark", "Measure the orchestrator"),
        ],
    ),
    (
        "Platforms and keys",
        &[
            ("test", "Sign in to the platforms"),
            ("validate", "Look at keys without showing them"),
            ("google", "Google tokens"),
            ("notion", "Pages and databases"),
            ("trello", "Cards and boards"),
            ("slack", "Messages"),
            ("drive", "Files"),
            ("sheets", "Rows"),
        ],
    ),
    (
        "Settings and storage",
        &[
            ("config", "Settings of the orchestrator"),
            ("cache", "Response caches"),
            ("db", "The store"),
            ("eventbus", "The event bus"),
            ("state", "Stored state"),
            ("backup", "Backups"),
            ("restore", "Go back to a point in time"),
            ("verify", "Compare state with the platforms"),
        ],
    ),
    (
        "Routine and emergency procedures",
        &[
            ("maintenance", "Daily, weekly and monthly checks"),
            ("security", "Lockdown, keys, audit"),
            ("notify", "Tell people"),
            ("dr", "Disaster recovery tests"),
            ("docs", "Generated documents"),
        ],
    ),
    (
        "This tool",
        &[
            ("context", "Which orchestrator to talk to"),
            ("sandbox", "A practice ground with faults on demand"),
            ("serve", "Run the orchestrator"),
            ("token", "Tokens of the orchestrator"),
            ("history", "What was changed from here"),
            ("undo", "Take a change back"),
            ("apply", "Execute a saved plan"),
            ("wait", "Wait for a state"),
            ("api", "Any admin API call"),
            ("completions", "Shell completions"),
            ("man", "Manual pages"),
            ("version", "Versions"),
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
  -q, --quiet             no notes      -v, --verbose  say more
  -h, --help              help          -V, --version  version
";

/// The whole page.
pub(super) fn root() -> String {
    let mut page = String::from(
        "The on-call engineer's tool for an AI-operations orchestrator\n\nUsage: opsctl [OPTIONS] COMMAND [VERB] ...\n",
    );
    let mut section = |heading: &str, lines: &mut dyn Iterator<Item = (&str, &str)>| {
        let mut started = false;
        for (words, about) in lines {
            if !std::mem::replace(&mut started, true) {
                let _ = writeln!(page, "\n{heading}:");
            }
            let _ = writeln!(page, "  {words:<26}{about}");
        }
    };
    let emergency = EMERGENCY.iter().filter(|(verb, ..)| VERBS.iter().any(|v| v.name == *verb));
    section("Emergencies", &mut emergency.map(|(_, line, about)| (*line, *about)));
    for (heading, nouns) in GROUPS {
        section(heading, &mut nouns.iter().filter(|(noun, _)| is_built(noun)).copied());
    }
    page.push('\n');
    page.push_str(FLAGS);
    page.push_str("\n`opsctl COMMAND --help` says more. Type runbook lines without `npm run`.\n");
    page
}

/// The line about a noun.
pub(crate) fn about(noun: &str) -> Option<&'static str> {
    GROUPS.iter().flat_map(|(_, nouns)| nouns.iter()).find(|(name, _)| *name == noun).map(|(_, about)| *about)
}

fn is_built(noun: &str) -> bool {
    VERBS.iter().any(|v| v.name.split(' ').next() == Some(noun))
}
