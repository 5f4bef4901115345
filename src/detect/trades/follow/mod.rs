//! Checks over several rows: they take records in the order of time and keep only what their windows need.

mod baseline;
mod burst;
mod holdings;
mod numbers;
mod pairs;
mod prices;
mod sums;
mod written;

use std::collections::VecDeque;
use std::sync::Arc;

use self::baseline::Baseline;
use self::burst::Burst;
use self::pairs::{Duplicates, RoundTrips, Wash};
use self::sums::{DayValues, Positions};
use self::written::Written;
use super::hit::{Hit, Hits, rows};
use super::names::MANY;
use super::plan::Plan;
use super::policy::{Check, Pattern, Sequence};
use super::record::{NO_TIME, Record};
use super::reference::Reference;

pub use self::pairs::Doubt;
pub use self::sums::Beyond;

/// Maps whose keys are numbers of our own.
type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
type Set<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;

/// What a check says of a record.
enum Said {
    Nothing,
    /// The record itself.
    This(String),
    /// These ids and times, with the reason.
    These(Vec<(i64, i64)>, String),
    /// It can't be judged.
    Unusable(&'static str),
}

/// A check with what it remembers.
enum Memory {
    Burst(Burst),
    DayValues(DayValues),
    Positions(Positions),
    Wash(Wash),
    RoundTrips(RoundTrips),
    Duplicates(Duplicates),
    Baseline(Box<Baseline>),
    Written(Written),
}

impl Memory {
    /// What a record costs, roughly, in parts of the cheapest.
    fn cost(&self) -> u32 {
        match self {
            Self::Baseline(_) => 4,
            Self::Burst(_) => 3,
            Self::Positions(_) | Self::DayValues(_) => 2,
            Self::Wash(_) | Self::RoundTrips(_) | Self::Duplicates(_) | Self::Written(_) => 1,
        }
    }
}

impl Memory {
    /// Reads what these records will ask for. What each needs lies anywhere in memory, but no read depends on another, so the processor waits
    /// for many at once and not for one after the other.
    fn warm(&self, records: &[Record]) {
        let touch = |record: &Record| match self {
            Self::Burst(memory) => memory.touch(record),
            Self::DayValues(memory) => memory.touch(record),
            Self::Positions(memory) => memory.touch(record),
            Self::Baseline(memory) => memory.touch(record),
            // What they remember is little.
            Self::Wash(_) | Self::RoundTrips(_) | Self::Duplicates(_) | Self::Written(_) => 0,
        };
        // Without a use the reads would be left out.
        std::hint::black_box(records.iter().fold(0, |sum, record| sum ^ touch(record)));
    }
}

struct Checked {
    policy: u16,
    memory: Memory,
    /// Only the last so many milliseconds are reported.
    recent: Option<i64>,
    waiting: VecDeque<Hit>,
    unusable: std::collections::BTreeMap<&'static str, u64>,
}

impl Checked {
    fn record(&mut self, record: &Record, report: bool, hits: &mut Hits) {
        if record.time == NO_TIME {
            *self.unusable.entry("the row's time can't be read").or_default() += 1;
            return;
        }
        let said = match &mut self.memory {
            Memory::Burst(memory) => memory.record(record),
            Memory::DayValues(memory) => memory.record(record),
            Memory::Positions(memory) => memory.record(record, report),
            Memory::Wash(memory) => memory.record(record, report),
            Memory::RoundTrips(memory) => memory.record(record),
            Memory::Duplicates(memory) => memory.record(record, report),
            Memory::Baseline(memory) => memory.record(record, report),
            Memory::Written(memory) => memory.record(record, report),
        };
        let policy = self.policy;
        let found = match said {
            Said::Nothing => return,
            Said::Unusable(why) => {
                *self.unusable.entry(why).or_default() += 1;
                return;
            }
            Said::This(why) => vec![Hit { policy, id: record.id, time: record.time, why }],
            Said::These(rows, why) => {
                rows.into_iter().map(|(id, time)| Hit { policy, id, time, why: why.clone() }).collect()
            }
        };
        if !report {
            return;
        }
        match self.recent {
            None => found.into_iter().for_each(|hit| hits.push(hit)),
            Some(recent) => {
                self.waiting.extend(found);
                while self.waiting.front().is_some_and(|hit| record.time.saturating_sub(hit.time) > recent) {
                    self.waiting.pop_front();
                }
            }
        }
    }
}

/// Records that are best taken at once: they and what they need fit into a core's own memory.
pub const BATCH: usize = 128;

/// Takes records in the order of time.
pub struct Follower {
    checks: Vec<Checked>,
    since: Option<i64>,
    until: Option<i64>,
    last: i64,
    hits: Hits,
}

/// What following gave.
pub struct Followed {
    /// Hits.
    pub hits: Hits,
    /// Duplicates that the order may excuse.
    pub doubts: Vec<Doubt>,
    /// Positions over the limit that orders without their trades may explain.
    pub beyond: Vec<Beyond>,
    /// What could not be judged: policy and reason.
    pub uncovered: Vec<(u16, String)>,
}

impl Follower {
    /// For a plan's policies over several rows; `rows` is the number of records that will come.
    pub fn new(
        plan: &Arc<Plan>,
        reference: &Arc<Reference>,
        rows: u64,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Self {
        let mut checks = Vec::new();
        for (policy, one) in (0_u16..).zip(&plan.policies) {
            let memory = match &one.check {
                Check::Window { pattern, by, within_s, trades, times_usual, usual_hours, together_s, limit } => {
                    let within = within_s.saturating_mul(1000);
                    match pattern {
                        Pattern::Burst => Memory::Burst(Burst::new(*by, within, *trades, *times_usual)),
                        Pattern::DayValue => {
                            Memory::DayValues(DayValues::new(reference, limit.as_ref(), plan.both_sides()))
                        }
                        Pattern::Position => {
                            Memory::Positions(Positions::new(policy, reference, limit.as_ref(), plan.both_sides()))
                        }
                        Pattern::Wash => {
                            let together = together_s.saturating_mul(1000);
                            Memory::Wash(Wash::new(within, *trades, *usual_hours, together, reference))
                        }
                        Pattern::RoundTrip => Memory::RoundTrips(RoundTrips::new(within, *trades)),
                        Pattern::Duplicate => Memory::Duplicates(Duplicates::new(policy, within)),
                    }
                }
                Check::Baseline { of, after, neighbours, percent, deviations, days, one_in } => {
                    let thresholds = baseline::Thresholds {
                        after: *after,
                        neighbours: *neighbours,
                        percent: percent.as_ref().map(|amount| &amount.exact),
                        deviations: deviations.as_ref().map(|amount| &amount.exact),
                        days: days.unwrap_or(0),
                        one_in: *one_in,
                        whole: plan.whole_values,
                    };
                    Memory::Baseline(Box::new(Baseline::new(*of, &thresholds)))
                }
                Check::Sequence { of: Sequence::CreatedAt, tolerance_s, .. } if plan.whole_ids => {
                    Memory::Written(Written::of_ids(rows, tolerance_s.saturating_mul(1000)))
                }
                Check::Sequence { of: Sequence::Xmin, tolerance_s, .. } => {
                    Memory::Written(Written::of_transactions(rows, tolerance_s.saturating_mul(1000)))
                }
                _ => continue,
            };
            let window = since.is_some() || until.is_some();
            let recent = one.recent_days.filter(|_| !window).map(|days| i64::from(days) * 86_400_000);
            checks.push(Checked {
                policy,
                memory,
                recent,
                waiting: VecDeque::new(),
                unusable: std::collections::BTreeMap::new(),
            });
        }
        Self { checks, since, until, last: i64::MIN, hits: Hits::default() }
    }

    /// Two of them, each with about half of the work; together they find what this one would.
    pub fn halves(self) -> [Self; 2] {
        let Self { mut checks, since, until, last, .. } = self;
        checks.sort_by_key(|check| std::cmp::Reverse(check.memory.cost()));
        let mut halves = [(); 2].map(|()| (0, Vec::new()));
        for check in checks {
            let lighter = usize::from(halves[1].0 < halves[0].0);
            halves[lighter].0 += check.memory.cost();
            halves[lighter].1.push(check);
        }
        halves.map(|(_, checks)| Self { checks, since, until, last, hits: Hits::default() })
    }

    /// Whether there is anything to follow.
    pub fn is_idle(&self) -> bool {
        self.checks.is_empty()
    }

    /// Takes the next records, in the order of [`Record::time`]; best [`BATCH`] at once.
    pub fn records(&mut self, records: &[Record]) {
        let Self { checks, since, until, last, hits } = self;
        let reports = |record: &Record| {
            record.time != NO_TIME
                && since.is_none_or(|since| record.time >= since)
                && until.is_none_or(|until| record.time < until)
        };
        *last = records.iter().map(|record| record.time).fold(*last, i64::max);
        for check in checks {
            check.memory.warm(records);
            for record in records {
                check.record(record, reports(record), hits);
            }
        }
    }

    /// What was found, once all records were taken.
    pub fn finish(self) -> Followed {
        let mut done = Followed { hits: self.hits, doubts: Vec::new(), beyond: Vec::new(), uncovered: Vec::new() };
        for check in self.checks {
            let policy = check.policy;
            let from = check.recent.map_or(i64::MIN, |recent| self.last.saturating_sub(recent));
            for hit in check.waiting.into_iter().filter(|hit| hit.time >= from) {
                done.hits.push(hit);
            }
            for (why, count) in check.unusable {
                done.uncovered.push((policy, rows(count, why)));
            }
            match check.memory {
                Memory::Burst(burst) => burst.finish(policy, &mut done.hits),
                Memory::Wash(wash) => {
                    done.hits.miss(policy, wash.overflow);
                    wash.finish(policy).filter(|hit| hit.time >= from).for_each(|hit| done.hits.push(hit));
                }
                Memory::Duplicates(duplicates) => done.doubts.extend(duplicates.finish()),
                Memory::Positions(positions) => {
                    done.hits.miss(policy, positions.overflow);
                    done.beyond.extend(positions.finish().filter(|beyond| beyond.hit.time >= from));
                }
                Memory::Written(written) => match written.finish(policy) {
                    Ok(hits) => hits.into_iter().for_each(|hit| done.hits.push(hit)),
                    Err(why) => done.uncovered.push((policy, why)),
                },
                Memory::Baseline(mut baseline) => {
                    done.uncovered.extend(baseline.overflow().map(|why| (policy, why)));
                    let (found, overflow) = baseline.finish();
                    done.hits.miss(policy, overflow);
                    let hits = found.into_iter().map(|(id, time, why)| Hit { policy, id, time, why });
                    hits.filter(|hit| hit.time >= from).for_each(|hit| done.hits.push(hit));
                }
                _ => {}
            }
        }
        done
    }
}

/// Two names as one key.
fn pair(one: u32, two: u32) -> u64 {
    u64::from(one) << 32 | u64::from(two)
}

/// Whether a name can tell rows apart.
fn named(name: u32) -> bool {
    name != super::names::NONE && name != MANY
}
