use super::Unwritten;
use super::base::{Base, Form, Source};
use crate::detect::trades::changes::USUAL;
use crate::detect::trades::policy::{Check, Difference, Ledger};
use crate::detect::trades::roles::Role;

impl Base<'_> {
    /// Trades by the orders they name: of a row with both sides, each side's.
    pub(super) fn claims(&mut self) -> String {
        let (order, counter) = (self.text(Role::Order), self.text(Role::CounterOrder));
        let (account, other) = (self.text(Role::Account), self.text(Role::Counterparty));
        let (instrument, side, quantity) = (self.text(Role::Instrument), self.side(), self.number(Role::Quantity));
        let void = self.void();
        let own = format!(
            "SELECT id, time, place, {order} AS the_order, {account} AS account, {instrument} AS instrument, {side} AS way, {quantity} AS quantity, {void} AS void FROM t WHERE {order} IS NOT NULL"
        );
        if self.mapping.trades.column(Role::CounterOrder).is_none() {
            return own;
        }
        format!(
            "{own} UNION ALL SELECT id, time, place, {counter}, {other}, {instrument}, 0, {quantity}, {void} FROM t WHERE {counter} IS NOT NULL"
        )
    }

    pub(super) fn orders(&mut self, check: &Check) -> Result<String, Unwritten> {
        let Check::Reconcile { with: Ledger::Orders, problem, fields, tolerance_s, words } = check else {
            return Err("log lines and fills are compared by `scan trades --logs` and `--fills`");
        };
        let mapping = self.mapping.orders.as_ref().ok_or("there is no order table")?;
        let mut orders = Source::new(self.dialect, mapping);
        let id = orders.column(Role::Id, Form::Text);
        let claims = self.claims();
        let joined = |condition: String| {
            format!("SELECT c.id, c.time FROM c LEFT JOIN o ON o.{id} = c.the_order WHERE {condition}")
        };
        let hits = match problem {
            Difference::Missing => joined(format!("o.{id} IS NULL")),
            Difference::BeforeOrder => {
                let made = orders.column(Role::CreatedAt, Form::Millis);
                let known = format!("o.{made} IS NOT NULL AND c.time IS NOT NULL");
                let within = self.within.iter().map(|one| format!(" AND {}", one.replace("time", "c.time")));
                let within = within.collect::<Vec<_>>().concat();
                self.parts.push(("c", claims));
                self.parts.push(("o", orders.select(&[])));
                self.parts.push(("b", format!("SELECT c.id, c.time, o.{made} - c.time > {} AS early FROM c JOIN o ON o.{id} = c.the_order WHERE {known}{within}", tolerance_s.saturating_mul(1000))));
                self.parts.push((
                    "a",
                    "SELECT count(*) AS all_of, sum(CASE WHEN early THEN 1 ELSE 0 END) AS found FROM b".into(),
                ));
                return Ok(format!(
                    "SELECT id, time FROM b CROSS JOIN a WHERE early AND NOT (found >= {USUAL} AND found * 20 > all_of)"
                ));
            }
            Difference::Refused => {
                let status = orders.column(Role::Status, Form::Text);
                let words = self.dialect.list(words.iter().map(|word| word.to_lowercase()));
                joined(format!("c.void = 0 AND lower(o.{status}) IN ({words})"))
            }
            Difference::Differs => {
                let differ: Vec<_> = fields
                    .iter()
                    .map(|field| match field {
                        Role::Account => format!("c.account <> o.{}", orders.column(Role::Account, Form::Text)),
                        Role::Instrument => {
                            format!("c.instrument <> o.{}", orders.column(Role::Instrument, Form::Text))
                        }
                        _ => {
                            let side = orders.column(Role::Side, Form::Side);
                            format!("(c.way > 0 AND o.{side} > 0 AND c.way <> o.{side})")
                        }
                    })
                    .collect();
                joined(differ.join(" OR "))
            }
            Difference::Overfilled => {
                let most = orders.column(Role::Quantity, Form::Number);
                return Ok(self.overfilled(claims, &orders, &id, &most));
            }
            Difference::Waiting | Difference::Filled | Difference::Ended | Difference::Worse => {
                return Err("it leaves out what is usual among all orders, and names orders without a trade");
            }
            Difference::Extra => return Err("orders without a trade are no finding"),
        };
        self.parts.push(("c", claims));
        self.parts.push(("o", orders.select(&[])));
        Ok(hits)
    }

    /// Trades with which more of an order was traded than it is for, and the order.
    pub(super) fn overfilled(&mut self, claims: String, orders: &Source<'_>, id: &str, most: &str) -> String {
        self.parts.push(("n", claims));
        // Corrections take back: where the signs differ, that of the sum is the order's.
        let all = self.dialect.sum("CASE void WHEN 0 THEN quantity END");
        let of = |what: &str| format!("{what} OVER (PARTITION BY the_order)");
        let (low, high) =
            (of("min(CASE void WHEN 0 THEN quantity END)"), of("max(CASE void WHEN 0 THEN quantity END)"));
        self.parts.push(("m", format!("SELECT n.*, {low} AS low, {high} AS high, {} AS whole FROM n", of(&all))));
        self.parts.push(("c", "SELECT id, time, place, the_order, CASE WHEN void = 1 THEN 0 WHEN low < 0 AND high > 0 AND whole < 0 THEN -quantity WHEN low < 0 AND high > 0 THEN quantity ELSE abs(quantity) END AS quantity FROM m".into()));
        self.parts.push(("o", orders.select(&[])));
        // Rows without a time come first, as they do in the scan.
        format!(
            "SELECT id, time, the_order FROM (SELECT c.id, c.time, c.the_order, c.quantity, o.{most} AS most, {} OVER (PARTITION BY c.the_order ORDER BY c.time NULLS FIRST, c.place ROWS UNBOUNDED PRECEDING) AS filled FROM c JOIN o ON o.{id} = c.the_order) f WHERE filled > abs(most) AND quantity > 0",
            self.dialect.sum("c.quantity")
        )
    }
}
