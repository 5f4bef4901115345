//! Fills an empty database from a dump, by the COPY protocol and over two connections. psql has no part in it.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::{Mutex, mpsc};

use super::super::{connect, fault};
use super::binary::{Encoder, HEADER, TRAILER};
use super::feed::{Work, feed};
use super::indexes::{Later, build};
use crate::detect::backup::Allowed;
use crate::domain::guard::{GUARD_NAME, GUARD_TABLES, quote_identifier};
use crate::ports::{Fault, FaultKind, RestoreProgress};

/// Connections that fill tables and build indexes. One more than the two that the rows of a table are sent over, so that a build that
/// waits for the disk leaves no processor idle.
const LANES: usize = 3;
/// Of these, connections that the rows of one table are sent over: more only wait for each other to make the table longer.
const COPIES: usize = 2;
/// Blocks of rows after which a table is worth a second connection.
const SMALL: usize = 3;
/// Rows are checked against the space that is left after so many bytes.
const LOOK_AROUND: u64 = 64 << 20;

/// Where a dump is loaded, and how.
pub(super) struct Target {
    /// The empty database, as a role that may make extensions and give things away.
    pub admin: PgConnectOptions,
    /// The role as which the dump's statements run; absent: the admin's own, which is no superuser.
    pub role: Option<String>,
    /// Tables are made UNLOGGED: for scratch copies, which need not outlive a crash.
    pub unlogged: bool,
    /// Bound on one statement.
    pub within: Duration,
    /// Whether there is still room; asked now and then.
    pub room: Box<dyn Fn() -> Result<(), Fault> + Send + Sync>,
}

/// What was loaded.
#[derive(Debug, Default, Clone)]
pub(super) struct Loaded {
    /// Rows of each table, by its name as the dump writes it.
    pub rows: BTreeMap<String, u64>,
    /// Indexes that the dump makes by `CREATE INDEX`.
    pub indexes: u64,
    /// Constraints that the dump adds.
    pub constraints: u64,
    /// Constraints that the dump itself says are not valid.
    pub not_valid: u64,
    /// Owners, in the dump's words, and the role.
    pub owners: Vec<(String, String)>,
    /// Rights, in the dump's words.
    pub rights: Vec<String>,
}

/// The connections of a load.
pub(super) struct Lanes {
    /// The dump's statements, and a share of the rows and indexes.
    pub first: PgConnection,
    /// Further shares.
    pub others: Vec<PgConnection>,
    admin: PgConnection,
}

impl Lanes {
    async fn open(target: &Target) -> Result<Self, Fault> {
        let first = lane(target).await?;
        let mut others = Vec::new();
        for _ in 1..LANES {
            others.push(lane(target).await?);
        }
        Ok(Self { first, others, admin: connect(&target.admin).await? })
    }

    /// All that run the dump's statements.
    pub fn all(&mut self) -> impl Iterator<Item = &mut PgConnection> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }
}

async fn lane(target: &Target) -> Result<PgConnection, Fault> {
    let mut connection = connect(&target.admin).await?;
    let role = target
        .role
        .as_ref()
        .map_or(String::new(), |role| format!("SET SESSION AUTHORIZATION {};", quote_identifier(role)));
    let set = format!(
        "{role} SET statement_timeout = {}; SET lock_timeout = '60s'; SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; \
         SET search_path = ''; SET row_security = off; SET synchronous_commit = off; SET maintenance_work_mem = '64MB'; \
         SET max_parallel_maintenance_workers = 0; SET client_min_messages = error",
        target.within.as_millis()
    );
    connection
        .execute(AssertSqlSafe(set))
        .await
        .map_err(|error| fault("failed to prepare a session for the dump", &error))?;
    Ok(connection)
}

