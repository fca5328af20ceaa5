//! The writing thread: takes what is waiting, runs it in one transaction with a savepoint per operation, syncs, and only
//! then says so.

use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{StoreError, Trouble, schema};
use crate::clock::Clock;

/// Operations per transaction at most, so that a flood cannot keep one open for long.
const GROUP: usize = 512;

/// An operation on its way: run inside the group's transaction, finished with the commit's result.
trait Operation: Send {
    fn run(&mut self, conn: &Connection) -> Result<(), StoreError>;
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Sent<F, T, A> {
    op: Option<F>,
    done: Option<Result<T, StoreError>>,
    then: A,
}

impl<F, T, A> Operation for Sent<F, T, A>
where
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
    T: Send,
    A: FnOnce(Result<T, StoreError>) + Send,
{
    fn run(&mut self, conn: &Connection) -> Result<(), StoreError> {
        let Some(op) = self.op.take() else { return Ok(()) };
        let done = op(conn);
        let outcome = done.as_ref().map(|_| ()).map_err(Clone::clone);
        self.done = Some(done);
        outcome
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match committed {
            Ok(()) => self.done.unwrap_or(Err(StoreError::Closed)),
            Err(error) => Err(error),
        };
        (self.then)(outcome);
    }
}

type Connect = Box<dyn FnOnce() -> Result<Connection, StoreError> + Send>;

enum Job {
    Run(Box<dyn Operation>),
    Replace(Connect, oneshot::Sender<Result<(), StoreError>>),
    Pass(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// The way to the thread; operations are refused while it is closed.
struct Gate {
    jobs: Sender<Job>,
    frozen: bool,
}

/// Hands operations to the writing thread.
pub struct Writer {
    jobs: Mutex<Gate>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(conn: Connection) -> Result<Writer, StoreError> {
        let (jobs, inbox) = channel();
        let trouble = Arc::new(Mutex::new(None));
        let thread = Thread { conn: Some(conn), trouble: Arc::clone(&trouble) };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run(&inbox))
            .map_err(|e| StoreError::Other(format!("cannot start the store's thread: {e}")))?;
        Ok(Writer { jobs: Mutex::new(Gate { jobs, frozen: false }), trouble })
    }

    /// Runs an operation in the next transaction and calls `then` after its sync, on the writing thread. Operations run in
    /// the order in which they are sent. One that fails leaves nothing behind.
    pub fn send<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        self.post(Job::Run(Box::new(Sent { op: Some(op), done: None, then })));
    }

    /// Runs an operation and waits for its sync.
    pub async fn write<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = oneshot::channel();
        self.send(op, move |outcome| {
            let _ = done.send(outcome);
        });
        result.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs an operation and waits for its sync, outside an async runtime.
    pub fn write_blocking<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = std::sync::mpsc::channel();
        self.send(op, move |outcome| {
            let _ = done.send(outcome);
        });
        result.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Closes the connection and goes on with a new one; operations sent meanwhile wait.
    pub async fn replace(
        &self,
        connect: impl FnOnce() -> Result<Connection, StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (done, result) = oneshot::channel();
        self.post(Job::Replace(Box::new(connect), done));
        result.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Finishes what was sent, and refuses what comes from now on until [`Writer::thaw`].
    pub async fn freeze(&self) {
        let (done, passed) = oneshot::channel();
        {
            let mut gate = self.gate();
            gate.frozen = true;
            let _ = gate.jobs.send(Job::Pass(done));
        }
        let _ = passed.await;
    }

    /// Takes operations again.
    pub fn thaw(&self) {
        self.gate().frozen = false;
    }

    /// Finishes what was sent and ends the thread.
    pub async fn stop(&self) {
        let (done, result) = oneshot::channel();
        self.post(Job::Stop(done));
        let _ = result.await;
    }

    /// What is wrong now, if anything.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn post(&self, job: Job) {
        let refused = {
            let gate = self.gate();
            match job {
                Job::Run(operation) if gate.frozen => Some((operation, StoreError::Replaced)),
                job => match gate.jobs.send(job) {
                    Err(SendError(Job::Run(operation))) => Some((operation, StoreError::Closed)),
                    _ => None,
                },
            }
        };
        if let Some((operation, error)) = refused {
            operation.finish(Err(error));
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Thread {
    conn: Option<Connection>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Thread {
    fn run(mut self, inbox: &Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| inbox.recv().ok()) {
            match job {
                Job::Run(first) => {
                    let (group, leftover) = collect(first, inbox);
                    next = leftover;
                    self.commit(group);
                }
                Job::Replace(connect, done) => {
                    // The old one is closed first: a new connection must not find its locks.
                    self.conn = None;
                    let opened = connect().map(|conn| self.conn = Some(conn));
                    self.note(opened.as_ref().err());
                    let _ = done.send(opened);
                }
                Job::Pass(done) => _ = done.send(()),
                Job::Stop(done) => {
                    // So that the file alone is the whole store; what fails here is in the log beside it.
                    if let Some(conn) = self.conn.take() {
                        let _ = schema::checkpoint(&conn);
                    }
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn commit(&self, mut group: Vec<Box<dyn Operation>>) {
        let outcome = match &self.conn {
            Some(conn) => {
                let outcome = transact(conn, &mut group);
                if outcome.is_err() && !conn.is_autocommit() {
                    let _ = conn.execute_batch("ROLLBACK");
                }
                outcome
            }
            None => Err(StoreError::Io("it could not be opened again".into())),
        };
        match &outcome {
            Ok(None) => self.note(None),
            Ok(Some(error)) | Err(error) => self.note(Some(error)),
        }
        let committed = outcome.map(|_| ());
        for operation in group {
            operation.finish(committed.clone());
        }
    }

    fn note(&self, error: Option<&StoreError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let since = trouble.take().map(|t| t.since);
        *trouble = error.filter(|e| e.is_trouble()).map(|e| Trouble {
            since: since.unwrap_or_else(|| Clock::system().now()),
            message: format!("{e}; {}", e.advice()),
        });
    }
}

/// Takes what is waiting, up to a group or a job of another kind.
fn collect(first: Box<dyn Operation>, inbox: &Receiver<Job>) -> (Vec<Box<dyn Operation>>, Option<Job>) {
    let mut group = vec![first];
    while group.len() < GROUP {
        match inbox.try_recv() {
            Ok(Job::Run(operation)) => group.push(operation),
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

/// Runs a group in one transaction. `Ok(Some)` is the trouble one operation met while the others went through.
fn transact(conn: &Connection, group: &mut [Box<dyn Operation>]) -> Result<Option<StoreError>, StoreError> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut met = None;
    for operation in group {
        conn.prepare_cached("SAVEPOINT op")?.execute([])?;
        if let Err(error) = operation.run(conn) {
            // Some failures end the whole transaction; then nothing of the group was kept.
            if conn.is_autocommit() {
                return Err(error);
            }
            conn.prepare_cached("ROLLBACK TO op")?.execute([])?;
            met = Some(error).filter(StoreError::is_trouble).or(met);
        }
        conn.prepare_cached("RELEASE op")?.execute([])?;
    }
    conn.prepare_cached("COMMIT")?.execute([])?;
    Ok(met)
}
