use bigdecimal::{BigDecimal, ToPrimitive};

use super::super::decimal::fixed_text;
use super::super::policy::Measure;
use super::super::record::Record;
use super::holdings::Holdings;
use super::numbers::Numbers;
use super::prices::{Jumps, Prices};
use super::{Map, Said, Set, named, pair};

/// Most pairs of account and value that are remembered: about 64 MB.
const PAIRS: usize = 3_000_000;
/// Makes the median absolute deviation comparable with a standard deviation (Rousseeuw and Croux, 1993).
const CONSISTENT: f64 = 1.4826;
/// A deviation is never taken as smaller than this part of the median: accounts that always trade the same size.
const FLOOR: f64 = 0.05;

pub(super) struct Thresholds<'a> {
    pub after: usize,
    pub neighbours: usize,
    pub percent: Option<&'a BigDecimal>,
    pub deviations: Option<&'a BigDecimal>,
    pub days: u32,
    pub one_in: usize,
    pub whole: bool,
}

/// An outlier is larger than every one of its neighbours by this factor.
const BEYOND: f64 = 1.5;
/// From half of the wanted number of trades on, by this one.
const FAR_BEYOND: f64 = 6.0;
/// So many outliers one after the other are a new habit.
const HABIT: usize = 10;

/// A record against what came before it.
pub(super) struct Baseline {
    of: Measure,
    after: usize,
    neighbours: usize,
    percent: Option<f64>,
    /// Values are whole numbers, as cents are.
    whole: bool,
    /// Percent as an exact fraction: `|price - median| * scale > limit * |median|`.
    exact: Option<(i128, i128)>,
    deviations: Option<f64>,
    days: i64,
    one_in: usize,
    numbers: Map<u64, Numbers>,
    prices: Map<u32, Prices>,
    jumps: Jumps,
    accounts: Map<u32, Account>,
    pairs: Set<u64>,
    holdings: Holdings,
    full: bool,
    sorted: Vec<f32>,
}

#[derive(Default)]
struct Account {
    trades: usize,
    /// How many of them had something new.
    news: usize,
    last: i64,
    hours: Option<Box<[u32; 24]>>,
}

fn fraction(percent: &BigDecimal) -> Option<(i128, i128)> {
    let (mantissa, places) = percent.normalized().into_bigint_and_exponent();
    let limit: i128 = mantissa.to_string().parse().ok()?;
    let power = 10_i128.checked_pow(u32::try_from(places.unsigned_abs()).ok()?)?;
    if places >= 0 { Some((power.checked_mul(100)?, limit)) } else { Some((100, limit.checked_mul(power)?)) }
}

impl Baseline {
    pub(super) fn new(of: Measure, thresholds: &Thresholds<'_>) -> Self {
        Self {
            of,
            after: thresholds.after,
            neighbours: thresholds.neighbours.clamp(5, 1000),
            percent: thresholds.percent.and_then(ToPrimitive::to_f64),
            whole: thresholds.whole,
            exact: thresholds.percent.and_then(fraction),
            deviations: thresholds.deviations.and_then(ToPrimitive::to_f64),
            days: i64::from(thresholds.days),
            one_in: thresholds.one_in,
            numbers: Map::default(),
            prices: Map::default(),
            jumps: Jumps::default(),
            accounts: Map::default(),
            pairs: Set::default(),
            holdings: Holdings::default(),
            full: false,
            sorted: Vec::new(),
        }
    }

    /// See [`super::Memory::warm`].
    pub(super) fn touch(&self, record: &Record) -> u64 {
        let number = |whose: u64| {
            let latest = self.numbers.get(&whose).and_then(|known| known.ring.get(known.next));
            latest.map_or(0, |number| u64::from(number.to_bits()))
        };
        let held = || self.holdings.touch(record);
        let account = || self.accounts.get(&record.account).map_or(0, |known| known.last.cast_unsigned());
        let seen = |value: u32| account() ^ u64::from(self.pairs.contains(&pair(record.account, value)));
        match self.of {
            Measure::Value => number(u64::from(record.account)) ^ held(),
            Measure::Quantity => number(pair(record.account, record.instrument)) ^ held(),
            Measure::Instrument => seen(record.instrument),
            Measure::Destination => seen(record.destination),
            Measure::Ip => seen(record.ip),
            Measure::Hour | Measure::Gap | Measure::First => account(),
            // What is remembered of instruments is little.
            Measure::Price | Measure::ValueRatio => 0,
        }
    }

