use super::Unwritten;
use super::base::{Base, Form, Source};
use crate::detect::trades::policy::{Amount, By, Check, Difference, Ledger, Measure, Pattern};
use crate::detect::trades::roles::Role;

const DAY: i64 = 86_400_000;

impl Base<'_> {
    pub(super) fn window(&mut self, check: &Check) -> Result<String, Unwritten> {
        let Check::Window { pattern, by, within_s, trades, times_usual, limit, .. } = check else {
            return Err("it is no window");
        };
        let within = within_s.saturating_mul(1000);
        if matches!(pattern, Pattern::DayValue | Pattern::Position) && self.plan.both_sides() {
            return Err("each row counts for its buyer and for its seller");
        }
        match pattern {
            Pattern::Burst => Ok(self.burst(*by, within.max(1), (*trades).max(1), *times_usual)),
            Pattern::DayValue => {
                let (account, worth) = (self.text(Role::Account), self.worth());
                let day = self.dialect.divide("time", DAY);
                self.held(
                    format!("SELECT id, time, {account} AS account, {} OVER (PARTITION BY {account}, {day} ORDER BY time, place ROWS UNBOUNDED PRECEDING) AS held, CAST(0 AS {}) AS before FROM t WHERE time IS NOT NULL AND {account} IS NOT NULL", self.dialect.sum(&worth), self.dialect.decimal()),
                    Role::DailyLimit,
                    limit.as_ref(),
                )
            }
            Pattern::Position if self.plan.policies.iter().any(|policy| tells_of_missing(&policy.check)) => {
                Err("trades that are missing by what orders say count for it")
            }
            Pattern::Position => {
                let (account, instrument) = (self.text(Role::Account), self.text(Role::Instrument));
                let (quantity, side) = (self.number(Role::Quantity), self.side());
                let signed = format!("CASE {side} WHEN 1 THEN abs({quantity}) WHEN 2 THEN -abs({quantity}) END");
                let held = format!(
                    "coalesce({} OVER (PARTITION BY {account}, {instrument} ORDER BY time, place ROWS",
                    self.dialect.sum(&signed)
                );
                self.held(
                    format!("SELECT id, time, {account} AS account, {held} UNBOUNDED PRECEDING), 0) AS held, {held} BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM t WHERE time IS NOT NULL AND {account} IS NOT NULL AND {instrument} IS NOT NULL"),
                    Role::PositionLimit,
                    limit.as_ref(),
                )
            }
            Pattern::Duplicate => Ok(self.duplicates(within)),
            Pattern::Wash | Pattern::RoundTrip => {
                Err("it pairs each trade with one that no other trade was paired with")
            }
        }
    }

    /// Sums that grow beyond a limit of the account's, else of the policy's.
    fn held(&mut self, sums: String, of: Role, fallback: Option<&Amount>) -> Result<String, Unwritten> {
        if self.mapping.limits.is_some() {
            return Err("limits lie in a table of their own");
        }
        let fallback = fallback.map(|limit| self.dialect.amount(&limit.exact));
        self.parts.push(("s", sums));
        let grown = "abs(held) > abs(before)";
        let Some(accounts) = self.mapping.accounts.as_ref().filter(|accounts| accounts.column(of).is_some()) else {
            let limit = fallback.ok_or("there is no limit")?;
            return Ok(format!("SELECT id, time FROM s WHERE abs(held) > {limit} AND {grown}"));
        };
        let mut accounts = Source::new(self.dialect, accounts);
        let (id, limit) = (accounts.column(Role::Id, Form::Text), accounts.column(of, Form::Number));
        let limit = fallback.map_or(limit.clone(), |fallback| format!("coalesce({limit}, {fallback})"));
        self.parts.push(("o", accounts.select(&[])));
        Ok(format!(
            "SELECT s.id, s.time FROM s LEFT JOIN o ON o.{id} = s.account WHERE abs(held) > abs({limit}) AND {grown}"
        ))
    }

    fn burst(&mut self, by: By, within: i64, trades: usize, times_usual: u32) -> String {
        let whose = self.text(if by == By::Key { Role::Key } else { Role::Account });
        let account = self.text(Role::Account);
        // Trades of the same millisecond count in the order of their ids.
        self.parts.push((
            "w",
            format!(
                "SELECT id, time, {whose} AS whose, count(*) OVER (PARTITION BY {whose} ORDER BY time RANGE BETWEEN {} PRECEDING AND CURRENT ROW) - count(*) OVER (PARTITION BY {whose}, time) + row_number() OVER (PARTITION BY {whose}, time ORDER BY place) AS many, first_value({account}) OVER (PARTITION BY {whose} ORDER BY time, place) AS holder FROM t WHERE time IS NOT NULL AND {whose} IS NOT NULL",
                within - 1
            ),
        ));
        if times_usual == 0 {
            return format!("SELECT id, time FROM w WHERE many > {trades}");
        }
        // What is usual: the median of the windows with trades, rounded down to a power of two; from ten windows on.
        let powers: Vec<_> =
            (1..20).rev().map(|power| 1 << power).map(|most: u32| format!("WHEN n >= {most} THEN {most}")).collect();
        let powers = powers.join(" ");
        let place = self.dialect.divide("time", within);
        self.parts.push(("n", format!("SELECT whose, CASE {powers} ELSE 1 END AS power FROM (SELECT whose, count(*) AS n FROM w GROUP BY whose, {place}) x")));
        self.parts.push(("p", "SELECT whose, power, sum(many) OVER (PARTITION BY whose ORDER BY power) AS below, sum(many) OVER (PARTITION BY whose) AS all_of FROM (SELECT whose, power, count(*) AS many FROM n GROUP BY whose, power) x".into()));
        self.parts.push((
            "u",
            "SELECT whose, min(power) AS usual FROM p WHERE below * 2 > all_of AND all_of >= 10 GROUP BY whose".into(),
        ));
        // Whose account has such a window on ten days trades so.
        let held = "coalesce(holder, whose)";
        let day = self.dialect.divide(&format!("(slot * {within})"), DAY);
        self.parts.push((
            "y",
            format!("SELECT holder, CASE {powers} ELSE 1 END AS power FROM (SELECT holder, whose, {day} AS of_day, max(n) AS n FROM (SELECT {held} AS holder, whose, {place} AS slot, count(*) AS n FROM w GROUP BY {held}, whose, {place}) x GROUP BY holder, whose, {day}) z"),
        ));
        self.parts.push((
            "z",
            "SELECT holder, power AS most FROM (SELECT holder, power, row_number() OVER (PARTITION BY holder ORDER BY power DESC) AS place FROM y) x WHERE place = 10".into(),
        ));
        let most = trades.saturating_mul(64);
        format!(
            "SELECT w.id, w.time FROM w LEFT JOIN u ON u.whose = w.whose LEFT JOIN z ON z.holder = coalesce(w.holder, w.whose) WHERE many > {trades} AND (usual IS NULL OR least(many, {most}) > usual * {times_usual}) AND (most IS NULL OR least(many, {most}) >= most * 4)"
        )
    }

    fn duplicates(&mut self, within: i64) -> String {
        let same: Vec<_> =
            [Role::Account, Role::Instrument, Role::Counterparty, Role::Order].map(|role| self.text(role)).into();
        let (account, order) = (same[0].clone(), same[3].clone());
        let (quantity, price, side) = (self.number(Role::Quantity), self.number(Role::Price), self.side());
        let excused = self.mapping.orders.as_ref().map(|orders| Source::new(self.dialect, orders));
        let claims = excused.is_some().then(|| self.claims());
        let mut found = format!(
            "SELECT id, time, {order} AS the_order, time - lag(time) OVER (PARTITION BY {}, {quantity}, {price}, {side} ORDER BY time, place) AS after FROM t WHERE time IS NOT NULL AND {account} IS NOT NULL AND {quantity} IS NOT NULL",
            same.join(", ")
        );
        found = format!("SELECT id, time, the_order FROM ({found}) x WHERE after <= {within}");
        let (Some(mut orders), Some(claims)) = (excused, claims) else {
            return format!("SELECT id, time FROM ({found}) d");
        };
        let (id, most) = (orders.column(Role::Id, Form::Text), orders.column(Role::Quantity, Form::Number));
        self.parts.push(("c", claims));
        self.parts.push(("o", orders.select(&[])));
        self.parts.push((
            "f",
            format!(
                "SELECT the_order, {} AS filled FROM c GROUP BY the_order",
                self.dialect.sum("abs(coalesce(quantity, 0))")
            ),
        ));
        self.parts
            .push(("e", format!("SELECT the_order FROM f JOIN o ON o.{id} = f.the_order WHERE filled <= abs({most})")));
        format!(
            "SELECT d.id, d.time FROM ({found}) d LEFT JOIN e ON e.the_order = d.the_order WHERE e.the_order IS NULL"
        )
    }

    pub(super) fn baseline(&mut self, check: &Check) -> Result<String, Unwritten> {
        let Check::Baseline { of, after, neighbours, percent, deviations, days, one_in } = check else {
            return Err("it is no baseline");
        };
        let neighbours = (*neighbours).clamp(5, 1000);
        let at_least = (*after).max(1);
        match of {
            Measure::Price => {
                let percent = percent.as_ref().filter(|_| deviations.is_none()).ok_or("it has no percent")?;
                let price = self.number(Role::Price);
                Ok(self.far(&price, (*after).clamp(5, neighbours), neighbours, &self.dialect.amount(&percent.exact)))
            }
            Measure::ValueRatio => {
                let percent = percent.as_ref().filter(|_| deviations.is_none()).ok_or("it has no percent")?;
                let [value, quantity, price] = [Role::Value, Role::Quantity, Role::Price].map(|role| {
                    let number = self.number(role);
                    format!("CAST({number} AS {})", self.dialect.double())
                });
                let plain = format!("NULLIF(abs({quantity} * {price}), 0)");
                let mut ratio = format!("abs({value}) / {plain}");
                if self.plan.whole_values {
                    let least = self.dialect.amount(&percent.exact);
                    ratio = format!("CASE WHEN abs({value}) * {least} >= 100 THEN {ratio} END");
                }
                let percent = format!("CAST({} AS {})", self.dialect.amount(&percent.exact), self.dialect.double());
                Ok(self.far(&ratio, *after, neighbours, &percent))
            }
            Measure::Value | Measure::Quantity => Err("outliers are left out of what later trades are compared with"),
            Measure::Instrument => Ok(self.first_of(Role::Instrument, at_least, *one_in)),
            Measure::Destination => Ok(self.first_of(Role::Destination, at_least, *one_in)),
            Measure::Ip => Ok(self.first_of(Role::Ip, at_least, *one_in)),
            Measure::Hour => Ok(self.hour(*after, *one_in)),
            Measure::Gap => {
                let account = self.text(Role::Account);
                Ok(format!(
                    "SELECT id, time FROM (SELECT id, time, time - lag(time) OVER (PARTITION BY {account} ORDER BY time, place) AS gap, row_number() OVER (PARTITION BY {account} ORDER BY time, place) - 1 AS before FROM t WHERE time IS NOT NULL AND {account} IS NOT NULL) x WHERE gap >= {} AND before >= {at_least}",
                    i64::from(days.unwrap_or(0)) * DAY
                ))
            }
            Measure::First => {
                let account = self.text(Role::Account);
                Ok(format!(
                    "SELECT id, time FROM (SELECT id, time, row_number() OVER (PARTITION BY {account} ORDER BY time, place) AS place FROM t WHERE time IS NOT NULL AND {account} IS NOT NULL) x WHERE place = 1"
                ))
            }
        }
    }

    /// Numbers far from the median of the instrument's latest.
    fn far(&mut self, number: &str, after: usize, neighbours: usize, percent: &str) -> String {
        let instrument = self.text(Role::Instrument);
        let (dialect, collect) = (self.dialect, self.dialect.collect());
        self.parts.push(("m", format!("SELECT id, time, place, {instrument} AS instrument, {number} AS number FROM t WHERE time IS NOT NULL AND {instrument} IS NOT NULL")));
        self.parts.push(("r", format!("SELECT id, time, number, {collect}(number) OVER (PARTITION BY instrument ORDER BY time, place ROWS BETWEEN {neighbours} PRECEDING AND 1 PRECEDING) AS ring FROM m WHERE number IS NOT NULL")));
        self.parts.push((
            "k",
            format!(
                "SELECT id, time, number, {} AS median FROM r WHERE {} >= {}",
                dialect.middle("ring"),
                dialect.size("ring"),
                after.max(1)
            ),
        ));
        format!(
            "SELECT id, time FROM k WHERE {} > {}",
            dialect.times("abs(number - median)", "100"),
            dialect.times(percent, "abs(median)")
        )
    }

    /// Values that the account never had, after some trades.
    fn first_of(&mut self, role: Role, after: usize, one_in: usize) -> String {
        let (account, value) = (self.text(Role::Account), self.text(role));
        let rows = format!(
            "SELECT id, time, {account} AS account, row_number() OVER (PARTITION BY {account} ORDER BY time, place) - 1 AS before, row_number() OVER (PARTITION BY {account}, {value} ORDER BY time, place) AS nth FROM t WHERE time IS NOT NULL AND {account} IS NOT NULL AND {value} IS NOT NULL"
        );
        rarely(&format!("SELECT id, time, account, before FROM ({rows}) y WHERE nth = 1"), after, one_in)
    }

    fn hour(&mut self, after: usize, one_in: usize) -> String {
        let account = self.text(Role::Account);
        let hour = self.dialect.modulo(&self.dialect.divide("time", 3_600_000), 24);
        self.parts.push(("h", format!("SELECT id, time, {account} AS account, {hour} AS hour, row_number() OVER (PARTITION BY {account} ORDER BY time, place) - 1 AS before FROM t WHERE time IS NOT NULL AND {account} IS NOT NULL")));
        self.parts.push(("f", "SELECT account, hour, min(before) AS first FROM h GROUP BY account, hour".into()));
        // A time zone's change moves a day by one hour.
        let near = format!("{} <= 2", self.dialect.modulo("f.hour - h.hour + 1", 24));
        let news = format!(
            "SELECT h.id, h.time, h.account, h.before FROM h WHERE NOT EXISTS (SELECT 1 FROM f WHERE f.account = h.account AND f.first < h.before AND {near})"
        );
        rarely(&news, after, one_in)
    }
}

/// Whether it tells of trades that are missing from a position.
fn tells_of_missing(check: &Check) -> bool {
    matches!(check, Check::Reconcile { with: Ledger::Orders, problem: Difference::Filled, .. })
}

/// Of what was new to an account, with its trades before: that of accounts to which little is.
fn rarely(news: &str, after: usize, one_in: usize) -> String {
    format!(
        "SELECT id, time FROM (SELECT id, time, before, row_number() OVER (PARTITION BY account ORDER BY before) - 1 AS news FROM ({news}) z) x WHERE before >= {after} AND news * {one_in} <= before"
    )
}
