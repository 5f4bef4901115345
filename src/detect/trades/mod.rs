//! Trade rows against policies, through logical roles.
//!
//! [`roles`] maps columns to roles; [`policy`] reads `policies/trades/*.yml`; [`Plan`] says which of them this database can
//! answer and which columns they need. Rows come in any order and are read once: [`RowReader`] runs the checks that need one
//! row and makes a [`Record`] of each; [`Follower`] takes the records in the order of time; [`orders::OrderJoin`] joins them with their orders.
//! None of them holds more than its windows.

mod amount;
#[cfg(test)]
mod cases_tests;
mod changes;
/// Trades that name an order, and orders.
pub mod claims;
/// Exact numbers in few bytes.
pub mod decimal;
/// Conditions on one row.
pub mod expression;
/// Findings out of rows.
pub mod finding;
mod follow;
mod hit;
mod ids;
mod json_fields;
mod judge;
mod late_fills;
mod layout;
mod limit_prices;
/// Log lines of a deployment's own form.
pub mod line_pattern;
mod names;
/// Trades and their orders.
pub mod orders;
/// Log lines and exports of trades.
pub mod other;
mod pauses;
mod plan;
/// The policy files of `policies/trades/`.
pub mod policy;
/// Rows against other records of the same trades.
pub mod reconcile;
mod record;
/// What is known beside the trade table.
pub mod reference;
mod repeats;
/// Columns to logical roles.
pub mod roles;
mod row;
/// Policies as SQL for other engines.
pub mod sql;
#[cfg(test)]
mod stage_tests;
mod together;
/// Numbers and moments as databases write them.
pub mod value;
mod whole_orders;

pub use changes::{Changes, seldom_agree};
pub use follow::{BATCH, Beyond, Doubt, Followed, Follower};
pub use hit::{Hit, Hits, MOST, rows};
pub use ids::{Gap, Ids, made_at, without_usual};
pub use late_fills::LateFills;
pub use names::{Names, Reader};
pub use pauses::{HALT_ROLES, Pause};
pub use plan::{Layout, Means, Plan, Uncovered};
pub use policy::needs_history;
pub use record::{NO_TIME, Record, SIZE, Side};
pub use reference::Reference;
pub use repeats::{Repeats, same, write as write_repeat};
pub use row::{BETWEEN, RowReader, Seen};
pub use together::Together;