    pub(super) fn record(&mut self, record: &Record, report: bool) -> Said {
        match self.of {
            Measure::Price => self.price(record, report),
            Measure::ValueRatio => {
                let plain =
                    record.quantity.approximate().zip(record.price.approximate()).map(|(one, two)| (one * two).abs());
                match (record.value.approximate(), plain) {
                    // Rounded to a whole number it may stray by its very rounding.
                    (Some(value), _) if self.whole && value.abs() * self.percent.unwrap_or(0.0) < 100.0 => {
                        Said::Nothing
                    }
                    (Some(value), Some(plain)) if plain > 0.0 => self.number(
                        u64::from(record.instrument),
                        (value.abs() / plain, None),
                        "value by quantity and price",
                        false,
                    ),
                    _ => Said::Nothing,
                }
            }
            Measure::Value | Measure::Quantity if !named(record.account) => Said::Nothing,
            Measure::Value => match record.approximate_worth() {
                Some(worth) => {
                    let sells_out = self.holdings.sells_out(record);
                    self.number(u64::from(record.account), (worth, None), "worth", sells_out)
                }
                None => Said::Unusable("what the trade is worth can't be read"),
            },
            Measure::Quantity => match record.quantity.approximate() {
                Some(quantity) => {
                    let sells_out = self.holdings.sells_out(record);
                    let of = (quantity.abs(), record.price.approximate());
                    self.number(pair(record.account, record.instrument), of, "quantity", sells_out)
                }
                None => Said::Unusable("the quantity can't be read"),
            },
            Measure::Instrument => self.first_of(record, record.instrument, "instrument"),
            Measure::Destination => self.first_of(record, record.destination, "destination"),
            Measure::Ip => self.first_of(record, record.ip, "address"),
            Measure::Hour => self.hour(record),
            Measure::Gap => self.gap(record),
            Measure::First => self.first(record),
        }
    }

    /// A number against those before it: above them, or, for ratios, away from them. A quantity comes with its price: after a split there are ten for one,
    /// and ten times the quantity is as much as before.
    fn number(&mut self, whose: u64, (number, price): (f64, Option<f64>), what: &str, sells_out: bool) -> Said {
        if whose == 0 || !number.is_finite() {
            return Said::Nothing;
        }
        let both_ways = self.of == Measure::ValueRatio;
        let known = self.numbers.entry(whose).or_default();
        let same = number * known.cheaper(price);
        let beyond = if known.count >= self.after { BEYOND } else { FAR_BEYOND };
        // The median is computed only for a number that can be far from it: at each row it would cost more than all else.
        let suspect = if both_ways {
            known.count >= self.after && known.strays(number, self.percent)
        } else {
            known.count * 2 >= self.after && same > f64::from(known.most) * beyond
        };
        if suspect && sells_out {
            // Nor does it say what is usual of other trades.
            return Said::Nothing;
        }
        let far = suspect && {
            let (median, deviation) = known.middle(&mut self.sorted);
            let distance = if both_ways { (number - median).abs() } else { same - median };
            let deviation = deviation.max(median.abs() * FLOOR);
            self.percent.is_none_or(|percent| distance * 100.0 > percent * median.abs())
                && self.deviations.is_none_or(|deviations| distance > deviations * CONSISTENT * deviation)
        };
        let said = if far {
            Said::This(format!(
                "its {what} is {number}, the median of the {} before is {}",
                known.ring.len(),
                known.median
            ))
        } else {
            Said::Nothing
        };
        known.held = if far && known.held < HABIT { known.held + 1 } else { 0 };
        if known.held == 0 || both_ways {
            known.add(number, self.neighbours);
            known.follow(price);
        }
        said
    }

