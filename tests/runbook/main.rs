//! Every line of the runbook that this version has a verb for, as it is pasted, against a sandbox; and README's second
//! block, replayed in a terminal.

mod ground;
mod readme;
mod table;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use ground::Ground;
use opsctl::aliases::{self, Class};
use serde_json::Value;
use table::{ELSEWHERE, Effect, Kind, Line, OURS, SCENES, Scene, Shape};

/// Every line of the runbook, as it is written there after `npm run`.
const LINES: &str = include_str!("lines.txt");
/// The tests that run the lines of [`ELSEWHERE`].
const PROCEDURE_3: &str = include_str!("../cli/security.rs");
/// Names a file that the results are written to, as a table.
const TABLE_VARIABLE: &str = "OPSCTL_RUNBOOK_TABLE";

#[test]
fn every_line_runs_in_every_spelling() {
    // The scenes of a quiet ground take as long as those of trouble; each half has a ground of its own.
    let (quiet, troubled) = SCENES.split_at(SCENES.partition_point(|scene| scene.scenario.is_none()));
    let halves = std::thread::scope(|threads| {
        [quiet, troubled].map(|scenes| threads.spawn(|| played(scenes))).map(|half| half.join().unwrap())
    });
    let (wrong, results): (Vec<_>, Vec<_>) = halves.into_iter().unzip();
    let (wrong, results) = (wrong.concat(), results.concat());
    if let Some(path) = std::env::var_os(TABLE_VARIABLE) {
        std::fs::write(path, table(&results)).unwrap();
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs scenes one after the other on one ground: what was wrong, and the lines of the table.
fn played(scenes: &[Scene]) -> (Vec<String>, Vec<String>) {
    let ground = Ground::new();
    let (mut wrong, mut results) = (Vec::new(), Vec::new());
    for scene in scenes {
        if let Some(name) = scene.scenario {
            ground.run(&format!("sandbox scenario {name}")).code(0);
        }
        for line in scene.lines {
            let place = scene.scenario.unwrap_or("all is well");
            let (seen, found) = check(&ground, line);
            results.push(result(place, line, &seen, &found));
            wrong.extend(found.into_iter().map(|why| format!("{place}: {}: {why}", line.runbook)));
        }
        if scene.scenario.is_some() {
            ground.run("sandbox scenario clear").code(0);
        }
    }
    (wrong, results)
}

#[test]
fn every_line_of_the_runbook_is_in_the_table() {
    let elsewhere = ELSEWHERE.iter().map(|(line, typed)| {
        assert!(PROCEDURE_3.contains(typed), "`{typed}` is tested nowhere");
        *line
    });
    let here = SCENES.iter().flat_map(|scene| scene.lines).map(|line| line.runbook);
    let tested: BTreeSet<&str> = here.chain(elsewhere).collect();
    let all: BTreeSet<&str> = LINES.lines().collect();
    assert_eq!(all.len(), 160);
    let missing: Vec<&str> = all.difference(&tested).copied().collect();
    assert!(missing.is_empty(), "no entry for {missing:#?}");
}

/// What was seen of a line.
#[derive(Default)]
struct Seen {
    spellings: usize,
    codes: BTreeSet<i32>,
    effect: Option<(Value, Value)>,
}

/// One line of the table of results.
fn result(place: &str, line: &Line, seen: &Seen, wrong: &[String]) -> String {
    let codes: Vec<String> = seen.codes.iter().map(i32::to_string).collect();
    let short = |value: &Value| value.to_string().chars().take(32).collect::<String>();
    let effect = match &seen.effect {
        Some((before, after)) => format!("{} -> {}", short(before), short(after)),
        None => "reads".to_owned(),
    };
    let shape = match line.shape {
        Shape::Exactly(fields) => format!("exactly {} fields", fields.len()),
        Shape::EachExactly(count, fields) => format!("{count} of exactly {} fields", fields.len()),
        Shape::Has(fields) => format!("{} fields and more", fields.len()),
        Shape::EachHas(count, fields) => format!("{count} of {} fields and more", fields.len()),
        Shape::List => "a list".to_owned(),
    };
    let verdict = if wrong.is_empty() { "OK" } else { "WRONG" };
    let listed = if LINES.lines().any(|one| one == line.runbook) { "" } else { " (ours)" };
    let cells = [
        format!("`{}`{listed}", line.runbook),
        place.to_owned(),
        format!("{} in {} spellings", codes.join(" "), seen.spellings),
        shape,
        effect,
        verdict.to_owned(),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn table(results: &[String]) -> String {
    let tested: BTreeSet<&str> = SCENES.iter().flat_map(|scene| scene.lines).map(|line| line.runbook).collect();
    let of_the_runbook = LINES.lines().filter(|line| tested.contains(line)).count();
    let right = results.iter().filter(|line| line.ends_with("| OK |\n")).count();
    let heading =
        "| line | scenario | exit | answer | effect read back | result |\n| --- | --- | --- | --- | --- | --- |\n";
    let elsewhere: Vec<String> = ELSEWHERE.iter().map(|(line, _)| format!("`{line}`")).collect();
    let sum = format!(
        "{of_the_runbook} of the runbook's 160 lines, {} runs, {right} OK; tested with services of their own: {}\n\n",
        results.len(),
        elsewhere.join(", ")
    );
    sum + heading + &results.concat()
}

#[test]
fn every_verb_of_the_runbook_has_a_line() {
    let lines = || SCENES.iter().flat_map(|scene| scene.lines);
    let tested: BTreeSet<&str> = lines().map(|line| verb(line.runbook).name).collect();
    let ours: BTreeSet<&str> = OURS.iter().copied().collect();
    let all: BTreeSet<&str> = aliases::VERBS.iter().map(|verb| verb.name).collect();
    assert_eq!(all.difference(&ours).copied().collect::<BTreeSet<_>>(), tested);
}

/// What was seen of a line, and what is wrong with it.
fn check(ground: &Ground, line: &Line) -> (Seen, Vec<String>) {
    for before in line.before {
        ground.run(&ground.fill(before)).code(0);
    }
    let mut seen = Seen::default();
    let wrong = match (line.kind, verb(line.runbook).class) {
        (Kind::Endless, _) => check_endless(ground, line, &mut seen),
        (Kind::Looks, _) | (_, Class::R | Class::Rx) => check_read(ground, line, &mut seen),
        (_, Class::M1 | Class::M2 | Class::M3) => check_change(ground, line, &mut seen),
    };
    (seen, wrong)
}

/// A reading line answers the same in every spelling, to a program and to a person.
fn check_read(ground: &Ground, line: &Line, seen: &mut Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let read = ground.run(&ground.fill(line.runbook));
    if !ends_with(line, read.code) || (read.stdout.is_empty() && read.stderr.is_empty()) {
        wrong.push(format!("as text: {read:#?}"));
    }
    for spelling in spellings(line.runbook) {
        wrong.extend(check_answer(ground, line, &ground.fill(&spelling), seen));
    }
    wrong
}

/// A line that goes on until it is stopped: what it says first.
fn check_endless(ground: &Ground, line: &Line, seen: &mut Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    for spelling in spellings(line.runbook) {
        seen.spellings += 1;
        let mut command = ground.command(&format!("{} -o jsonl", ground.fill(&spelling)));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let goes_on = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        let judged = serde_json::from_str(&first).map_err(|error| error.to_string());
        let judged = judged.and_then(|answer| shape(line.shape, &answer).and_then(|()| (line.holds)(&answer)));
        if let (false, _) | (_, Err(_)) = (goes_on, &judged) {
            wrong.push(format!("{spelling}: goes on {goes_on}, {judged:?}: {first}"));
        }
    }
    wrong
}

/// A changing line shows its plan in every spelling without doing anything, and does it when it is pasted.
fn check_change(ground: &Ground, line: &Line, seen: &mut Seen) -> Vec<String> {
    let Effect::Seen(look) = line.effect else { return vec!["a change without an effect to see".into()] };
    let mut wrong = Vec::new();
    let filled = ground.fill(line.runbook);
    let before = look(ground);
    for spelling in spellings(&filled) {
        seen.spellings += 1;
        let plan = ground.run(&format!("{spelling} --dry-run -o json"));
        if plan.code != Some(0) || !plan.stdout.contains(&format!("\"verb\": \"{}\"", verb(line.runbook).name)) {
            wrong.push(format!("the plan of {spelling}: {plan:#?}"));
        }
    }
    if look(ground) != before {
        wrong.push("--dry-run did something".into());
    }
    wrong.extend(check_answer(ground, line, &filled, seen));
    seen.spellings -= 1;
    let after = look(ground);
    if after == before {
        wrong.push(format!("nothing happened: {after}"));
    }
    seen.effect = Some((before, after));
    wrong
}

fn check_answer(ground: &Ground, line: &Line, spelling: &str, seen: &mut Seen) -> Option<String> {
    let done = ground.run(&format!("{spelling} -o json"));
    seen.spellings += 1;
    seen.codes.extend(done.code);
    if !ends_with(line, done.code) {
        return Some(format!("{spelling}: not one of {:?}: {done:#?}", line.codes));
    }
    let answer: Value = match serde_json::from_str(&done.stdout) {
        Ok(answer) => answer,
        Err(error) => return Some(format!("{spelling}: {error}: {done:#?}")),
    };
    let why = shape(line.shape, &answer).err().or_else(|| (line.holds)(&answer).err())?;
    Some(format!("{spelling}: {why}: {answer}"))
}

fn ends_with(line: &Line, code: Option<i32>) -> bool {
    code.is_some_and(|code| line.codes.contains(&code))
}

fn shape(shape: Shape, answer: &Value) -> Result<(), String> {
    match shape {
        Shape::Exactly(fields) => exactly(fields, answer),
        Shape::EachExactly(count, fields) => {
            let all = answer.as_array().ok_or("not a list")?;
            if all.len() != count {
                return Err(format!("{} entries, not {count}", all.len()));
            }
            all.iter().try_for_each(|one| exactly(fields, one))
        }
        Shape::Has(fields) => match fields.iter().find(|field| answer.get(field).is_none()) {
            Some(field) => Err(format!("no {field}")),
            None => Ok(()),
        },
        Shape::EachHas(count, fields) => {
            let all = answer.as_array().ok_or("not a list")?;
            if all.len() != count {
                return Err(format!("{} entries, not {count}", all.len()));
            }
            all.iter().try_for_each(|one| self::shape(Shape::Has(fields), one))
        }
        Shape::List => answer.is_array().then_some(()).ok_or_else(|| "not a list".into()),
    }
}

/// No field more and no field less.
fn exactly(fields: &[&str], answer: &Value) -> Result<(), String> {
    let object = answer.as_object().ok_or("not an object")?;
    let found: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    let wanted: BTreeSet<&str> = fields.iter().copied().collect();
    if found == wanted { Ok(()) } else { Err(format!("fields {found:?}, not {wanted:?}")) }
}

/// The verb of a line as the runbook writes it.
fn verb(line: &str) -> &'static aliases::Verb {
    let words = line.split(' ').next().unwrap_or_default().replace(':', " ");
    aliases::find(&words).unwrap_or_else(|| panic!("{words} is no verb"))
}

/// The line with its verb in every spelling: the canonical words and the others, with a colon and with a space.
fn spellings(filled: &str) -> Vec<String> {
    let rest = filled.split_once(' ').map(|(_, rest)| format!(" {rest}")).unwrap_or_default();
    let verb = verb(filled);
    let words = std::iter::once(&verb.name).chain(verb.also);
    words.flat_map(|words| [words.replace(' ', ":"), (*words).to_owned()]).map(|words| words + &rest).collect()
}
