//! Policies as SQL, one statement each, for a history of trades that lies on another engine: the same plan, the same thresholds.
//!
//! A statement gives `policy`, `id` (the row's, or `first..last` of missing ones) and `time` (milliseconds since 1970, UTC). What needs the
//! memory of [`super::Follower`] or what no export holds is not written, and named.

mod base;
mod dialect;
mod lookup;
mod orders;
mod several;
#[cfg(test)]
mod tests;

use self::base::Base;
pub use self::dialect::Dialect;
use super::changes::{self, USUAL as USUAL_ROWS, asks_for_changes};
use super::expression::{Expression, Later};
use super::ids::{ROLLED_BACK, USUAL};
use super::plan::{Plan, Uncovered};
use super::policy::{Check, Problem, Sequence, TradePolicy};
use super::reference::Reference;
use super::roles::{Role, SchemaMapping};
use super::together::asks_for_lateness;

/// A policy as a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Policy id.
    pub policy: String,
    /// One query, without a semicolon.
    pub sql: String,
}

/// The window of time that is asked for, in milliseconds.
pub type Window = (Option<i64>, Option<i64>);

/// Statements for the policies of a plan; those that can't be written, with the reason.
pub fn statements(
    plan: &Plan,
    mapping: &SchemaMapping,
    reference: &Reference,
    dialect: Dialect,
    window: Window,
) -> (Vec<Statement>, Vec<Uncovered>) {
    let (mut statements, mut uncovered) = (Vec::new(), Vec::new());
    for policy in &plan.policies {
        let base = Base::new(dialect, plan, mapping, reference);
        match base.statement(policy, window) {
            Ok(sql) => statements.push(Statement { policy: policy.id.clone(), sql }),
            Err(why) => uncovered.push(Uncovered {
                policy: policy.id.clone(),
                reason: format!("not written as SQL: {why}"),
                optional: policy.optional,
            }),
        }
    }
    (statements, uncovered)
}

/// Why a policy has no statement.
type Unwritten = &'static str;

/// Rows of the window; those without a time are judged in every one.
fn within(window: Window) -> Vec<String> {
    let since = window.0.map(|since| format!("(time >= {since} OR time IS NULL)"));
    let until = window.1.map(|until| format!("(time < {until} OR time IS NULL)"));
    since.into_iter().chain(until).collect()
}

