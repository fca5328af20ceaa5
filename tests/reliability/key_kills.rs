//! SIGKILL at every stage of a rotation of all keys, some of them while it goes on after the last one. Whenever it is
//! dead, the service has a key that works; once it has gone on, every key is new, every old one that a platform ends is
//! refused, and no value is in any file but those that keep keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opsctl::clock::Clock;
use opsctl::platforms::{Clients, Credentials, Platform};
use opsctl::sandbox::sim::{Api, SimOptions, Sims};
use opsctl::secret::Secret;
use serde_json::Value;

use crate::served::{Served, TempDir, note, output, rounds};

/// Kills when `OPSCTL_KILL_ROUNDS` does not say.
const ROUNDS: usize = 4;
/// The stages that are written down, in their order.
const STAGES: [&str; 8] = ["begun", "minting", "minted", "tested", "stored", "inuse", "kept", "ended"];
const CREDENTIALS: [&str; 4] = ["notion", "trello", "slack", "google"];
/// Keys that a person makes in these rounds.
const BY_HAND: [(&str, Api, &str); 3] = [
    ("notion", Api::Notion, "NOTION_API_KEY"),
    ("trello", Api::Trello, "TRELLO_TOKEN"),
    ("slack", Api::Slack, "SLACK_BOT_TOKEN"),
];
const GOOGLE: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";
/// No round takes as long.
const WATCHDOG: Duration = Duration::from_secs(90);

/// An operator's machine, a service, and the platforms.
struct Desk {
    folder: TempDir,
    sims: Sims,
    env: BTreeMap<String, String>,
    _served: Served,
}

impl Desk {
    async fn new() -> Self {
        let folder = TempDir::new("key-kills");
        let sims = Sims::start(SimOptions { limits: false, latency: 1..=4, ..SimOptions::default() }).await.unwrap();
        let mut env = sims.credentials(folder.path()).unwrap();
        // The service has Google's key as text, and the file is gone: what is found on the disk later was put there.
        let file = env[GOOGLE].clone();
        env.insert(GOOGLE.into(), std::fs::read_to_string(&file).unwrap().trim().to_owned());
        std::fs::remove_file(file).unwrap();
        let launch = crate::launch(&folder).envs(env.clone()).endpoints(&sims.endpoints());
        let (served, _) = launch.start().await;
        let desk = Desk { folder, sims, env, _served: served };
        let mut config = format!(
            "[contexts.here]\nurl = \"{}\"\ncredential = {{ file = \"{}\" }}\n",
            launch.url(),
            launch.data_dir.join("admin.token").display()
        );
        config.push_str("[contexts.here.keys]\n");
        for name in BY_HAND.map(|(_, _, name)| name).into_iter().chain([GOOGLE]) {
            private(&desk.key_file(name), &desk.env[name]);
            config.push_str(&format!("{name} = {{ file = \"{}\" }}\n", desk.key_file(name).display()));
        }
        config.push_str("[contexts.here.platforms]\n");
        for (name, address) in serde_json::to_value(desk.sims.endpoints()).unwrap().as_object().unwrap() {
            config.push_str(&format!("{name} = {address}\n"));
        }
        private(&desk.path("config/config.toml"), &config);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where this machine's own value of a key is.
    fn key_file(&self, name: &str) -> PathBuf {
        self.path(&format!("keys/{name}"))
    }

    fn key(&self, name: &str) -> String {
        std::fs::read_to_string(self.key_file(name)).unwrap().trim().to_owned()
    }

    fn opsctl(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
        let kept = self.env.iter().filter(|(name, _)| !self.key_file(name).exists());
        command.env_clear().envs(kept).env("HOME", self.folder.path()).env("OPSCTL_CONTEXT", "here");
        for part in ["config", "data", "state", "cache"] {
            command.env(format!("OPSCTL_{}_DIR", part.to_uppercase()), self.path(&format!("machine-{part}")));
        }
        command.env("OPSCTL_CONFIG_DIR", self.path("config")).stdin(Stdio::null()).args(line.split_whitespace());
        command
    }

    /// Runs a line that has to succeed.
    fn succeed(&self, line: &str) -> String {
        let done = output(&mut self.opsctl(line));
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(0), "{line}: {text}");
        text
    }