/// Loads a dump to its end. Whatever is not on the allow-list ends it.
pub(super) async fn load(
    target: &Target,
    dump: Box<dyn Read + Send>,
    progress: &RestoreProgress,
) -> Result<Loaded, Fault> {
    let mut lanes = Lanes::open(target).await?;
    let mut work = feed(dump);
    let mut loader =
        Loader { target, progress, loaded: Loaded::default(), later: Vec::new(), bytes: 0, looked: 0, ended: false };
    progress.phase("rows");
    let mut next = receive(&mut work).await?;
    while let Some(piece) = next.take() {
        next = match piece {
            Work::Statement { line, text, what: Allowed::Copy { table, columns } } => {
                loader.copy(&mut lanes, &mut work, (line, &text), (&table, &columns)).await?
            }
            Work::Statement { line, text, what } => {
                loader.statement(&mut lanes, line, text, what).await?;
                receive(&mut work).await?
            }
            Work::Rows { .. } => return Err(Fault::new(FaultKind::Corrupt, "rows that belong to no table")),
            Work::End => {
                loader.ended = true;
                None
            }
        };
    }
    if !loader.ended {
        return Err(Fault::new(FaultKind::OutcomeUnknown, "reading the dump died"));
    }
    progress.phase("indexes and constraints");
    build(&mut lanes, std::mem::take(&mut loader.later), &loader.loaded.rows).await?;
    let Lanes { first, others, admin } = lanes;
    for connection in others.into_iter().chain([first, admin]) {
        let _ = connection.close().await;
    }
    Ok(loader.loaded)
}

/// Runs one statement by the extended protocol, which takes no second one: where the tokenizer and the server disagree on a
/// statement's end, the server refuses.
pub(super) async fn single(connection: &mut PgConnection, text: &str) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(text.to_owned())).persistent(false).execute(connection).await.map(|_| ())
}

async fn receive(work: &mut mpsc::Receiver<Result<Work, Fault>>) -> Result<Option<Work>, Fault> {
    work.recv().await.transpose()
}

struct Loader<'a> {
    target: &'a Target,
    progress: &'a RestoreProgress,
    loaded: Loaded,
    later: Vec<Later>,
    bytes: u64,
    looked: u64,
    ended: bool,
}