    /// Exact: prices are compared as whole numbers of `10^-18`.
    fn price(&mut self, record: &Record, report: bool) -> Said {
        if !named(record.instrument) {
            return Said::Nothing;
        }
        let Some(price) = record.price.saturated() else {
            return Said::Unusable("the price can't be read");
        };
        let known = self.prices.entry(record.instrument).or_default();
        self.jumps.follow(known, record.account, price);
        let median = known.median(self.after.clamp(5, self.neighbours));
        known.add(price, self.neighbours);
        let (Some(median), Some((scale, limit))) = (median, self.exact) else {
            return Said::Nothing;
        };
        let distance = price.abs_diff(median);
        let far =
            match (distance.checked_mul(scale.unsigned_abs()), median.unsigned_abs().checked_mul(limit.unsigned_abs()))
            {
                (Some(distance), Some(limit)) => distance > limit,
                _ => distance / limit.unsigned_abs().max(1) > median.unsigned_abs() / scale.unsigned_abs().max(1),
            };
        if !far || !report {
            return Said::Nothing;
        }
        let percent = self.percent.unwrap_or_default();
        let why = format!(
            "price {} is more than {percent} % from {}, the median of the trades just before",
            record.price.fixed().map_or_else(|| "beyond 10^20".to_owned(), fixed_text),
            fixed_text(median)
        );
        self.jumps.doubt(known, record, (price, median), why);
        Said::Nothing
    }

    /// What is told only at the end: row, time and reason of each, and how many were not kept.
    pub(super) fn finish(&mut self) -> (Vec<(i64, i64, String)>, u64) {
        self.jumps.finish(std::mem::take(&mut self.prices).into_values())
    }

    fn first_of(&mut self, record: &Record, value: u32, what: &str) -> Said {
        if !named(record.account) || !named(value) {
            return Said::Nothing;
        }
        let account = self.accounts.entry(record.account).or_default();
        let (before, is_usual) = (account.trades, account.is_usual(self.one_in));
        account.trades += 1;
        if self.pairs.len() >= PAIRS {
            self.full = true;
            return Said::Nothing;
        }
        if !self.pairs.insert(pair(record.account, value)) {
            return Said::Nothing;
        }
        account.news += 1;
        if before < self.after.max(1) || is_usual {
            return Said::Nothing;
        }
        Said::This(format!("the account made {before} trades before, none with this {what}"))
    }

    fn hour(&mut self, record: &Record) -> Said {
        if !named(record.account) {
            return Said::Nothing;
        }
        let hour = usize::try_from(record.time.div_euclid(3_600_000).rem_euclid(24)).unwrap_or(0) % 24;
        let account = self.accounts.entry(record.account).or_default();
        let hours = account.hours.get_or_insert_with(|| Box::new([0; 24]));
        // A time zone's change moves a day by one hour.
        let near: u32 = [(hour + 23) % 24, hour, (hour + 1) % 24].iter().map(|hour| hours[*hour]).sum();
        hours[hour] = hours[hour].saturating_add(1);
        let (before, is_usual) = (account.trades, account.is_usual(self.one_in));
        account.trades += 1;
        if near > 0 {
            return Said::Nothing;
        }
        account.news += 1;
        if before < self.after || is_usual {
            return Said::Nothing;
        }
        Said::This(format!(
            "the account made {before} trades before, none between {:02}:00 and {:02}:59 UTC",
            (hour + 23) % 24,
            (hour + 1) % 24
        ))
    }

    fn gap(&mut self, record: &Record) -> Said {
        if !named(record.account) {
            return Said::Nothing;
        }
        let account = self.accounts.entry(record.account).or_default();
        let (before, last) = (account.trades, account.last);
        account.trades += 1;
        account.last = record.time;
        let days = record.time.saturating_sub(last) / 86_400_000;
        if before < self.after.max(1) || days < self.days {
            return Said::Nothing;
        }
        Said::This(format!("the account had not traded for {days} days"))
    }

    fn first(&mut self, record: &Record) -> Said {
        if !named(record.account) {
            return Said::Nothing;
        }
        let account = self.accounts.entry(record.account).or_default();
        account.trades += 1;
        if account.trades == 1 { Said::This("the account never traded before".to_owned()) } else { Said::Nothing }
    }

    /// Why it may have missed something.
    pub(super) fn overflow(&self) -> Option<String> {
        self.full.then(|| format!("more than {PAIRS} pairs of account and value: later ones were not looked at"))
    }
}

impl Account {
    /// Whether it has something new so often that the next is no news.
    fn is_usual(&self, one_in: usize) -> bool {
        self.news.saturating_mul(one_in) > self.trades
    }
}
