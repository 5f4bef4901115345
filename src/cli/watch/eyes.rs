//! The looks: at logs, at the trade table, at the guard, at the catalog.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use super::memory::{Memory, Seen, Stretch};
use super::metrics::Numbers;
use super::trading::Trading;
use super::{WatchArgs, WatchSummary};
use super::{account, correlated::Correlated, guarded};
use crate::adapters::follow::journal::{self, JournalFollower, entry_of_line};
use crate::adapters::follow::{Follower, Piece};
use crate::cli::report::incident_or_newest;
use crate::cli::{Context, Exit, Failure, scan_output};
use crate::detect::database::DatabasePolicy;
use crate::detect::logs::formats::{Format, Wanted};
use crate::detect::logs::{Ruleset, ScanOptions, log_finding_id, scan_feeding};
use crate::detect::secrets::{Needles, Redactor, scan_secrets};
use crate::detect::trades::policy::TradePolicy;
use crate::domain::{Finding, FindingKind, IncidentId, Level, RuleRef, Source, Timestamp, finding_id};
use crate::engine::{Deployment, known_values, scan_database};
use crate::ui::clean;

/// Seconds between two entries that account for the time.
const ACCOUNT_S: u64 = 600;
/// Bound on the last look at the trades.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// Bound on one look at the database.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Records are counted within the file, not within what was added to it. An entry of the journal stands on no line.
fn within_file(source: &mut Source, piece: &Piece) {
    if let Source::File { record, line, offset, .. } = source {
        *offset = None;
        *record += piece.first;
        *line = line.filter(|_| !piece.journal).map(|line| line + piece.first);
    }
}

/// A watch under way.
pub(super) struct Watch<'a> {
    pub(super) ctx: &'a Context,
    pub(super) deployment: Deployment,
    pub(super) incident: Option<IncidentId>,
    pub(super) from_level: Level,
    pub(super) auto_pause: Option<Level>,
    pub(super) redactor: Redactor,
    pub(super) seen: Seen,
    pub(super) stretch: Stretch,
    pub(super) summary: WatchSummary,
    pub(super) numbers: Arc<Numbers>,
    pub(super) untold: Vec<Finding>,
    pub(super) unwritten: Vec<Finding>,
    pub(super) drop_gate: Option<String>,
    pub(super) guard: Option<String>,
    rules: Ruleset,
    correlated: Correlated,
    dead: Needles,
    follower: Follower,
    journal: Option<JournalFollower>,
    pub(super) trading: Trading,
    until: Option<Timestamp>,
    watched: Vec<String>,
    memory: PathBuf,
    last: BTreeMap<&'static str, Instant>,
    gaps_now: BTreeMap<&'static str, String>,
}

