//! The host process: the simulators, the traffic, and `serve` as a child. It ends when it is asked to, when nobody used
//! the sandbox for a while, and when its folder goes away.
//!
//! One loop owns the state; requests reach it as [`Order`]s through the simulators' control API.

mod orders;

pub(super) use orders::{AdvanceBy, Look, SceneSet, TrafficSet};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::member2::Member2;
use super::place::{Place, write_private};
use super::placeholders;
use super::process::{self, Process};
use super::record::{Record, State, Traffic};
use super::remote::Remote;
use super::service::{self, Needs};
use super::sim::{SimOptions, Sims};
use super::traffic::{self, Wanted, Writer};
use crate::clock::Clock;
use crate::error::{Fault, Kind};
use crate::notify::ROUTING_KEY;
use crate::server::tokens::ADMIN_FILE;
use crate::wire::ClockRequest;
use orders::{Ask, Order};

/// Actions that have to have run before the sandbox counts as up.
const FIRST_ACTIONS: u64 = 50;
/// How long they may take.
const FIRST_LIMIT: Duration = Duration::from_secs(30);
/// How long the orchestrator may finish what is in flight.
const SERVE_STOP: Duration = Duration::from_secs(20);
/// How often the host looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the simulators' state is saved, for the case of a crash.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Milliseconds that a platform takes to answer.
const LATENCY: std::ops::RangeInclusive<u64> = 20..=80;

/// How the host is started.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// The sandbox's folder.
    pub place: Place,
    /// How long nobody uses it before it stops.
    pub idle: Duration,
    /// This program, to start `serve` with.
    pub program: PathBuf,
}

/// Runs until the sandbox is put down. `note` takes lines for the log.
pub async fn run(options: HostOptions, note: impl Fn(&str)) -> anyhow::Result<()> {
    process::close_inherited();
    // A session of its own: the terminal it was started from may close. It fails where there is one already.
    let _ = rustix::process::setsid();
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let (orders, mut inbox) = mpsc::channel(16);
    options.place.make()?;
    options.place.touch();
    let mut host = Host::open(&options, orders::router(orders)).await?;
    if let Err(error) = host.bring_up().await {
        host.put_down().await;
        return Err(error);
    }
    note(&format!("up at {}", host.record.url));
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut save = tokio::time::interval(SAVE_EVERY);
    let why = loop {
        tokio::select! {
            order = inbox.recv() => match order {
                Some(order) => if host.obey(order).await { break "asked to stop" },
                None => break "nobody can reach it any more",
            },
            _ = look.tick() => {
                if !host.is_the_one() {
                    break "its record went away";
                }
                if options.place.unused_for().is_some_and(|unused| unused >= options.idle) {
                    break "nobody used it";
                }
            }
            _ = save.tick() => host.save(&note),
            () = host.sims.stopped() => break "asked to stop",
            _ = stop.recv() => break "terminated",
            _ = interrupt.recv() => break "interrupted",
            _ = hang_up.recv() => {}
        }
    };
    host.put_down().await;
    note(&format!("down: {why}"));
    Ok(())
}

struct Host {
    place: Place,
    program: PathBuf,
    clock: Clock,
    sims: Sims,
    credentials: BTreeMap<String, String>,
    record: Record,
    traffic: Option<watch::Sender<Wanted>>,
    member2: Arc<Member2>,
}

