use std::collections::VecDeque;

use super::super::hit::{Hit, Hits};
use super::super::policy::By;
use super::super::record::Record;
use super::{Map, Said, named};

/// Windows with trades that must be known before what is usual excuses anything.
const KNOWN_WINDOWS: u32 = 10;
/// Days with such a window after which it is this one's way of trading.
const KNOWN_DAYS: u32 = 10;
const DAY: i64 = 86_400_000;
/// Most trades that wait for what is usual.
const WAITING: usize = 200_000;

/// More trades within a sliding window than are normal.
pub(super) struct Burst {
    by: By,
    within: i64,
    trades: usize,
    times_usual: u32,
    keys: Map<u32, Whose>,
    /// Days with their most trades, of each account over all of its keys.
    accounts: Map<u32, [u32; 20]>,
    waiting: Vec<(u32, usize, i64, i64)>,
    overflow: u64,
}

#[derive(Default)]
struct Whose {
    times: VecDeque<i64>,
    /// Start of the current fixed window and its trades.
    fixed: (i64, u32),
    /// Fixed windows with trades, by the power of two of their number.
    usual: [u32; 20],
    /// The day, and the most trades of one of its fixed windows.
    day: (i64, u32),
    /// Days by the power of two of that.
    days: [u32; 20],
    /// The account of its first trade: keys change, and their account trades on.
    account: u32,
}

/// Whether many days have such a window: a fixed one holds at least half of a sliding one.
fn is_wont(days: &[u32; 20], count: usize) -> bool {
    let from = power(u32::try_from(count).unwrap_or(u32::MAX)).saturating_sub(1);
    days[from..].iter().sum::<u32>() >= KNOWN_DAYS
}

fn power(trades: u32) -> usize {
    usize::try_from(trades.max(1).ilog2()).unwrap_or(0).min(19)
}

impl Whose {
    fn close(&mut self) {
        let (start, trades) = self.fixed;
        if trades == 0 {
            return;
        }
        let power = power(trades);
        self.usual[power] = self.usual[power].saturating_add(1);
        let day = start.div_euclid(DAY);
        if day != self.day.0 {
            self.close_day();
            self.day = (day, 0);
        }
        self.day.1 = self.day.1.max(trades);
    }

    fn close_day(&mut self) {
        if self.day.1 > 0 {
            let power = power(self.day.1);
            self.days[power] = self.days[power].saturating_add(1);
        }
    }

    /// Trades of a usual window, rounded down to a power of two; `None` where too few are known.
    fn usual(&self) -> Option<u32> {
        let all: u32 = self.usual.iter().sum();
        let mut below = 0;
        let at = self.usual.iter().position(|count| {
            below += count;
            below * 2 > all
        })?;
        (all >= KNOWN_WINDOWS).then(|| 1 << at)
    }
}

impl Burst {
    pub(super) fn new(by: By, within: i64, trades: usize, times_usual: u32) -> Self {
        Self {
            by,
            within: within.max(1),
            trades: trades.max(1),
            times_usual,
            keys: Map::default(),
            accounts: Map::default(),
            waiting: Vec::new(),
            overflow: 0,
        }
    }

    fn whose(&self, record: &Record) -> u32 {
        if self.by == By::Key { record.key } else { record.account }
    }

    /// See [`super::Memory::warm`].
    pub(super) fn touch(&self, record: &Record) -> u64 {
        let first = self.keys.get(&self.whose(record)).and_then(|known| known.times.front());
        first.map_or(0, |first| first.cast_unsigned())
    }

    pub(super) fn record(&mut self, record: &Record) -> Said {
        let whose = self.whose(record);
        if !named(whose) {
            return Said::Nothing;
        }
        let first = || Whose { account: record.account, ..Whose::default() };
        let state = self.keys.entry(whose).or_insert_with(first);
        if self.times_usual > 0 {
            let (start, _) = state.fixed;
            if record.time < start || record.time.saturating_sub(start) >= self.within {
                state.close();
                state.fixed = (record.time - record.time.rem_euclid(self.within), 0);
            }
            state.fixed.1 += 1;
        }
        state.times.push_back(record.time);
        while state.times.front().is_some_and(|first| record.time.saturating_sub(*first) >= self.within) {
            state.times.pop_front();
        }
        let most = if self.times_usual > 0 { self.trades.saturating_mul(64) } else { self.trades + 1 };
        while state.times.len() > most {
            state.times.pop_front();
        }
        let count = state.times.len();
        if count <= self.trades {
            return Said::Nothing;
        }
        if self.times_usual == 0 {
            return Said::This(self.words(None));
        }
        if self.waiting.len() < WAITING {
            self.waiting.push((whose, count, record.id, record.time));
        } else {
            self.drop_usual();
        }
        Said::Nothing
    }

    /// Makes room: whoever is excused by what is known already is.
    fn drop_usual(&mut self) {
        let (keys, times) = (&self.keys, self.times_usual);
        self.waiting.retain(|(whose, count, ..)| exceeds(keys, *whose, *count, times));
        if self.waiting.len() >= WAITING {
            self.overflow += 1;
        }
    }

    fn words(&self, usual: Option<u32>) -> String {
        let whose = if self.by == By::Key { "key" } else { "account" };
        let usual = usual.map_or(String::new(), |usual| format!("; it usually makes about {usual}"));
        format!("more than {} trades of this {whose} within {} s{usual}", self.trades, self.within / 1000)
    }

    pub(super) fn finish(mut self, policy: u16, hits: &mut Hits) {
        for whose in self.keys.values_mut() {
            whose.close();
            whose.close_day();
            if named(whose.account) {
                let days = self.accounts.entry(whose.account).or_default();
                days.iter_mut().zip(whose.days).for_each(|(all, own)| *all = all.saturating_add(own));
            }
        }
        for (whose, count, id, time) in &self.waiting {
            let days = self.keys.get(whose).map(|state| self.accounts.get(&state.account).unwrap_or(&state.days));
            if days.is_some_and(|days| is_wont(days, *count)) {
                continue;
            }
            if exceeds(&self.keys, *whose, *count, self.times_usual) {
                let why = self.words(self.keys.get(whose).and_then(Whose::usual));
                hits.push(Hit { policy, id: *id, time: *time, why });
            }
        }
        hits.miss(policy, self.overflow);
    }
}

fn exceeds(keys: &Map<u32, Whose>, whose: u32, count: usize, times: u32) -> bool {
    let usual = keys.get(&whose).and_then(Whose::usual);
    usual.is_none_or(|usual| count > usize::try_from(usual.saturating_mul(times)).unwrap_or(usize::MAX))
}
