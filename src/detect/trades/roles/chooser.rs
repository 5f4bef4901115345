//! Columns of one table, each given at most one role.

use super::names::{Known, names_an_id};
use super::words::{common_prefix, decimal_places, usual, without, words};
use super::{Mapped, Mapping, Role, TableOverride, type_fits};
use crate::domain::Table;

/// Without case and punctuation.
pub(super) fn normal(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

pub(super) fn fits(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => name
            .strip_prefix(stem)
            .is_some_and(|code| (3..=4).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase())),
        None => name == pattern,
    }
}

/// How the reason of both columns of a pair begins.
pub(super) const PAIR: &str = "a pair of";
/// Of what is traded, and what it is paid with.
pub(super) const BASE_AND_QUOTE: &str = "a pair of base and quote";
/// Of a market and what was bought in it.
pub(super) const OUTCOME: &str = "a pair of market and outcome";
/// What is given, and what for.
const PAIRS: [(&str, &str); 10] = [
    ("base", "quote"),
    ("sell", "buy"),
    ("sold", "bought"),
    ("from", "to"),
    ("source", "target"),
    ("source", "destination"),
    ("debit", "credit"),
    ("send", "receive"),
    ("input", "output"),
    ("in", "out"),
];
/// What a column of a pair names.
const THINGS: [&str; 7] = ["asset", "currency", "coin", "symbol", "ticker", "token", "ccy"];
const IDS: [&str; 2] = ["code", "id"];
/// What an amount of one of them is called, after it.
const AMOUNTS: [&str; 8] = ["amount", "amt", "quantity", "qty", "units", "volume", "sum", "value"];