impl<'a> Watch<'a> {
    /// Reads policies and rules, and goes on where an earlier watch ended.
    pub(super) async fn begin(args: &WatchArgs, ctx: &'a Context) -> Result<Self, Failure> {
        let deployment = ctx.deployment()?;
        let policy = deployment.policies.monitoring.clone();
        let given = if args.paths.is_empty() { &policy.logs } else { &args.paths };
        let paths = scan_output::resolve(ctx, given);
        if paths.is_empty() && deployment.database.is_none() && policy.journald.is_none() {
            return Err(Failure::new(Exit::Usage, "there is nothing to watch: no log path and no database")
                .hint("portcullis watch PATH..., or name `logs:` in policies/monitoring.yml"));
        }
        let sought = args.sought.read(ctx)?;
        let mut uncovered = Vec::new();
        let values = known_values(&deployment, &mut uncovered).await;
        let pairs: Vec<_> = values.iter().map(|(id, value)| (id.as_str(), value.expose_secret())).collect();
        let any = !deployment.cases.list().unwrap_or_default().is_empty();
        let incident = if any { Some(incident_or_newest(ctx, &deployment)?) } else { None };
        let home = ctx.root.join(&ctx.settings.home);
        let memory = Memory::path(&home);
        let now = deployment.clock.now();
        let until = args.duration.and_then(|span| now.checked_add(span).ok());
        let (trade_policies, errors) = TradePolicy::from_texts(&deployment.policies.texts);
        let journal = policy.journald.as_ref();
        let journal = journal.map(|from| JournalFollower::new(&from.units, from.directory.as_deref(), now));
        let channel = policy.trades_channel.as_deref();
        let told = channel.and_then(|channel| deployment.database.as_ref()?.listen(channel));
        let mut watched = paths.clone();
        watched.extend(journal.is_some().then(|| journal::NAME.to_owned()));
        watched.extend(deployment.database.as_ref().map(|database| database.describe()));
        let mut watch = Self {
            ctx,
            incident,
            from_level: args.min_level.unwrap_or(policy.alert_from),
            auto_pause: args.auto_pause.or(policy.auto_pause),
            redactor: Redactor::new(&pairs),
            seen: Seen::default(),
            stretch: Stretch::at(now),
            summary: WatchSummary { from: Some(now), ..WatchSummary::default() },
            numbers: Arc::default(),
            untold: Vec::new(),
            unwritten: Vec::new(),
            drop_gate: None,
            guard: None,
            correlated: Correlated::begin(&home, &sought.rules),
            rules: sought.rules,
            dead: guarded::dead_values(&deployment)?,
            follower: Follower::new(&paths, args.from_start),
            journal,
            trading: Trading::new(trade_policies, now, &policy, told),
            until,
            watched,
            memory,
            last: BTreeMap::new(),
            gaps_now: BTreeMap::new(),
            deployment,
        };
        watch.remember();
        // From here on nothing that is written is missed.
        watch.logs();
        if channel.is_some() && !watch.trading.is_told() {
            watch.missed("trades_channel of monitoring.yml: this database tells nothing by itself".into());
        }
        for rule in sought.skipped {
            watch.missed(format!("rule not run: {} ({})", rule.rule, rule.reason));
        }
        for refused in sought.refused {
            watch.missed(format!("indicator refused: {}: {}", refused.rule, refused.reason));
        }
        for error in errors {
            watch.missed(format!("trade policy not run: {error}"));
        }
        Ok(watch)
    }

    pub(super) fn numbers(&self) -> Arc<Numbers> {
        Arc::clone(&self.numbers)
    }

    /// What an earlier watch left: its unwritten stretch goes into the ledger first.
    fn remember(&mut self) {
        let Some(memory) = Memory::load(&self.memory) else { return };
        self.seen = Seen::new(memory.seen);
        self.trading.go_on(memory.trades_since);
        self.guard = memory.guard;
        if let Some(incident) = &memory.incident
            && memory.stretch.to > memory.stretch.from
            && let Err(reason) = account::covered(&self.deployment, incident, &memory.stretch)
        {
            self.missed(format!("the stretch until {} could not be written: {reason}", memory.stretch.to));
        }
        if let (Some(journal), Some(mark)) = (&mut self.journal, memory.journal) {
            journal.go_on(mark);
        }
        let (pieces, gaps) = self.follower.go_on(memory.marks);
        self.take(&pieces, gaps);
    }

    /// Says what is watched, on the screen and in the ledger.
    pub(super) fn announce(&mut self) {
        let what = self.watched.join(", ");
        let pause = self
            .auto_pause
            .map_or("no alert drops the gate".to_owned(), |level| format!("{level} alerts drop the gate"));
        self.ctx.printer.note(format!("watching {}; alerts from {}; {pause}", clean(&what), self.from_level));
        let Some(incident) = &self.incident else {
            self.ctx.printer.note("no incident: nothing is written into a ledger");
            return;
        };
        let (watched, operator) = (self.watched.clone(), &self.ctx.settings.operator);
        if let Err(reason) =
            account::started(&self.deployment, incident, self.until, self.auto_pause, watched, operator)
        {
            self.missed(format!("the beginning could not be written: {reason}"));
        }
    }

    /// Notes what was not watched.
    #[expect(clippy::needless_pass_by_value, reason = "made for this call")]
    pub(super) fn missed(&mut self, words: String) {
        self.ctx.printer.warn(clean(&format!("not watched: {words}")));
        self.numbers.gaps.fetch_add(1, Ordering::Relaxed);
        for gaps in [&mut self.stretch.gaps, &mut self.summary.gaps] {
            if gaps.len() < 100 {
                gaps.push(words.clone());
            }
        }
    }