    /// Makes the keys that a person makes, and gives the flags that bring them along.
    fn make_by_hand(&self) -> String {
        let flag = |(name, api, _): &(&str, Api, &str)| {
            private(&self.path(&format!("new/{name}")), self.sims.mint(*api).unwrap().expose());
            format!(" --value-file {name}={}", self.path(&format!("new/{name}")).display())
        };
        BY_HAND.iter().map(flag).collect()
    }

    /// The stages of rotations, by their file.
    fn rotations(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("machine-state/rotations")).into_iter().flatten().flatten();
        let stages = entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("r-") && name.ends_with(".json") && !name.ends_with(".secrets.json")
        });
        stages.collect()
    }

    /// Lets a rotation run until a credential has reached a stage, and kills it there. False when it ended before.
    fn kill_at(&self, line: &str, credential: &str, stage: &str) -> bool {
        let place = |name: &str| STAGES.iter().position(|known| *known == name);
        let before = self.rotations();
        let reached = || {
            let ours = self.rotations().into_iter().find(|path| !before.contains(path))?;
            let stages: Value = serde_json::from_str(&std::fs::read_to_string(ours).ok()?).ok()?;
            place(stages[credential]["stage"].as_str()?)
        };
        let said = std::fs::File::create(self.path("said")).unwrap();
        let mut child = self.opsctl(line).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if reached() >= place(stage) {
                // Somewhere in what follows this stage.
                std::thread::sleep(Duration::from_micros(fastrand::u64(0..4000)));
                return killed(child);
            }
            assert!(started.elapsed() < WATCHDOG, "{line} hangs");
            std::thread::sleep(Duration::from_micros(100));
        };
        let said = std::fs::read_to_string(self.path("said")).unwrap();
        assert!(status.success(), "{line} ended with {status}: {said}");
        false
    }

    /// Kills a line after a while. False when it ended before.
    fn kill_after(&self, line: &str, time: Duration) -> bool {
        let child = self.opsctl(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(time);
        killed(child)
    }

    /// Clients with these values in place of the first ones.
    fn clients(&self, values: &[(&str, &str)]) -> Clients {
        let mut env = self.env.clone();
        env.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Clients::new(self.sims.endpoints(), Credentials::from_env(&env), Clock::system())
    }

    /// No value is where it does not belong. While a rotation is open its own file of values belongs to it.
    fn assert_clean(&self, values: &[String], open: bool) {
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(self.folder.path()).unwrap().display().to_string();
                if path.is_dir() {
                    // What the platforms' pages showed is the operator's.
                    if name != "new" {
                        folders.push(path);
                    }
                    continue;
                }
                // The service's own file, which it may be replacing, and those that the context names.
                let store = name == "data/secrets.json"
                    || name.starts_with("data/.secrets.json.")
                    || self.env.keys().any(|key| name == format!("keys/{key}"));
                // Files of the rotation, and those it was killed in.
                let on_the_way = open
                    && (name.starts_with("machine-state/rotations/") && name.contains(".secrets.json")
                        || name.starts_with("keys/."));
                if on_the_way {
                    assert_eq!(mode(&path), 0o600, "{name}");
                }
                // It may be gone by now.
                let text = std::fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let found = values.iter().any(|value| text.contains(value.as_str()));
                assert!(!found || store || on_the_way, "a key is in {name}");
            }
        }
    }
}

