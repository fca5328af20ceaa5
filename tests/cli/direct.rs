//! Verbs that talk straight to the platforms, with the orchestrator down.

use std::collections::BTreeMap;

use opsctl::clock::Clock;
use opsctl::platforms::{Call, Clients, Credentials, Endpoints, Platform};
use opsctl::sandbox::sim::{Api, Fault, SimOptions, Sims};
use opsctl::wire::ActionType;
use serde_json::Value;

use crate::world::{Run, World};

/// Simulators, the keys for them in the environment, and a context whose orchestrator is not there.
pub struct Direct {
    pub world: World,
    pub sims: Sims,
    pub credentials: BTreeMap<String, String>,
    /// The time that the simulators live in.
    pub sims_clock: Clock,
    runtime: tokio::runtime::Runtime,
}

impl Direct {
    pub fn start() -> Self {
        Direct::through(|endpoints| endpoints)
    }

    /// The same, with other addresses in the context than the simulators' own.
    pub fn through(change: impl FnOnce(Endpoints) -> Endpoints) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = SimOptions::default();
        let sims_clock = options.clock.clone();
        let sims = runtime.block_on(Sims::start(options)).unwrap();
        let mut config = String::from(
            "[contexts.local]\nurl = \"http://127.0.0.1:1\"\n[contexts.local.pace]\nnotion = 1000\ntrello = 1000\n\
             [contexts.local.platforms]\n",
        );
        for (name, address) in change(sims.endpoints()).all() {
            config.push_str(&format!("{name} = \"{address}\"\n"));
        }
        let world = World::configured(&config);
        let credentials = sims.credentials(&world.path("")).unwrap();
        Direct { world, sims, credentials, sims_clock, runtime }
    }

    /// What somebody else looks at meanwhile, in the simulators' time.
    pub fn look(&self, platform: Platform) {
        let keys = Credentials::from_env(&self.credentials);
        let clients = Clients::new(self.sims.endpoints(), keys, self.sims_clock.clone());
        self.runtime.block_on(clients.who_am_i(platform)).unwrap();
    }

    /// What somebody else does meanwhile.
    pub fn meanwhile(&self, platform: Platform, action: ActionType, data: Value) {
        let keys = Credentials::from_env(&self.credentials);
        let clients = Clients::new(self.sims.endpoints(), keys, Clock::system());
        self.runtime.block_on(clients.execute(&Call::new(platform, action, data))).unwrap();
    }

    /// `opsctl ARGS` with the keys in its environment.
    pub fn args(&self, args: &[&str]) -> Run {
        self.credentials.iter().fold(self.world.opsctl(args), |run, (name, value)| run.env(name, value))
    }

    /// `opsctl LINE` with the keys in its environment.
    pub fn line(&self, line: &str) -> Run {
        self.args(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub fn json(&self, line: &str, code: i32) -> Value {
        self.line(&format!("{line} -o json")).run().code(code).json()
    }
}

#[test]
fn sign_in_is_asked_from_here_and_the_last_success_is_remembered() {
    let direct = Direct::start();
    let done = direct.line("test auth").run().code(0);
    assert!(done.stderr.contains("the orchestrator does not answer"), "{done:?}");
    assert_eq!(done.stdout.lines().filter(|l| l.contains("  OK  ")).count(), 5, "{done:?}");
    let one = direct.json("test auth notion", 0);
    let last = one["lastSuccessfulAuth"].clone();
    assert_eq!((&one["authenticated"], last.is_string()), (&true.into(), true), "{one}");
    direct.sims.revoke(Api::Notion);
    let refused = direct.json("test auth notion --direct", 3);
    assert_eq!((&refused["error"], &refused["lastSuccessfulAuth"]), (&"Invalid API key".into(), &last));
    // Without a key there is nothing to ask with, and the orchestrator's silence is the answer.
    direct.world.line("test auth notion").run().code(7);
    let unset = direct.world.line("test auth notion --direct -o json").run().code(7).json();
    assert_eq!(unset["error"], "NOTION_API_KEY is not set here");
}

#[test]
fn one_that_hangs_is_a_row_at_the_deadline() {
    let direct = Direct::start();
    direct.sims.fault(Api::Trello, Fault::Hang).unwrap();
    let all = direct.json("test auth --all --direct --timeout 1s", 3);
    let states: Vec<_> = all.as_array().unwrap().iter().map(|row| row["authenticated"].as_bool()).collect();
    assert_eq!(states, [Some(true), None, Some(true), Some(true), Some(true)], "{all}");
    assert_eq!(all[1]["error"], "no answer within 1s");
}

#[test]
fn what_the_api_does_not_tell_counts_as_recorded_for_that_key() {
    let direct = Direct::start();
    assert_eq!(direct.json("check key-expiration trello", 0)["source"], "api");
    let untold = direct.line("check key-expiration notion").run().code(3);
    assert!(untold.stdout.contains("not reported by the API"), "{untold:?}");
    assert!(untold.stderr.contains("--record DATE"), "{untold:?}");
    let recorded = direct.json("check key-expiration notion --record 2099-01-31", 0);
    assert_eq!((&recorded["source"], &recorded["expiresAt"]), (&"recorded".into(), &"2099-01-31T23:59:59.000Z".into()));
    direct.json("check key-expiration notion", 0);
    let new_key = direct.sims.mint(Api::Notion).unwrap();
    let other = direct.line("check key-expiration notion -o json").env("NOTION_API_KEY", new_key.expose());
    assert_eq!(other.run().code(3).json()["state"], "UNKNOWN", "the date was the old key's");
    direct.line("check key-expiration notion --record someday").run().code(2);
    direct.line("check key-expiration --record 2099-01-31").run().code(2);
}

#[test]
fn permissions_are_told_or_tried_and_never_written_for() {
    let direct = Direct::start();
    for platform in ["notion", "trello", "slack", "drive", "sheets"] {
        let found = direct.json(&format!("check:permissions {platform}"), 0);
        assert!(found["permissions"].as_array().is_some_and(|all| all.len() >= 2), "{found}");
    }
    let writes: u64 = Api::ALL.iter().map(|api| direct.sims.stats_of(*api).writes).sum();
    assert_eq!(writes, 0);
    direct.sims.fault(Api::Notion, Fault::Unauthorized).unwrap();
    let refused = direct.line("check key-permissions notion -o json").run().code(4).error_json();
    assert_eq!(refused["code"], "AUTH_ERROR", "{refused}");
}

#[test]
fn a_fresh_google_token_is_described_and_not_shown() {
    let direct = Direct::start();
    let fresh = direct.line("google:refresh-token").run().code(0);
    assert!(fresh.stdout.contains("auth/spreadsheets") && fresh.stdout.contains("Token ends"), "{fresh:?}");
    assert!(!fresh.stdout.contains("ya29"), "{fresh:?}");
    let missing = direct.world.line("google refresh-token -o json").run().code(4).error_json();
    assert!(missing["hint"].as_str().unwrap().contains("validate env"), "{missing}");
}

#[test]
fn the_way_and_the_client_are_timed_step_by_step() {
    let direct = Direct::start();
    let way = direct.json("test connectivity notion", 0);
    let steps: Vec<_> = way["steps"].as_array().unwrap().iter().map(|s| (&s["step"], &s["state"])).collect();
    let expected = [("DNS", "OK"), ("TCP", "OK"), ("TLS", "SKIPPED"), ("HTTP", "OK")];
    assert_eq!(format!("{steps:?}"), format!("{:?}", expected.map(|(a, b)| (Value::from(a), Value::from(b)))));
    let sdk = direct.json("test sdk notion", 0);
    assert_eq!((&sdk["apiVersion"], sdk["requests"].as_array().unwrap().len()), (&"2026-03-11".into(), 2));
    direct.sims.fault(Api::Notion, Fault::Down).unwrap();
    let way = direct.json("test connectivity notion", 3);
    assert_eq!(way["steps"].as_array().unwrap().last().unwrap()["state"], "FAIL", "{way}");
    assert_eq!(direct.json("test sdk notion", 3)["state"], "FAIL");
}

#[test]
fn the_environment_is_looked_at_without_being_shown() {
    let direct = Direct::start();
    let good = direct.line("validate env").run().code(0);
    assert!(good.stderr.contains("not compared with the service"), "{good:?}");
    for (name, value) in direct.credentials.iter().filter(|(name, _)| name.contains("KEY") || name.contains("TOKEN")) {
        assert!(good.stdout.contains(name.as_str()) && !good.stdout.contains(value.as_str()), "{name}: {good:?}");
    }
    let bad = direct.line("validate:env -o json").env("NOTION_API_KEY", "secret_new_key_here").run().code(3);
    assert!(!bad.stdout.contains("secret_new_key"), "{bad:?}");
    let all = bad.json();
    let notion = all["variables"].as_array().unwrap().iter().find(|v| v["name"] == "NOTION_API_KEY").unwrap();
    assert_eq!((&notion["state"], &notion["endsIn"]), (&"warn".into(), &"here".into()));
}