impl Loader<'_> {
    async fn statement(&mut self, lanes: &mut Lanes, line: u64, text: String, what: Allowed) -> Result<(), Fault> {
        let of_guard = |table: &str| GUARD_TABLES.contains(&table);
        match &what {
            // The session is ours; the guard is put back afresh.
            Allowed::Session | Allowed::Guard | Allowed::Commit => return Ok(()),
            Allowed::Schema(name) if name == GUARD_NAME => return Ok(()),
            Allowed::Table(name) | Allowed::Insert { table: name, .. } if of_guard(name) => return Ok(()),
            Allowed::Owner(role) => {
                self.loaded.owners.push((text, role.clone()));
                return Ok(());
            }
            Allowed::Rights => {
                self.loaded.rights.push(text);
                return Ok(());
            }
            Allowed::Index { .. } => self.loaded.indexes += 1,
            Allowed::Constraint { .. } => {
                self.loaded.constraints += 1;
                self.loaded.not_valid += u64::from(text.trim_end().ends_with("NOT VALID"));
            }
            _ => {}
        }
        let built = matches!(what, Allowed::Index { .. } | Allowed::Constraint { .. });
        if built || !self.later.is_empty() {
            self.later.push(Later { line, text, what });
            return Ok(());
        }
        self.now(lanes, line, &text, &what).await
    }

    async fn now(&mut self, lanes: &mut Lanes, line: u64, text: &str, what: &Allowed) -> Result<(), Fault> {
        let failed = |error: sqlx::Error| fault(&format!("line {line} of the dump can't be restored"), &error);
        match what {
            Allowed::Extension(name) => {
                // The extension by its name alone; the dump's own words could ask for more.
                let sql = format!("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA public", quote_identifier(name));
                let sql = if name == "plpgsql" { "SELECT 1".to_owned() } else { sql };
                lanes.admin.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
            }
            Allowed::Schema(name) => {
                let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", quote_identifier(name));
                lanes.first.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
            }
            Allowed::Comment => {
                // Words about what belongs to others can't be put back, and nothing depends on them.
                let _ = single(&mut lanes.first, text).await;
            }
            Allowed::Table(name) => {
                let logged = !self.target.unlogged
                    || text.get(..13).is_none_or(|head| !head.eq_ignore_ascii_case("CREATE TABLE "));
                let sql = if logged { text.to_owned() } else { format!("CREATE UNLOGGED TABLE {}", &text[13..]) };
                single(&mut lanes.first, &sql).await.map_err(failed)?;
                self.loaded.rows.entry(name.clone()).or_insert(0);
            }
            Allowed::Insert { table, rows } => {
                single(&mut lanes.first, text).await.map_err(failed)?;
                *self.loaded.rows.entry(table.clone()).or_insert(0) += rows;
            }
            _ => {
                single(&mut lanes.first, text).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    fn took(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes += bytes as u64;
        self.progress.text(self.bytes);
        if self.bytes - self.looked >= LOOK_AROUND {
            self.looked = self.bytes;
            (self.target.room)()?;
        }
        Ok(())
    }

    /// One table's rows: over one connection if they are few, else over both. Returns what follows them.
    async fn copy(
        &mut self,
        lanes: &mut Lanes,
        work: &mut mpsc::Receiver<Result<Work, Fault>>,
        (line, sql): (u64, &str),
        (table, columns): (&str, &[String]),
    ) -> Result<Option<Work>, Fault> {
        let failed = |error: sqlx::Error| {
            fault(&format!("line {line} of the dump: the rows of {table} can't be restored"), &error)
        };
        let skip = GUARD_TABLES.contains(&table);
        let mut ready = Vec::new();
        let (mut expected, mut next) = (0, None);
        while ready.len() < SMALL || skip {
            match receive(work).await? {
                Some(Work::Rows { count, bytes }) => {
                    self.took(bytes.len())?;
                    expected += count;
                    if !skip {
                        ready.push(bytes);
                    }
                }
                other => {
                    next = other;
                    break;
                }
            }
        }
        if skip {
            return Ok(next);
        }
        let mut given = 0;
        if next.is_some() {
            let mut copy = lanes.first.copy_in_raw(sql).await.map_err(failed)?;
            for bytes in ready {
                copy.send(bytes).await.map_err(failed)?;
            }
            given += copy.finish().await.map_err(failed)?;
        } else {
            let encoder = Encoder::of(&mut lanes.first, sql, columns).await?;
            let (sender, receiver) = mpsc::channel(4);
            let shared = Arc::new(Mutex::new(receiver));
            let pump = async {
                for bytes in ready {
                    let _ = sender.send(bytes).await;
                }
                let mut after = None;
                while let Some(piece) = receive(work).await? {
                    let Work::Rows { count, bytes } = piece else {
                        after = Some(piece);
                        break;
                    };
                    self.took(bytes.len())?;
                    expected += count;
                    // A lane that failed says why itself.
                    if sender.send(bytes).await.is_err() {
                        break;
                    }
                }
                drop(sender);
                Ok::<_, Fault>(after)
            };
            let drains = lanes.all().take(COPIES).map(|lane| drain(lane, sql, encoder.as_ref(), Arc::clone(&shared)));
            let drained = async { futures_util::future::try_join_all(drains).await.map_err(failed) };
            let (after, counts) = tokio::try_join!(pump, drained)?;
            (next, given) = (after, counts.into_iter().sum());
        }
        if given != expected {
            let message = format!("{table}: the server took {given} rows of the dump's {expected}");
            return Err(Fault::new(FaultKind::Corrupt, message));
        }
        *self.loaded.rows.entry(table.to_owned()).or_insert(0) += given;
        Ok(next)
    }
}

/// Sends blocks of rows until there are no more: in COPY's binary format where they can be written so, else as they are.
async fn drain(
    connection: &mut PgConnection,
    sql: &str,
    encoder: Option<&Encoder>,
    blocks: Arc<Mutex<mpsc::Receiver<Vec<u8>>>>,
) -> Result<u64, sqlx::Error> {
    let binary = format!("{sql} WITH (FORMAT binary)");
    let next = async || blocks.lock().await.recv().await;
    let encode = |block: &[u8]| encoder.and_then(|encoder| encoder.rows(block));
    let mut given = 0;
    let mut waiting = next().await;
    while let Some(first) = waiting.take() {
        let mut ready = encode(&first);
        let mut block = first;
        let in_binary = ready.is_some();
        let mut copy = connection.copy_in_raw(if in_binary { &binary } else { sql }).await?;
        if in_binary {
            copy.send(HEADER).await?;
        }
        // Until there is no more, or the next block wants the other format.
        loop {
            copy.send(ready.take().unwrap_or(block)).await?;
            let Some(more) = next().await else { break };
            ready = encode(&more);
            if ready.is_some() != in_binary {
                waiting = Some(more);
                break;
            }
            block = more;
        }
        if in_binary {
            copy.send(TRAILER).await?;
        }
        given += copy.finish().await?;
    }
    Ok(given)
}
