//! One sandbox in a home of its own.

#[path = "../cli/world.rs"]
#[allow(dead_code, reason = "each of the programs that include this file uses a part of it")]
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
pub use world::{Done, has, repository};
use world::{Run, World};

/// How long a sandbox lives on when the test is killed before it can end it.
const IDLE: &str = "3m";

/// A running sandbox. It ends with the value, whatever happens.
pub struct Ground {
    world: World,
    /// What the placeholders stood for when they were last filled in.
    filled: RefCell<BTreeMap<String, String>>,
}

impl Ground {
    pub fn new() -> Self {
        let ground = Ground { world: World::new(), filled: RefCell::default() };
        ground.run("sandbox up").code(0);
        ground
    }

    /// `opsctl LINE`, nobody at a terminal.
    pub fn run(&self, line: &str) -> Done {
        self.prepared(line).run()
    }

    /// `opsctl LINE`, ready to run.
    pub fn command(&self, line: &str) -> Command {
        self.prepared(line).command()
    }

    fn prepared(&self, line: &str) -> Run {
        self.world.opsctl(words(line)).env("OPSCTL_CONTEXT", "sandbox").env("OPSCTL_SANDBOX_IDLE", IDLE)
    }

    /// A path in its home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    /// A line with live values for its placeholders.
    pub fn fill(&self, line: &str) -> String {
        // `[platform]` may be left out, and is filled in here; `[--limit 50]` is a flag; `<id>` is a workflow's.
        let mut text = line.replace("[--", "--").replace('[', "<").replace("<id>", "<workflowId>");
        text = match text.contains("--") {
            true => text.replace(']', ""),
            false => text.replace(']', ">"),
        };
        if !text.contains('<') {
            return text;
        }
        let status = self.run("sandbox status -o json").code(0).json();
        for (name, value) in status["placeholders"].as_object().unwrap() {
            let (bracketed, value) = (format!("<{name}>"), value.as_str().unwrap());
            if text.contains(&bracketed) {
                text = text.replace(&bracketed, value);
                self.filled.borrow_mut().insert(name.clone(), value.to_owned());
            }
        }
        let key = format!("{}/sandbox/keys/notion.key", self.world.path("state").display());
        let text = text.replace("<newKeyFile>", &key);
        assert!(!text.contains('<'), "no live example for {text}");
        text
    }

    /// What the last line's placeholder stood for.
    pub fn id(&self, name: &str) -> String {
        self.filled.borrow().get(name).cloned().unwrap_or_default()
    }

    /// What the server says, without a verb in between.
    pub fn get(&self, path: &str) -> Value {
        self.run(&format!("api GET {path} -o json")).code(0).json()
    }

    /// The entry of a list whose field is this.
    pub fn find(&self, path: &str, field: &str, value: &str) -> Value {
        let list = self.get(path);
        let found = list.as_array().into_iter().flatten().find(|one| one[field] == value);
        found.cloned().unwrap_or_else(|| panic!("{path} has no {field} {value}: {list}"))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let down = self.run("sandbox down");
        if down.code != Some(0) && !std::thread::panicking() {
            panic!("the sandbox did not end: {down:#?}");
        }
    }
}

/// The words of a line as a shell makes them: what stands in double quotes is one word, without them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