/// Columns of a table while roles choose among them.
pub(super) struct Chooser<'a> {
    table: &'a Table,
    /// Words of each column: as they are, and as they usually are.
    words: Vec<[Vec<String>; 2]>,
    taken: Vec<bool>,
    /// Columns whose labels say that they are no sides.
    pub(super) sideless: Vec<bool>,
    roles: Vec<Mapped>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        let prefix = common_prefix(table);
        let both = |name: &str| {
            let plain = without(words(name), prefix.as_deref());
            [usual(&plain), plain]
        };
        let words = table.columns.iter().map(|column| both(&column.name)).collect();
        let none = vec![false; table.columns.len()];
        Self { table, words, taken: none.clone(), sideless: none, roles: Vec::new() }
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.roles.iter().any(|mapped| mapped.role == role)
    }

    pub(super) fn give(&mut self, role: Role, index: usize, reason: String) {
        if self.has(role) || self.taken[index] {
            return;
        }
        self.taken[index] = true;
        let column = &self.table.columns[index];
        self.roles.push(Mapped {
            role,
            column: column.name.clone(),
            data_type: column.data_type.clone(),
            index,
            reason,
        });
    }

    fn free(&self, role: Role) -> impl Iterator<Item = usize> + '_ {
        let fits = move |index: usize| {
            type_fits(role, &self.table.columns[index]) && !(role == Role::Side && self.sideless[index])
        };
        (0..self.taken.len()).filter(move |index| !self.taken[*index] && fits(*index))
    }

    /// What policy says comes first; a column that is not there is left to the names.
    pub(super) fn told(&mut self, told: &TableOverride) -> Vec<Role> {
        let mut none = Vec::new();
        for (role, column) in &told.roles {
            if column.is_empty() {
                none.push(*role);
            } else if let Some(index) = self.table.columns.iter().position(|one| one.name == *column) {
                self.give(*role, index, "policy says so".into());
            }
        }
        none
    }

    pub(super) fn by_name(&mut self, known: &Known) {
        let hit = known.names.iter().find_map(|pattern| {
            let index = self.free(known.role).find(|index| fits(&normal(&self.table.columns[*index].name), pattern))?;
            Some((index, *pattern))
        });
        if let Some((index, pattern)) = hit {
            let reason = format!("named like `{pattern}`, type {}", self.table.columns[index].data_type);
            self.give(known.role, index, reason);
        }
    }

    /// By what the name means without the prefix of all columns, its abbreviations written out.
    pub(super) fn by_meaning(&mut self, known: &Known) {
        let hit = known.names.iter().find_map(|pattern| {
            let named = |index: &usize| self.words[*index].iter().any(|words| fits(&words.concat(), pattern));
            Some((self.free(known.role).find(named)?, *pattern))
        });
        if let Some((index, pattern)) = hit {
            let reason = format!("its name means `{pattern}`, type {}", self.table.columns[index].data_type);
            self.give(known.role, index, reason);
        }
    }

    pub(super) fn by_word(&mut self, known: &Known) {
        let hit = self.free(known.role).find_map(|index| {
            let both = &self.words[index];
            if both.iter().flatten().any(|word| known.not.contains(&word.as_str())) {
                return None;
            }
            // `apiKeyId` has the words `api` and `key`: pairs count as well.
            let pairs = both.iter().flat_map(|words| words.windows(2).map(<[String]>::concat));
            let all = both.iter().flatten().cloned().chain(pairs);
            let word = all.into_iter().find(|word| known.words.contains(&word.as_str()))?;
            let thing = matches!(known.role, Role::Account | Role::Key | Role::Order | Role::Counterparty);
            let time = matches!(
                known.role,
                Role::ExecutedAt
                    | Role::CreatedAt
                    | Role::UpdatedAt
                    | Role::ClosedAt
                    | Role::SuspendedAt
                    | Role::RestoredAt
            );
            ((!thing || names_an_id(&both[0])) && (!time || self.dated(index))).then_some((index, word))
        });
        if let Some((index, word)) = hit {
            let reason = format!("its name has the word `{word}`, type {}", self.table.columns[index].data_type);
            self.give(known.role, index, reason);
        }
    }

    /// Whether a column holds moments by its type, or by a whole number's name.
    fn dated(&self, index: usize) -> bool {
        let data_type = &self.table.columns[index].data_type;
        let is = |names: &[&str]| names.iter().any(|name| data_type.starts_with(name));
        let last = self.words[index][0].last().map_or("", String::as_str);
        is(&["timestamp", "date", "time"])
            || (is(&["bigint", "int"])
                && ["at", "on", "time", "ts", "ms", "millis", "epoch", "timestamp"].contains(&last))
    }

    /// The primary key: the id, where it is one free column; else its columns, where they are several.
    fn key(&mut self) -> Vec<Mapped> {
        let keys: Vec<usize> = (0..self.taken.len()).filter(|index| self.table.columns[*index].primary_key).collect();
        if let [index] = keys[..] {
            self.give(Role::Id, index, "the primary key".into());
            return Vec::new();
        }
        // An order has few trades; an account, an instrument or a day has many.
        let rank = |index: usize| match self.roles.iter().find(|mapped| mapped.index == index).map(|mapped| mapped.role)
        {
            Some(Role::Order) => 0,
            None if names_an_id(&self.words[index][0]) => 1,
            None => 2,
            Some(_) => 3,
        };
        let part = |index: usize| {
            let column = &self.table.columns[index];
            let reason = "part of the primary key".to_owned();
            Mapped { role: Role::Id, column: column.name.clone(), data_type: column.data_type.clone(), index, reason }
        };
        let mut parts: Vec<Mapped> = keys.into_iter().map(part).collect();
        parts.sort_by_key(|part| rank(part.index));
        parts
    }

    /// A day alone is no moment, if another column says when the row was made.
    fn leave_days(&mut self) {
        let of = |role: Role| self.roles.iter().position(|mapped| mapped.role == role);
        let (Some(executed), Some(created)) = (of(Role::ExecutedAt), of(Role::CreatedAt)) else { return };
        let is_day = |place: usize| self.roles[place].data_type == "date";
        if is_day(executed) && !is_day(created) && !self.roles[executed].reason.starts_with("policy") {
            let day = self.roles.remove(executed);
            self.taken[day.index] = false;
        }
    }

    /// The one list of texts among a key's columns that is no list of addresses.
    pub(super) fn by_list(&mut self) {
        let is_list = |index: &usize| {
            let data_type = &self.table.columns[*index].data_type;
            data_type.ends_with("[]") && !data_type.starts_with("inet") && !data_type.starts_with("cidr")
        };
        let lists: Vec<usize> = self.free(Role::Scope).filter(is_list).collect();
        if let [index] = lists[..] {
            self.give(Role::Scope, index, "the only list".into());
        }
    }

    /// A pair of columns that only say "base" and "quote", or "from" and "to": what is traded, and what it is paid with. Where one thing is given for
    /// another, the amount of each is named like it: the first is how much was traded, the other what it was worth.
    pub(super) fn by_pair(&mut self) {
        if self.has(Role::Instrument) {
            return;
        }
        for (first, second) in PAIRS {
            let (Some(base), Some(quote)) = (self.half(first), self.half(second)) else { continue };
            let reason =
                if first == "base" { BASE_AND_QUOTE.to_owned() } else { format!("{PAIR} {first} and {second}") };
            self.give(Role::Instrument, base, reason.clone());
            self.give(Role::Currency, quote, reason);
            for (role, word) in [(Role::Quantity, first), (Role::Value, second)] {
                let amount = |index: &usize| {
                    let words = &self.words[*index][0];
                    let is = |word: &String| AMOUNTS.contains(&word.as_str()) || decimal_places(word) > 0;
                    words.len() > 1 && words[0] == word && words[1..].iter().all(is)
                };
                let amount = (first != "base").then(|| self.free(role).find(amount)).flatten();
                if let Some(index) = amount {
                    self.give(role, index, format!("the amount of {word}"));
                }
            }
            if first != "base" {
                self.by_equivalent();
            }
            return;
        }
    }

    /// What was given, in the one money that all trades can be compared in.
    fn by_equivalent(&mut self) {
        let amounts = |word: &String| AMOUNTS.contains(&word.as_str()) || word == "notional" || word == "worth";
        let named = |index: &usize| {
            let words = &self.words[*index][0];
            let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
            has(&["equivalent", "equiv", "countervalue"])
                || (has(&["usd", "eur", "gbp", "home", "reporting", "fiat"]) && words.iter().any(amounts))
        };
        let fee =
            |index: &usize| self.words[*index][0].iter().any(|word| ["fee", "fees", "tax"].contains(&word.as_str()));
        let found = self.free(Role::Worth).find(|index| named(index) && !fee(index));
        if let Some(index) = found {
            self.give(Role::Worth, index, "what it was worth in one money".into());
        }
    }

    /// In a market of outcomes, the outcome is part of what was traded: one that is bought at 0.3 is not the other one, at 0.7.
    pub(super) fn by_outcome(&mut self, is_yes_or_no: impl Fn(usize) -> bool) {
        if self.has(Role::Currency) || self.has(Role::Side) {
            return;
        }
        let named = |index: &usize| {
            let words = &self.words[*index][0];
            let rest = |word: &String| ["id", "index", "name", "side", "token"].contains(&word.as_str());
            words.first().is_some_and(|first| first == "outcome") && words[1..].iter().all(rest)
        };
        let outcome = self.free(Role::Currency).find(|index| named(index) || is_yes_or_no(*index));
        let market = self.roles.iter().position(|mapped| mapped.role == Role::Instrument);
        if let (Some(outcome), Some(market)) = (outcome, market)
            && !self.roles[market].reason.starts_with("policy")
        {
            OUTCOME.clone_into(&mut self.roles[market].reason);
            self.give(Role::Currency, outcome, OUTCOME.into());
        }
    }

    /// A column whose name is the word, and what kind of thing it is.
    fn half(&self, word: &str) -> Option<usize> {
        let of = |index: &usize| {
            let words = &self.words[*index][0];
            let (Some(first), rest) = (words.first(), words.get(1..).unwrap_or_default()) else { return false };
            // `fromId` may be an account.
            let named = word == "base" || word == "quote" || rest.iter().any(|word| THINGS.contains(&word.as_str()));
            first == word
                && named
                && rest.iter().all(|word| THINGS.contains(&word.as_str()) || IDS.contains(&word.as_str()))
        };
        self.free(Role::Instrument).find(of)
    }

    /// The one moment that every row has, whatever it is called, where no other says when it happened.
    pub(super) fn by_moment(&mut self) {
        if self.has(Role::ExecutedAt) || self.has(Role::CreatedAt) {
            return;
        }
        let always = |index: &usize| {
            let column = &self.table.columns[*index];
            column.data_type.starts_with("timestamp") && !column.nullable
        };
        let moments: Vec<usize> = self.free(Role::ExecutedAt).filter(always).collect();
        if let [index] = moments[..] {
            self.give(Role::ExecutedAt, index, "the only moment that every row has".into());
        }
    }

    pub(super) fn done(mut self, reason: String) -> Mapping {
        self.leave_days();
        let composite = if self.has(Role::Id) { Vec::new() } else { self.key() };
        let is_part = |name: &str| composite.iter().any(|part| part.column == name);
        let rest = self.table.columns.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        let unmapped = rest.map(|(column, _)| column.name.clone()).filter(|name| !is_part(name)).collect();
        Mapping { table: self.table.name.clone(), reason, roles: self.roles, unmapped, composite, through: None }
    }
}