impl Host {
    /// Starts the simulators where they were before, with what they remember.
    async fn open(options: &HostOptions, control: axum::Router) -> anyhow::Result<Host> {
        let place = options.place.clone();
        let before = Record::read(&place).unwrap_or_default();
        let clock = Clock::system();
        clock.set_offset_ms(before.as_ref().map_or(0, |r| r.clock_offset_ms));
        let mut wanted = SimOptions {
            clock: clock.clone(),
            limits: true,
            latency: LATENCY,
            ports: before.as_ref().map(|r| r.ports.clone()).unwrap_or_default(),
            state_file: Some(place.sims()),
            more_control: control,
            ..SimOptions::default()
        };
        let sims = match start_sims(&place, wanted.clone()).await {
            Err(_) if !wanted.ports.is_empty() => {
                // A port may be somebody else's by now.
                wanted.ports.clear();
                start_sims(&place, wanted).await?
            }
            outcome => outcome?,
        };
        write_private(&place.control_token(), sims.control_token().expose().as_bytes())?;
        let credentials = sims.credentials(&place.keys())?;
        // Commands notify, the orchestrator does not: its key is only in what commands read.
        let mut of_commands = credentials.clone();
        of_commands.insert(ROUTING_KEY.into(), sims.routing_key().expose().to_owned());
        write_private(&place.environment(), &serde_json::to_vec_pretty(&of_commands)?)?;
        let record = Record {
            state: State::Starting,
            started_at: clock.now(),
            url: before.as_ref().map(|r| r.url.clone()).unwrap_or_default(),
            token_file: place.data().join(ADMIN_FILE),
            clock_offset_ms: clock.offset_ms(),
            control_url: sims.control_url(),
            control_token_file: place.control_token(),
            host: Process::of(std::process::id()),
            serve: before.as_ref().and_then(|r| r.serve),
            ports: sims.ports(),
            endpoints: sims.endpoints(),
            traffic: before.as_ref().map(|r| r.traffic).unwrap_or_default(),
            objects: placeholders::FROM_ENVIRONMENT
                .iter()
                .filter_map(|(name, variable)| Some(((*name).to_owned(), credentials.get(*variable)?.clone())))
                .collect(),
            scene: before.as_ref().map(|r| r.scene.clone()).unwrap_or_default(),
            scenario: before.and_then(|r| r.scenario),
        };
        record.write(&place)?;
        let member2 = Arc::new(Member2::new(place.member2_log()));
        Ok(Host { place, program: options.program.clone(), clock, sims, credentials, record, traffic: None, member2 })
    }

    /// Starts the orchestrator, has the first actions run, and lets the traffic begin.
    async fn bring_up(&mut self) -> anyhow::Result<()> {
        // One that outlived a killed host knows addresses and credentials that may be old.
        if let Some(serve) = self.record.serve.filter(Process::is_alive) {
            serve.end(SERVE_STOP).await;
        }
        self.start_serve().await?;
        let admin = self.admin()?;
        let writer = Writer::new(self.credentials.clone());
        self.run_first(&admin, &writer).await?;
        let (sender, receiver) = watch::channel(Wanted { traffic: self.record.traffic, admin: Some(admin) });
        tokio::spawn(traffic::run(writer, receiver, Arc::clone(&self.member2), self.clock.clone()));
        self.traffic = Some(sender);
        self.record.state = State::Up;
        self.record.write(&self.place)
    }

    async fn start_serve(&mut self) -> anyhow::Result<()> {
        let port = self.record.url.rsplit(':').next().and_then(|p| p.parse().ok()).unwrap_or(0);
        let running = service::start(&Needs {
            place: &self.place,
            program: &self.program,
            endpoints: &self.record.endpoints,
            credentials: &self.credentials,
            clock_offset_ms: self.clock.offset_ms(),
            port,
        })
        .await?;
        self.record.serve = Some(running.process);
        self.record.url = running.url;
        self.record.write(&self.place)
    }

    fn admin(&self) -> anyhow::Result<Remote> {
        Remote::admin(&self.record.url, &self.record.token_file)
    }