    /// A look that fails again and again is named once, until it works again.
    pub(super) fn failing(&mut self, what: &'static str, words: Option<String>) {
        match words {
            None => drop(self.gaps_now.remove(what)),
            Some(words) if self.gaps_now.get(what) != Some(&words) => {
                self.gaps_now.insert(what, words.clone());
                self.missed(format!("{what}: {words}"));
            }
            Some(_) => {}
        }
        let problem = self.gaps_now.iter().map(|(what, words)| format!("{what}: {words}")).next();
        *self.numbers.problem.write().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Whether so many seconds are over since the last time.
    pub(super) fn due(&mut self, what: &'static str, seconds: u64) -> bool {
        let (now, span) = (Instant::now(), Duration::from_secs(seconds));
        let due = self.last.get(what).is_none_or(|last| now.duration_since(*last) >= span);
        if due {
            self.last.insert(what, now);
        }
        due
    }

    /// One look at everything whose time has come.
    pub(super) async fn look(&mut self) {
        let policy = self.deployment.policies.monitoring.clone();
        self.logs();
        self.act().await;
        self.trades().await;
        if self.due("guard", policy.guard_every_s.max(1)) {
            self.guard().await;
        }
        if self.due("database", policy.database_every_s.max(1)) {
            self.catalog().await;
        }
        self.act().await;
        let now = self.deployment.clock.now();
        self.stretch.to = now.max(self.stretch.to);
        self.numbers.looked.store(now.as_second(), Ordering::Relaxed);
        self.numbers.files.store(self.follower.files() as u64, Ordering::Relaxed);
        if self.due("kept", 1) {
            self.keep().await;
            self.save();
        }
        if self.last.contains_key("account") {
            if self.due("account", ACCOUNT_S) {
                self.account();
            }
        } else {
            self.last.insert("account", Instant::now());
        }
    }

    fn logs(&mut self) {
        let (mut pieces, gaps) = self.follower.poll();
        if let Some(journal) = &mut self.journal {
            match journal.poll() {
                // It works again once something was read.
                Ok(Some(piece)) => {
                    pieces.push(piece);
                    self.failing(journal::NAME, None);
                }
                Ok(None) => {}
                Err(reason) => self.failing(journal::NAME, Some(reason)),
            }
        }
        self.take(&pieces, gaps);
    }

    fn take(&mut self, pieces: &[Piece], gaps: Vec<String>) {
        for piece in pieces {
            self.piece(piece);
        }
        let (found, notes) = self.correlated.evaluate(&self.rules);
        for note in notes {
            self.missed(note);
        }
        self.found(found);
        for gap in gaps {
            self.missed(gap);
        }
    }

    /// Runs the rules over what was added to a log.
    fn piece(&mut self, piece: &Piece) {
        let options = ScanOptions {
            since: None,
            until: None,
            min_level: self.from_level,
            written: self.deployment.clock.now(),
            prefilter: true,
            format: piece.journal.then_some(Wanted::Named(Format::Journal)),
            sources: self.rules.sources_of(&piece.path),
        };
        let (mut found, mut events) = (Vec::new(), Vec::new());
        let reader = Cursor::new(&piece.bytes);
        let (sink, feed) = (&mut |one| found.push(one), &mut |one| events.push(one));
        let coverage = scan_feeding(&self.rules, &piece.path, reader, &options, sink, feed);
        self.stretch.events += coverage.events;
        self.summary.events += coverage.events;
        self.numbers.events.fetch_add(coverage.events, Ordering::Relaxed);
        if let Some(reason) = coverage.unreadable {
            self.missed(format!("{}: {reason}", piece.path));
        }
        scan_secrets(&self.dead, &piece.path, Cursor::new(&piece.bytes), &mut |mut finding| {
            let Some(credential) = finding.rule.id.strip_prefix("secret.value.").map(ToOwned::to_owned) else { return };
            finding.rule = RuleRef {
                id: format!("watch.dead.{credential}"),
                title: format!("The dead value of {credential} was seen again"),
                level: Level::Critical,
            };
            if let Source::File { record, line, .. } = &mut finding.source {
                let line = line.unwrap_or(1);
                *record = if piece.journal { entry_of_line(&piece.bytes, line) } else { line.saturating_sub(1) };
            }
            found.push(finding);
        });
        for finding in &mut found {
            within_file(&mut finding.source, piece);
            if finding.rule.id.starts_with("indicator:") {
                // Where in the file it stands is not known: pieces begin anywhere.
                finding.matched.remove("at");
            }
            finding.id = match finding.kind {
                FindingKind::Log => log_finding_id(&finding.rule.id, &finding.matched, &finding.source),
                kind => finding_id(kind, &finding.rule.id, &finding.source),
            };
        }
        self.found(found);
        let mut unkept = None;
        for mut one in events {
            within_file(&mut one.source, piece);
            unkept = self.correlated.add(one).err().or(unkept);
        }
        self.failing("events of correlations", unkept.map(|error| error.to_string()));
    }

    /// Looks whether somebody else touched the guard.
    async fn guard(&mut self) {
        let Some(guard) = self.deployment.guard.clone() else { return };
        let report = match tokio::time::timeout(PATIENCE, guard.inspect()).await {
            Ok(Ok(report)) => report,
            Ok(Err(fault)) => return self.failing("guard", Some(fault.chain())),
            Err(_) => return self.failing("guard", Some(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        self.failing("guard", None);
        self.numbers.guard.store(u64::from(report.paused), Ordering::Relaxed);
        let mut ways: Vec<String> = report.bypass.iter().map(|one| format!("{}: {}", one.who, one.how)).collect();
        ways.sort();
        let state = if report.installed { "in place" } else { "NOT in place" };
        let flag = if report.paused { "paused" } else { "not paused" };
        let now = format!("{state}; {flag}; {} could get past it: {}", ways.len(), ways.join(" | "));
        if let Some(before) = self.guard.replace(now.clone()).filter(|before| *before != now) {
            let worse = !report.installed || (before.contains("; paused;") && !report.paused);
            let level = if worse { Level::Critical } else { Level::High };
            let finding = guarded::changed(&before, &now, level, self.deployment.clock.now());
            self.found(vec![finding]);
        }
    }

    /// Looks for persistence that was not there before.
    async fn catalog(&mut self) {
        let Some(database) = self.deployment.database.clone() else { return };
        let policy = match DatabasePolicy::from_texts(&self.deployment.policies.texts) {
            Ok(policy) => policy,
            Err(error) => return self.failing("catalog", Some(error.to_string())),
        };
        match tokio::time::timeout(PATIENCE, scan_database::run(database.as_ref(), &policy)).await {
            Ok(Ok(result)) => {
                self.failing("catalog", None);
                self.found(result.findings);
            }
            Ok(Err(fault)) => self.failing("catalog", Some(fault.chain())),
            Err(_) => self.failing("catalog", Some(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    fn save(&mut self) {
        let memory = Memory {
            version: 1,
            incident: self.incident.clone(),
            marks: self.follower.marks(),
            journal: self.journal.as_ref().map(|journal| journal.mark().clone()),
            seen: self.seen.all(),
            trades_since: self.trading.since(),
            guard: self.guard.clone(),
            stretch: self.stretch.clone(),
        };
        let saved = memory.save(&self.memory).err();
        self.failing("memory", saved.map(|error| format!("{}: {error}", self.memory.display())));
    }

    /// Writes the stretch into the ledger, and begins another.
    fn account(&mut self) {
        let Some(incident) = &self.incident else {
            self.stretch = Stretch::at(self.stretch.to);
            return;
        };
        match account::covered(&self.deployment, incident, &self.stretch) {
            Ok(()) => self.stretch = Stretch::at(self.stretch.to),
            Err(reason) => tracing::info!(%reason, "the case is not to be had now; the stretch goes on"),
        }
    }

    /// Writes what is left, and says how it was.
    pub(super) async fn finish(mut self) -> WatchSummary {
        if tokio::time::timeout(LAST_LOOK, self.last_trades()).await.is_err() {
            self.missed("the trades of the last seconds".into());
        }
        self.last.remove("told");
        // Somebody else may hold the case for a moment.
        for _ in 0..20 {
            self.keep().await;
            self.account();
            if self.unwritten.is_empty() && self.stretch.from == self.stretch.to {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        if self.incident.is_some() && !self.unwritten.is_empty() {
            let waiting = self.unwritten.len();
            self.missed(format!("{waiting} alerts are not in the case: it was not to be had"));
        }
        self.save();
        self.summary.to = Some(self.stretch.to);
        self.summary.files = self.follower.files();
        self.summary
    }
}