fn killed(mut child: Child) -> bool {
    let _ = child.kill();
    child.wait().unwrap().code().is_none()
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn private(path: &Path, text: &str) {
    opsctl::files::write_whole(path, text.as_bytes(), true).unwrap();
}

/// What is looked for in files: a line of a PEM key, or the whole of another one.
fn needle(value: &str) -> String {
    match Credentials::from_env(&BTreeMap::from([(GOOGLE.to_owned(), value.to_owned())])).secrets().first() {
        Some(pem) if value.starts_with('{') => pem.expose().lines().nth(3).unwrap().to_owned(),
        _ => value.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rotation_leaves_a_working_key_and_is_finished() {
    let rounds = rounds(ROUNDS);
    let desk = Desk::new().await;
    let names: Vec<&str> = BY_HAND.iter().map(|(_, _, name)| *name).chain([GOOGLE]).collect();
    let mut kills: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let (mut counted, mut in_resume, mut tries) = (0, 0, 0);
    while counted < rounds {
        assert!(tries < 10 * rounds + 40, "no kill lands in the middle");
        // Every stage of every credential in turn, from a random one on when there are few rounds.
        let place = if rounds < 28 { fastrand::usize(..28) } else { tries % 28 };
        let (credential, stage) = (place % 4, 1 + place / 4);
        tries += 1;
        let old: Vec<String> = names.iter().map(|name| desk.key(name)).collect();
        let bring = desk.make_by_hand();
        let line = format!("security rotate-keys --all --emergency --confirm=here --reason drill -q{bring}");
        let mut values: Vec<String> = old.iter().map(|value| needle(value)).collect();
        values.extend(
            BY_HAND.iter().map(|(name, ..)| std::fs::read_to_string(desk.path(&format!("new/{name}"))).unwrap()),
        );

        let mut resume = format!("security rotate-keys --resume --confirm=here --reason drill{bring}");
        if desk.kill_at(&line, CREDENTIALS[credential], STAGES[stage]) {
            *kills.entry((stage, credential)).or_default() += 1;
            counted += 1;
            desk.succeed("test auth --all");
            desk.assert_clean(&values, true);
            if fastrand::u8(..3) == 0 {
                // Once more, somewhere in the rest of it.
                let time = Duration::from_millis(fastrand::u64(10..400));
                in_resume += usize::from(desk.kill_after(&resume, time));
                desk.succeed("test auth --all");
                desk.assert_clean(&values, true);
            }
            // The journal was not even begun when it was killed as early as that.
            let text = desk.succeed(&resume);
            if text.contains("No interrupted rotation.") && desk.key(names[0]) == old[0] {
                resume.clone_from(&line);
                desk.succeed(&resume);
            }
        }
        desk.succeed("test auth --all");
        for (at, name) in names.iter().enumerate() {
            let new = desk.key(name);
            assert_ne!(new, old[at], "{name} is new");
            let entry: Value =
                serde_json::from_slice(&output(&mut desk.opsctl(&format!("config get {name} -o json"))).stdout)
                    .unwrap();
            assert_eq!(entry["fingerprint"], Secret::new(new.trim()).fingerprint(), "{name}: {entry}");
            assert_eq!((entry.get("pending"), entry.get("expiresAt")), (None, None), "{name}: {entry}");
        }
        // Every old one that a platform ends is refused; Notion's is on the list of a person.
        let was: Vec<(&str, &str)> = names.iter().zip(&old).map(|(name, value)| (*name, value.as_str())).collect();
        for platform in [Platform::Trello, Platform::Slack, Platform::Drive] {
            assert!(desk.clients(&was).who_am_i(platform).await.is_err(), "the old {platform} key still works");
        }
        let now: Vec<(&str, String)> = names.iter().map(|name| (*name, desk.key(name))).collect();
        let now: Vec<(&str, &str)> = now.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let listed = desk.clients(&now).account_keys(Duration::from_secs(10)).await.unwrap();
        assert_eq!(listed.len(), 1, "only the key in use is left: {listed:?}");
        let left: Value =
            serde_json::from_slice(&output(&mut desk.opsctl("security rotate-keys --left -o json")).stdout).unwrap();
        assert_eq!(left[0]["fingerprint"], Secret::new(old[0].as_str()).fingerprint(), "{left}");
        desk.succeed("security rotate-keys --revoked notion");
        std::fs::remove_dir_all(desk.path("new")).unwrap();
        desk.assert_clean(&values, false);
        let kept = std::fs::read_to_string(desk.path("data/secrets.json")).unwrap();
        let google_id = serde_json::from_str::<Value>(&old[3]).unwrap()["private_key_id"].as_str().unwrap().to_owned();
        assert!(old[..3].iter().chain([&google_id]).all(|value| !kept.contains(value.as_str())), "no old one is kept");
        desk.succeed("history verify");
    }
    note(&format!(
        "key rotation kill loop: {counted} kills, {in_resume} more while it went on; a working key after each"
    ));
    note(&format!("  {:<14}{}", "killed after", CREDENTIALS.map(|name| format!("{name:>8}")).concat()));
    for (stage, name) in STAGES.iter().enumerate().skip(1) {
        let row = (0..4).map(|at| format!("{:>8}", kills.get(&(stage, at)).copied().unwrap_or_default()));
        note(&format!("  {name:<14}{}", row.collect::<String>()));
    }
}