    /// Numbers are only worth looking at when something has happened.
    async fn run_first(&self, admin: &Remote, writer: &Writer) -> anyhow::Result<()> {
        if traffic::succeeded(admin).await? >= FIRST_ACTIONS {
            return Ok(());
        }
        let first = writer.first();
        traffic::submit(admin, &self.member2, self.clock.now(), first)
            .await
            .context("the first actions were refused")?;
        traffic::submit_workflow(admin, &self.member2, self.clock.now(), &writer.workflow())
            .await
            .context("the first workflow was refused")?;
        let deadline = tokio::time::Instant::now() + FIRST_LIMIT;
        loop {
            let done = traffic::succeeded(admin).await?;
            if done >= FIRST_ACTIONS {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                let secs = FIRST_LIMIT.as_secs();
                let message = format!("only {done} of the first {FIRST_ACTIONS} actions ran within {secs}s");
                let logs = self.place.data().join("logs");
                return Err(Fault::new(Kind::Failed, message).hint(format!("see {}", logs.display())).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Does what it is told; true when that is to stop.
    async fn obey(&mut self, order: Order) -> bool {
        let stops = matches!(order.ask, Ask::Down);
        let done = match order.ask {
            Ask::Look | Ask::Down => Ok(()),
            Ask::Serve => self.repair().await,
            Ask::Traffic(set) => self.set_traffic(&set),
            Ask::Advance(by) => self.advance(by).await,
            Ask::Scene(set) => self.set_scene(set),
        };
        let look = Look {
            state: self.record.state,
            serve_runs: self.record.serve_runs(),
            traffic: self.record.traffic,
            clock_offset_ms: self.record.clock_offset_ms,
        };
        // Nobody may be waiting for the answer any more.
        let _ = order.answer.send(done.map(|()| look).map_err(|e| crate::error::Explained::from_error(&e)));
        stops
    }

    /// Brings back what is missing of it.
    async fn repair(&mut self) -> anyhow::Result<()> {
        if self.record.serve_runs() {
            return Ok(());
        }
        self.start_serve().await?;
        let admin = self.admin()?;
        self.tell_traffic(|wanted| wanted.admin = Some(admin));
        Ok(())
    }

    fn set_traffic(&mut self, set: &TrafficSet) -> anyhow::Result<()> {
        let Traffic { on, per_minute } = self.record.traffic;
        let traffic = Traffic { on: set.on.unwrap_or(on), per_minute: set.per_minute.unwrap_or(per_minute) };
        self.record.traffic = traffic;
        self.tell_traffic(|wanted| wanted.traffic = traffic);
        self.record.write(&self.place)
    }

    fn tell_traffic(&self, change: impl FnOnce(&mut Wanted)) {
        if let Some(sender) = &self.traffic {
            sender.send_modify(change);
        }
    }

    /// Moves everybody's clock, forward. The orchestrator first: where it refuses, nobody moves.
    async fn advance(&mut self, by: AdvanceBy) -> anyhow::Result<()> {
        let by_ms = i64::try_from(by.by_ms).unwrap_or(i64::MAX);
        let offset_ms = self.clock.offset_ms().saturating_add(by_ms);
        if self.record.serve_runs() {
            let _: serde_json::Value = self.admin()?.post("/admin/v1/clock", &ClockRequest { offset_ms }).await?;
        }
        self.clock.set_offset_ms(offset_ms);
        self.record.clock_offset_ms = offset_ms;
        self.record.write(&self.place)
    }

    fn set_scene(&mut self, set: SceneSet) -> anyhow::Result<()> {
        self.record.scenario = set.name;
        self.record.scene = set.scene;
        self.record.write(&self.place)
    }

    fn save(&self, note: &impl Fn(&str)) {
        if let Err(error) = self.sims.save(&self.place.sims()) {
            note(&format!("{error:#}"));
        }
    }

    /// Stops everything and keeps the state.
    async fn put_down(mut self) {
        self.record.state = State::Stopping;
        self.keep();
        self.traffic = None;
        if let Some(serve) = self.record.serve {
            serve.end(SERVE_STOP).await;
        }
        let saved = !self.is_the_one() || self.sims.save(&self.place.sims()).is_ok();
        drop(self.sims);
        // Without its state it was not put down cleanly, and the record goes on saying so.
        if saved && is_the_one(&self.place) {
            let record = Record { state: State::Down, host: None, serve: None, ..self.record };
            let _ = record.write(&self.place);
        }
    }

    /// Writes the record where that is still this host's to do; a disk that is full stops nothing.
    fn keep(&self) {
        if self.is_the_one() {
            let _ = self.record.write(&self.place);
        }
    }

    fn is_the_one(&self) -> bool {
        is_the_one(&self.place)
    }
}

/// Whether the record is this process's: the folder may have gone away, and another host may have taken over.
fn is_the_one(place: &Place) -> bool {
    let record = Record::read(place).ok().flatten();
    record.is_some_and(|record| record.host.is_some_and(|host| host.pid == std::process::id()))
}

async fn start_sims(place: &Place, options: SimOptions) -> anyhow::Result<Sims> {
    if place.sims().exists() {
        let path = place.sims();
        return Sims::load(&path, options).await.map_err(|error| {
            Fault::new(Kind::Failed, "the simulators cannot go on where they ended")
                .because(format!("{error:#}"))
                .hint(format!("move {} away: the next start makes fresh content", path.display()))
                .into()
        });
    }
    Sims::start(options).await
}
