//! What a post-mortem reads of a run: Markdown with every step, its commands and answers, and who decided what.

use std::fmt::Write as _;
use std::time::Duration;

use super::record::{LineRecord, Run, RunState, StepState};
use super::{Section, Step};
use crate::analysis::span;
use crate::error::Kind;
use crate::output::shown;

/// The whole page.
pub fn markdown(section: &Section, run: &Run) -> String {
    let mut page = format!("# {}\n\n", section.heading());
    let state = match run.state {
        RunState::Finished => "finished",
        RunState::Stopped => "stopped",
        RunState::Open => "not finished",
    };
    let mut about = vec![
        ("Run", run.id.clone()),
        ("Context", format!("{} ({})", run.context, run.url)),
        ("Begun", format!("{} by {}", run.started_at, run.operator)),
        ("State", format!("{state}, {} of {} steps over", run.over(), run.steps.len())),
    ];
    if let Some(ended) = run.ended_at {
        about.push(("Ended", format!("{ended}, after {}", span(ended.since(run.started_at)))));
    }
    for (name, text) in about {
        let _ = writeln!(page, "- {name}: {text}");
    }
    page.push_str("\n| # | Step | State | By | At |\n| --- | --- | --- | --- | --- |\n");
    for (number, step) in run.steps.iter().enumerate() {
        let by = step.by.as_deref().unwrap_or("");
        let at = step.at.map(|at| at.to_string()).unwrap_or_default();
        let (state, by) = (step.state.as_str(), cell(by));
        let _ = writeln!(page, "| {} | {} | {state} | {by} | {at} |", number + 1, cell(&step.title));
    }
    for (number, (record, step)) in run.steps.iter().zip(section.steps()).enumerate() {
        if record.state == StepState::Waiting {
            continue;
        }
        let _ = write!(page, "\n## {}. {}\n\n{}\n", number + 1, record.title, step.why);
        let _ = writeln!(page, "\n{}", verdict(step, record.state, record.by.as_deref()));
        if let Some(note) = &record.note {
            let _ = writeln!(page, "\n> {}", shown(note).replace('\n', " "));
        }
        record.lines.iter().for_each(|line| command(&mut page, line));
    }
    page
}

fn verdict(step: &Step, state: StepState, by: Option<&str>) -> String {
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    match (state, &step.by_hand) {
        (StepState::Done, Some(what)) => format!("By hand{by}: {what}"),
        (StepState::Done, None) => format!("Done{by}."),
        (StepState::Skipped, _) => format!("Skipped{by}."),
        (StepState::Failed, _) => format!("It did not go well; the run went on{by}."),
        (StepState::Begun | StepState::Waiting, _) => "Begun; its end is not recorded.".to_owned(),
    }
}

fn command(page: &mut String, line: &LineRecord) {
    let took = span(Duration::from_millis(line.took_ms));
    let end = match line.code {
        None => "no end recorded".to_owned(),
        Some(code) => format!("exit {code}{}, {took}", meaning(code)),
    };
    let judged = if line.code.is_some() && !line.ok { ", not as it should be" } else { "" };
    let _ = writeln!(page, "\n`opsctl {}` at {}: {end}{judged}", line.line.replace('`', "'"), line.at);
    let answer = plain(&line.answer);
    if !answer.trim().is_empty() {
        let fence = fence(&answer);
        let _ = writeln!(page, "\n{fence}text\n{}\n{fence}", answer.trim_end());
    }
}

/// ` (the check found a problem)`, for what is not plainly done.
fn meaning(code: u8) -> String {
    let kind = Kind::ALL.iter().find(|kind| kind.exit_code() == code);
    kind.map(|kind| format!(" ({})", kind.word().replace('_', " "))).unwrap_or_default()
}

/// Longer than any run of back ticks within.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

fn cell(text: &str) -> String {
    shown(text).replace('|', "\\|").replace('\n', " ")
}

/// Without colours: whoever reads it has no terminal before them.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.peek() == Some(&'[') {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    shown(&out)
}

#[cfg(test)]
mod tests {
    use super::super::SectionId;
    use super::*;
    use crate::wire::Time;

    #[test]
    fn a_page_tells_what_was_done_by_whom_and_what_came_of_it() {
        let section = Section::read(SectionId::Corruption).unwrap();
        let now = Time(1_795_000_000_000);
        let mut run = Run::begin(&section, "eu", "http://x".into(), "ana@bastion".into(), now);
        let line = |line: &str, code, ok, answer: &str| LineRecord {
            line: line.into(),
            at: now,
            code,
            ok,
            took_ms: 120,
            answer: answer.into(),
        };
        run.steps[0].state = StepState::Done;
        run.steps[0].by = Some("ana@bastion".into());
        run.steps[0].lines = vec![line("pause all", Some(0), true, "\u{1b}[31mpaused\u{1b}[0m\n")];
        run.steps[1].state = StepState::Failed;
        run.steps[1].lines = vec![line("analyze corruption --since 24h", Some(7), false, "```x```")];
        run.steps[5].state = StepState::Done;
        run.steps[5].by = Some("bo".into());
        run.steps[5].note = Some("two pages kept".into());
        let page = markdown(&section, &run);
        for part in [
            "# Procedure 2: Data corruption",
            "- Begun: 2026-",
            "| 1 | Stop all work | done | ana@bastion |",
            "`opsctl pause all` at",
            "exit 0, 120ms\n\n```text\npaused\n```",
            "exit 7 (unreachable), 120ms, not as it should be",
            "````text\n```x```\n````",
            "By hand by bo: Go through the findings",
            "> two pages kept",
        ] {
            assert!(page.contains(part), "no `{part}` in\n{page}");
        }
        assert!(!page.contains("## 3."), "what was not reached has no part");
    }
}
