//! When trading was halted, as a table of the deployment's own says it.

use super::find::{map_table, meaning};
use super::limits::known_instrument;
use super::names::{Known, known};
use super::words::words;
use super::{Catalog, Mapping, Role, TableOverride};
use crate::domain::Table;

/// Since when.
const FROM: Known = known(
    Role::CreatedAt,
    &[
        "haltedat",
        "pausedat",
        "engagedat",
        "suspendedat",
        "frozenat",
        "startedat",
        "startsat",
        "startat",
        "beganat",
        "starttime",
        "fromtime",
        "effectivefrom",
        "validfrom",
        "since",
        "start",
        "begin",
        "from",
        "createdat",
    ],
    &["halted", "paused", "engaged", "started", "start", "from"],
    &["by", "scheduled", "planned", "expected", "requested", "to", "end", "reason", "notice"],
);

/// Until when.
const TO: Known = known(
    Role::ExpiresAt,
    &[
        "resumedat",
        "liftedat",
        "releasedat",
        "reopenedat",
        "unpausedat",
        "disengagedat",
        "endedat",
        "endsat",
        "endat",
        "endtime",
        "totime",
        "effectiveto",
        "effectiveuntil",
        "validto",
        "until",
        "end",
        "to",
    ],
    &["resumed", "lifted", "released", "reopened", "ended", "end", "until"],
    &["by", "scheduled", "planned", "expected", "requested", "reason", "notice"],
);

/// What halts are called.
const HALTS: &[&str] =
    &["halt", "halts", "pause", "pauses", "killswitch", "suspension", "suspensions", "freeze", "freezes"];

/// What narrows a halt down to a part that trades do not name.
const NARROWER: &[&str] = &[
    "account",
    "accounts",
    "customer",
    "client",
    "wallet",
    "portfolio",
    "member",
    "venue",
    "exchange",
    "region",
    "service",
    "host",
    "component",
    "feature",
    "strategy",
    "bot",
    "subscription",
    "campaign",
    "withdrawal",
    "withdrawals",
    "deposit",
    "deposits",
    "listing",
];

/// The table whose rows say from when until when nobody was to trade, anything or one instrument. Not where they say it of accounts, of
/// venues or of parts of the service.
pub(super) fn halts(catalog: Catalog<'_>, trades: &Mapping, known: &[&Mapping]) -> Option<Mapping> {
    let others = catalog.tables.iter().filter(|table| known.iter().all(|known| known.table != table.name));
    others.filter(|table| is_about_halts(table)).find_map(|table| {
        if table.columns.iter().any(|column| narrows(catalog, table, &column.name, trades)) {
            return None;
        }
        let wanted = [known_instrument(), FROM, TO];
        let mut mapping = map_table(catalog, table, &wanted, &TableOverride::default(), "halts of trading".into());
        let times = |data_type: &str| {
            ["timestamp", "datetime", "bigint", "int"].iter().any(|one| data_type.to_lowercase().starts_with(one))
        };
        mapping
            .roles
            .retain(|mapped| !matches!(mapped.role, Role::CreatedAt | Role::ExpiresAt) || times(&mapped.data_type));
        let both = [Role::CreatedAt, Role::ExpiresAt].into_iter().all(|role| mapping.column(role).is_some());
        let told = mapping.column(Role::Instrument).is_none() || trades.has(Role::Instrument) && !trades.is_pair();
        (both && told).then_some(mapping)
    })
}

fn is_about_halts(table: &Table) -> bool {
    let words = words(&table.name.name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    (has(HALTS) || has(&["kill"]) && has(&["switch", "switches"])) && !has(NARROWER)
}

/// Whether a column says of whom or of what a halt is, other than of an instrument. Who ordered it is no such thing.
fn narrows(catalog: Catalog<'_>, table: &Table, column: &str, trades: &Mapping) -> bool {
    let words = words(column);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if has(&["by", "operator", "actor", "admin", "approver", "author"]) {
        return false;
    }
    let Some(target) = catalog.relations.target(&table.name, column) else { return has(NARROWER) };
    let of_trades = trades.column(Role::Instrument).and_then(|column| catalog.relations.target(&trades.table, column));
    of_trades != Some(target) && meaning(target) != Some(Role::Instrument)
}
