//! Every line of the runbook that this version has a verb for, as it is pasted, against a sandbox; and README's second
//! block, replayed in a terminal.

mod ground;
mod readme;
mod table;

use std::collections::BTreeSet;

use ground::Ground;
use opsctl::aliases::{self, Class};
use serde_json::Value;
use table::{Effect, Line, OURS, SCENES, Shape};

#[test]
fn every_line_runs_in_every_spelling() {
    let ground = Ground::new();
    let mut wrong = Vec::new();
    for scene in SCENES {
        if let Some(name) = scene.scenario {
            ground.run(&format!("sandbox scenario {name}")).code(0);
        }
        for line in scene.lines {
            let place = scene.scenario.unwrap_or("all is well");
            wrong.extend(check(&ground, line).into_iter().map(|why| format!("{place}: {}: {why}", line.runbook)));
        }
        if scene.scenario.is_some() {
            ground.run("sandbox scenario clear").code(0);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_verb_of_the_runbook_has_a_line() {
    let lines = || SCENES.iter().flat_map(|scene| scene.lines);
    let tested: BTreeSet<&str> = lines().map(|line| verb(line.runbook).name).collect();
    let ours: BTreeSet<&str> = OURS.iter().copied().collect();
    let all: BTreeSet<&str> = aliases::VERBS.iter().map(|verb| verb.name).collect();
    assert_eq!(all.difference(&ours).copied().collect::<BTreeSet<_>>(), tested);
}

/// What is wrong with a line, if anything.
fn check(ground: &Ground, line: &Line) -> Vec<String> {
    for before in line.before {
        ground.run(&ground.fill(before)).code(0);
    }
    let filled = ground.fill(line.runbook);
    match verb(line.runbook).class {
        Class::R | Class::Rx => check_read(ground, line, &filled),
        Class::M1 | Class::M2 | Class::M3 => check_change(ground, line, &filled),
    }
}

/// A reading line answers the same in every spelling, to a program and to a person.
fn check_read(ground: &Ground, line: &Line, filled: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let read = ground.run(filled);
    if !ends_with(line, read.code) || (read.stdout.is_empty() && read.stderr.is_empty()) {
        wrong.push(format!("as text: {read:#?}"));
    }
    for spelling in spellings(filled) {
        wrong.extend(check_answer(ground, line, &spelling));
    }
    wrong
}

/// A changing line shows its plan in every spelling without doing anything, and does it when it is pasted.
fn check_change(ground: &Ground, line: &Line, filled: &str) -> Vec<String> {
    let Effect::Seen(look) = line.effect else { return vec!["a change without an effect to see".into()] };
    let mut wrong = Vec::new();
    let before = look(ground);
    for spelling in spellings(filled) {
        let plan = ground.run(&format!("{spelling} --dry-run -o json"));
        if plan.code != Some(0) || !plan.stdout.contains(&format!("\"verb\": \"{}\"", verb(line.runbook).name)) {
            wrong.push(format!("the plan of {spelling}: {plan:#?}"));
        }
    }
    if look(ground) != before {
        wrong.push("--dry-run did something".into());
    }
    wrong.extend(check_answer(ground, line, filled));
    let after = look(ground);
    if after == before {
        wrong.push(format!("nothing happened: {after}"));
    }
    wrong
}

fn check_answer(ground: &Ground, line: &Line, spelling: &str) -> Option<String> {
    let done = ground.run(&format!("{spelling} -o json"));
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