impl Base<'_> {
    fn statement(mut self, policy: &TradePolicy, window: Window) -> Result<String, Unwritten> {
        // What follows several rows in time; the others also report what has no time.
        let several = matches!(policy.check, Check::Window { .. } | Check::Baseline { .. });
        self.only_live = several || matches!(policy.check, Check::Lookup { problem: Problem::OverLimit, .. });
        self.within = within(window);
        let hits = match &policy.check {
            Check::Row { when: Expression::Later(later) } if asks_for_changes(&policy.check) => {
                self.changes(later, &within(window).join(" AND "))
            }
            Check::Row { .. } if asks_for_lateness(&policy.check) => {
                return Err("it leaves out rows that were written together");
            }
            Check::Row { when } => {
                let mut condition = self.condition(when);
                for role in policy.unless_present.iter().filter(|role| self.mapping.trades.column(**role).is_some()) {
                    condition = format!("({condition}) AND {} IS NULL", self.text(*role));
                }
                self.unusual(&condition, policy.usual_percent, &within(window).join(" AND "))
            }
            Check::Lookup { .. } => self.lookup(&policy.check)?,
            Check::Window { .. } => self.window(&policy.check)?,
            Check::Baseline { .. } => self.baseline(&policy.check)?,
            Check::Sequence { of: Sequence::Ids, ignore_up_to, .. } => self.gaps(*ignore_up_to),
            Check::Sequence { of: Sequence::References, .. } => {
                return Err("it leaves out what is usual among all trades");
            }
            Check::Sequence { .. } => {
                return Err("it follows the order in which rows were written, which an export does not hold");
            }
            Check::Reconcile { .. } => self.orders(&policy.check)?,
        };
        let mut conditions = Vec::new();
        match window {
            (None, None) => {
                if let (Some(days), true) = (policy.recent_days, several) {
                    let recent = i64::from(days) * 86_400_000;
                    conditions.push(format!("time >= (SELECT max(time) FROM t) - {recent}"));
                }
            }
            (since, until) => {
                let open = if several { "" } else { " OR time IS NULL" };
                conditions.extend(since.map(|since| format!("(time >= {since}{open})")));
                conditions.extend(until.map(|until| format!("(time < {until}{open})")));
            }
        }
        let condition =
            if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let mut parts = vec![format!("t AS ({})", self.rows())];
        parts.extend(self.parts.iter().map(|(name, sql)| format!("{name} AS ({sql})")));
        parts.push(format!("hits AS ({hits})"));
        let mut of = "hits";
        if let (Check::Lookup { .. }, Some(percent)) = (&policy.check, policy.usual_percent) {
            let within = self.within.join(" AND ");
            let within = if within.is_empty() { within } else { format!(" WHERE {within}") };
            parts.push(format!("a AS (SELECT count(*) AS all_of FROM t{within})"));
            parts.push(format!("l AS (SELECT count(*) AS found FROM hits{within})"));
            parts.push(format!("few AS (SELECT id, time FROM hits CROSS JOIN a CROSS JOIN l WHERE NOT (found >= {USUAL_ROWS} AND found * 100 > all_of * {percent}))"));
            of = "few";
        }
        let name = self.dialect.text_literal(&policy.id);
        Ok(format!("WITH {} SELECT DISTINCT {name} AS policy, id, time FROM {of}{condition}", parts.join(", ")))
    }

    /// Rows for which a condition holds, unless as many are so as the policy calls usual.
    fn unusual(&mut self, condition: &str, percent: Option<u32>, within: &str) -> String {
        let plain = format!("SELECT id, time FROM t WHERE {condition}");
        let Some(percent) = percent else { return plain };
        let within = if within.is_empty() { String::new() } else { format!(" WHERE {within}") };
        self.parts.push(("a", format!("SELECT count(*) AS all_of FROM t{within}")));
        let and = if within.is_empty() { " WHERE " } else { " AND " };
        self.parts.push(("l", format!("SELECT count(*) AS found FROM t{within}{and}({condition})")));
        format!(
            "SELECT id, time FROM t CROSS JOIN a CROSS JOIN l WHERE ({condition}) AND NOT (found >= {USUAL_ROWS} AND found * 100 > all_of * {percent})"
        )
    }

    /// Late changes; where they are the rule, only those that are late among them.
    fn changes(&mut self, later: &Later, within: &str) -> String {
        let (created, updated) = (self.millis(Role::CreatedAt), self.millis(Role::UpdatedAt));
        let (tolerance, hour, day) = (later.tolerance_s.saturating_mul(1000), changes::HOUR, changes::DAY);
        let hours = self.dialect.divide(&format!("({updated} - {created})"), hour);
        let day = self.dialect.divide(&updated, day);
        let within = if within.is_empty() { String::new() } else { format!(" WHERE {within}") };
        self.parts.push(("a", format!("SELECT count(*) AS all_of FROM t{within}")));
        let and = if within.is_empty() { " WHERE " } else { " AND " };
        self.parts.push(("l", format!("SELECT id, time, {hours} AS hours, {day} AS of_day FROM t{within}{and}{updated} - {created} > {tolerance}")));
        self.parts.push(("b", "SELECT count(*) AS late, count(DISTINCT of_day) AS days FROM l".into()));
        self.parts.push(("y", "SELECT max(n) AS busiest FROM (SELECT count(*) AS n FROM l GROUP BY of_day) x".into()));
        self.parts.push(("u", "SELECT min(hours) AS usual FROM (SELECT hours, row_number() OVER (ORDER BY hours) AS nth FROM l) x CROSS JOIN b WHERE nth * 100 >= late * 98".into()));
        let rule = format!(
            "late >= {} AND late * 20 > all_of AND days >= {} AND busiest * 2 <= late",
            changes::AT_LEAST,
            changes::DAYS
        );
        format!(
            "SELECT id, time FROM l CROSS JOIN a CROSS JOIN b CROSS JOIN y CROSS JOIN u WHERE NOT ({rule}) OR hours * 2 > usual * 3"
        )
    }

    fn gaps(&mut self, ignore: i64) -> String {
        let text = self.dialect.text_type();
        self.parts.push(("g", "SELECT place, lead(place) OVER (ORDER BY place) AS next FROM t".into()));
        self.parts.push((
            "d",
            format!("SELECT place, next, next - place - 1 AS missing, count(*) OVER (PARTITION BY next - place - 1) AS alike FROM g WHERE next - place - 1 > {}", ignore.max(0)),
        ));
        let (most, usual) = (ROLLED_BACK, USUAL);
        format!(
            "SELECT concat(CAST(place + 1 AS {text}), '..', CAST(next - 1 AS {text})) AS id, CAST(NULL AS BIGINT) AS time FROM d WHERE missing > {most} OR alike < {usual}"
        )
    }
}
