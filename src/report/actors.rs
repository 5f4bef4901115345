//! Who did it: findings that name the same key, user, session or address are one actor's, joined until nothing more joins.
//!
//! What many share joins nobody: private addresses, addresses and names that come with many others, names that every host has.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::fields::{ACCOUNTS, ACTIONS, ADDRESSES, Fields, HOSTS, KEYS, SESSIONS, USERS};
use super::scope::Money;
use crate::domain::{Finding, Level, Timestamp, counted, malicious_span};

/// An address or a name that comes with more others than this is shared by several people.
const SHARED: usize = 8;
/// Names that say nothing about who used them.
const COMMON: [&str; 12] = [
    "root",
    "admin",
    "administrator",
    "postgres",
    "ubuntu",
    "debian",
    "ec2-user",
    "www-data",
    "nobody",
    "anonymous",
    "guest",
    "unknown",
];
/// Most names of one sort that are kept for an actor; the others are counted.
const KEPT: usize = 100;
/// Most reasons that are kept for an actor.
const REASONS: usize = 50;

/// A sort of identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// The id of a key.
    Key,
    /// A user, role or service.
    User,
    /// A session.
    Session,
    /// An address.
    Address,
}

/// Who or from where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Identity {
    /// Its sort.
    pub kind: IdentityKind,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            IdentityKind::Key => "key",
            IdentityKind::User => "user",
            IdentityKind::Session => "session",
            IdentityKind::Address => "address",
        };
        write!(f, "{kind} {}", self.name)
    }
}

/// Why two identities are one actor's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Join {
    /// One.
    pub one: Identity,
    /// The other.
    pub other: Identity,
    /// The finding that names both.
    pub finding: String,
    /// Its rule's title.
    pub title: String,
}

/// What an actor reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Reached {
    /// Accounts.
    pub accounts: Vec<String>,
    /// Hosts.
    pub hosts: Vec<String>,
    /// Actions of APIs, paths, events.
    pub actions: Vec<String>,
    /// Names beyond the first hundred of each sort.
    pub more: u64,
    /// Trades and what they are worth.
    pub money: Money,
}

/// Somebody who acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// `actor-1` is the one that was seen first.
    pub id: String,
    /// All that it is known by.
    pub identities: Vec<Identity>,
    /// Those of them that others share too.
    pub shared: Vec<Identity>,
    /// First event that has a time.
    pub first: Option<Timestamp>,
    /// Last one.
    pub last: Option<Timestamp>,
    /// The highest level of its findings.
    pub highest: Level,
    /// Its findings.
    pub findings: u64,
    /// What it reached.
    pub reached: Reached,
    /// Why its identities are one actor's.
    pub joined: Vec<Join>,
}

/// An identity that joins nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Apart {
    /// The identity.
    pub identity: Identity,
    /// Why.
    pub reason: String,
}

/// All actors, and the findings of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Actors {
    /// In the order in which they were first seen.
    pub actors: Vec<Actor>,
    /// Identities that join nobody.
    pub apart: Vec<Apart>,
    /// First event at `high` or above.
    pub first_malicious: Option<Timestamp>,
    /// Last one.
    pub last_malicious: Option<Timestamp>,
    /// Findings that name nobody.
    pub unattributed: u64,
    /// The actor of each finding, by the finding's id.
    #[serde(skip)]
    of: BTreeMap<String, usize>,
}

/// The first few of many, and how many more there are.
fn few(names: &[String], most: usize) -> String {
    let more = if names.len() > most { format!(" and {} more", names.len() - most) } else { String::new() };
    format!("{}{more}", names.iter().take(most).cloned().collect::<Vec<_>>().join(", "))
}

impl Actor {
    /// What it is known by, in words, at most so many names.
    pub fn known_by(&self, most: usize) -> String {
        let shared = self.shared.iter().map(|one| format!("{one} (shared)"));
        let names: Vec<String> = self.identities.iter().map(ToString::to_string).chain(shared).collect();
        few(&names, most)
    }

    /// Why its identities are one actor's, in words.
    pub fn reasons(&self, most: usize) -> String {
        let reason = |join: &Join| {
            let id = join.finding.get(..8).unwrap_or(&join.finding);
            format!("{} = {} in \"{}\" ({id})", join.one, join.other, join.title)
        };
        few(&self.joined.iter().map(reason).collect::<Vec<_>>(), most)
    }
}

impl Reached {
    /// What was reached, in words, at most so many names of each sort; empty if nothing is known.
    pub fn words(&self, most: usize) -> String {
        let sorts = [("accounts", &self.accounts), ("hosts", &self.hosts), ("actions", &self.actions)];
        let mut words: Vec<String> = sorts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(sort, names)| format!("{sort} {}", few(names, most)))
            .collect();
        if self.money.rows > 0 {
            let unknown = self.money.unknown;
            let unknown = if unknown > 0 { format!(" ({unknown} of unknown worth)") } else { String::new() };
            let trades = counted(self.money.rows, "trade", "trades");
            words.push(format!("{trades} worth {}{unknown}", self.money.total));
        }
        words.join("; ")
    }
}

/// Identities with numbers, and the sets that they form.
#[derive(Default)]
struct Sets {
    all: Vec<Identity>,
    numbers: BTreeMap<Identity, usize>,
    parents: Vec<usize>,
}

impl Sets {
    fn number(&mut self, identity: Identity) -> usize {
        if let Some(number) = self.numbers.get(&identity) {
            return *number;
        }
        let number = self.all.len();
        self.all.push(identity.clone());
        self.parents.push(number);
        self.numbers.insert(identity, number);
        number
    }

    fn root(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }

    /// The identities of those numbers, in their order.
    fn names(&self, numbers: &[usize]) -> Vec<Identity> {
        let mut names: Vec<Identity> = numbers.iter().map(|one| self.all[*one].clone()).collect();
        names.sort();
        names
    }

    /// Makes two sets one; false if they are one already.
    fn join(&mut self, one: usize, other: usize) -> bool {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other)] = one.min(other);
        one != other
    }
}

/// The findings of one actor, with the number of what they all lead to.
type Members = BTreeMap<usize, Vec<usize>>;

/// Joins what each finding names, but for what stands apart; for each join an identity of the set, and why.
fn join(
    sets: &mut Sets,
    findings: &[&Finding],
    named: &[Vec<usize>],
    apart: &BTreeMap<usize, String>,
) -> Vec<(usize, Join)> {
    let mut joins = Vec::new();
    for (finding, named) in findings.iter().zip(named) {
        let joining: Vec<usize> = named.iter().copied().filter(|one| !apart.contains_key(one)).collect();
        for pair in joining.windows(2) {
            if sets.join(pair[0], pair[1]) {
                let (one, other) = (sets.all[pair[0]].clone(), sets.all[pair[1]].clone());
                let (finding, title) = (finding.id.clone(), finding.rule.title.clone());
                joins.push((pair[0], Join { one, other, finding, title }));
            }
        }
    }
    joins
}

impl Actors {
    /// Of those findings: all but the ones that somebody called benign.
    pub fn of<'a>(findings: impl Iterator<Item = &'a Finding>) -> Self {
        let findings: Vec<&Finding> = findings.collect();
        let fields: Vec<Fields> = findings.iter().map(|finding| Fields::of(finding)).collect();
        let mut sets = Sets::default();
        let named: Vec<Vec<usize>> = findings
            .iter()
            .zip(&fields)
            .map(|(finding, fields)| identities(finding, fields).into_iter().map(|one| sets.number(one)).collect())
            .collect();
        let apart = apart(&sets, &named);
        let joins = join(&mut sets, &findings, &named, &apart);
        // A finding belongs to what joins in it; one that names shared things alone, to the first of these.
        let mut members = Members::new();
        let mut unattributed = 0;
        for (at, named) in named.iter().enumerate() {
            match named.iter().find(|one| !apart.contains_key(one)).or(named.first()) {
                Some(one) => members.entry(sets.root(*one)).or_default().push(at),
                None => unattributed += 1,
            }
        }
        let mut reasons: BTreeMap<usize, Vec<Join>> = BTreeMap::new();
        for (one, join) in joins {
            reasons.entry(sets.root(one)).or_default().push(join);
        }
        let mut groups = Vec::new();
        for (root, members) in members {
            let known: BTreeSet<usize> = members.iter().flat_map(|at| named[*at].iter().copied()).collect();
            let (shared, own): (Vec<usize>, Vec<usize>) = known.into_iter().partition(|one| apart.contains_key(one));
            let mut actor = actor(&members, &findings, &fields);
            (actor.identities, actor.shared) = (sets.names(&own), sets.names(&shared));
            actor.joined = reasons.remove(&root).unwrap_or_default();
            actor.joined.truncate(REASONS);
            groups.push((actor, members));
        }
        let mut of = BTreeMap::new();
        groups.sort_by_cached_key(|(actor, _)| {
            (actor.first.is_none(), actor.first, actor.identities.clone(), actor.shared.clone())
        });
        for (at, (actor, members)) in groups.iter_mut().enumerate() {
            actor.id = format!("actor-{}", at + 1);
            of.extend(members.iter().map(|member| (findings[*member].id.clone(), at)));
        }
        let span = malicious_span(findings.iter().copied());
        let apart = apart.into_iter().map(|(one, reason)| Apart { identity: sets.all[one].clone(), reason });
        Self {
            actors: groups.into_iter().map(|(actor, _)| actor).collect(),
            apart: apart.collect(),
            first_malicious: span.map(|(first, _)| first),
            last_malicious: span.map(|(_, last)| last),
            unattributed,
            of,
        }
    }

    /// The actor of a finding.
    pub fn actor_of(&self, finding: &str) -> Option<&Actor> {
        self.of.get(finding).and_then(|at| self.actors.get(*at))
    }
}

/// Whom a finding names.
fn identities(finding: &Finding, fields: &Fields) -> BTreeSet<Identity> {
    let mut out = BTreeSet::new();
    let sorts = [
        (IdentityKind::Key, KEYS),
        (IdentityKind::User, USERS),
        (IdentityKind::Session, SESSIONS),
        (IdentityKind::Address, ADDRESSES),
    ];
    for (kind, names) in sorts {
        out.extend(fields.all(names).into_iter().map(|name| Identity { kind, name: name.clone() }));
    }
    // An indicator in free text names somebody too.
    let kind = match finding.rule.id.strip_prefix("indicator:") {
        Some("ip") => Some(IdentityKind::Address),
        Some("key-id") => Some(IdentityKind::Key),
        Some("email") => Some(IdentityKind::User),
        _ => None,
    };
    let seen = finding.matched.get("seen").and_then(serde_json::Value::as_str);
    out.extend(kind.zip(seen).map(|(kind, seen)| Identity { kind, name: seen.to_owned() }));
    out
}

/// The identities that join nobody, with the reason.
fn apart(sets: &Sets, named: &[Vec<usize>]) -> BTreeMap<usize, String> {
    let mut beside: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for named in named {
        for one in named {
            beside.entry(*one).or_default().extend(named.iter().filter(|other| *other != one));
        }
    }
    let others = |one: usize, kinds: &[IdentityKind]| {
        let beside = beside.get(&one).into_iter().flatten();
        beside.filter(|other| kinds.contains(&sets.all[**other].kind)).count()
    };
    let mut out = BTreeMap::new();
    for (one, identity) in sets.all.iter().enumerate() {
        let reason = match identity.kind {
            IdentityKind::Address => inner(&identity.name).map(str::to_owned).or_else(|| {
                let count = others(one, &[IdentityKind::User]).max(others(one, &[IdentityKind::Key]));
                (count > SHARED).then(|| format!("{count} users or keys come from it"))
            }),
            IdentityKind::User if COMMON.contains(&identity.name.to_lowercase().as_str()) => {
                Some("a name that every host has".to_owned())
            }
            IdentityKind::User => {
                let count = others(one, &[IdentityKind::Address]);
                (count > SHARED).then(|| format!("it was used from {count} addresses"))
            }
            IdentityKind::Key | IdentityKind::Session => None,
        };
        out.extend(reason.map(|reason| (one, reason)));
    }
    out
}

/// What an address is that several share.
fn inner(address: &str) -> Option<&'static str> {
    match address.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_loopback() || address.is_unspecified() => Some("a loopback address"),
        Ok(std::net::IpAddr::V4(v4)) => {
            let [a, b, ..] = v4.octets();
            let carrier = a == 100 && (64..128).contains(&b);
            (v4.is_private() || v4.is_link_local() || carrier).then_some("a private address")
        }
        Ok(std::net::IpAddr::V6(v6)) => {
            let head = v6.segments()[0];
            (head & 0xfe00 == 0xfc00 || head & 0xffc0 == 0xfe80).then_some("a private address")
        }
        // CloudTrail names the service that acted for somebody.
        Err(_) => Some("no address but a name"),
    }
}

/// What findings say of the one who made them.
fn actor(members: &[usize], findings: &[&Finding], fields: &[Fields]) -> Actor {
    let times = || members.iter().filter_map(|at| findings[*at].done_at());
    let mut more = 0;
    let mut names = |sort: &[&str]| {
        let all: BTreeSet<&String> = members.iter().flat_map(|at| fields[*at].all(sort)).collect();
        more += all.len().saturating_sub(KEPT) as u64;
        all.into_iter().take(KEPT).cloned().collect::<Vec<String>>()
    };
    let (accounts, hosts, actions) = (names(ACCOUNTS), names(HOSTS), names(ACTIONS));
    let money = Money::of(members.iter().map(|at| findings[*at]));
    Actor {
        id: String::new(),
        identities: Vec::new(),
        shared: Vec::new(),
        first: times().min(),
        last: times().max(),
        highest: members.iter().map(|at| findings[*at].rule.level).max().unwrap_or(Level::Informational),
        findings: members.len() as u64,
        reached: Reached { accounts, hosts, actions, more, money },
        joined: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::domain::{FindingKind, RuleRef, Source, finding_id};

    fn finding(number: u64, level: Level, event: Value) -> Finding {
        let Value::Object(event) = event else { unreachable!() };
        let source = Source::File { path: "x".into(), record: number, line: None, offset: None };
        Finding {
            id: finding_id(FindingKind::Log, "r", &source),
            kind: FindingKind::Log,
            rule: RuleRef { id: "r".into(), title: format!("R{number}"), level },
            time: Timestamp::from_second(1_795_400_000 + i64::try_from(number).unwrap()).ok(),
            source,
            matched: Map::new(),
            event,
        }
    }

    fn names(actor: &Actor) -> Vec<String> {
        actor.identities.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn findings_are_joined_over_what_they_share_and_it_is_said_why() {
        let findings = [
            finding(
                3,
                Level::High,
                json!({"apiKeyId": "key_2", "ip": "203.0.113.7", "account": "a", "event": "trade.created"}),
            ),
            finding(1, Level::Low, json!({"user": "eve", "ip": "203.0.113.7", "host": "web"})),
            finding(
                2,
                Level::Critical,
                json!({"userIdentity": {"userName": "eve", "accessKeyId": "AKIA1"}, "eventName": "GetSecretValue"}),
            ),
            finding(4, Level::Medium, json!({"user": "bob", "ip": "198.51.100.9"})),
            finding(5, Level::Medium, json!({"message": "nobody is named"})),
        ];
        let actors = Actors::of(findings.iter());
        assert_eq!((actors.actors.len(), actors.unattributed), (2, 1));
        let first = &actors.actors[0];
        assert_eq!(names(first), ["key AKIA1", "key key_2", "user eve", "address 203.0.113.7"]);
        assert_eq!((first.findings, first.highest, first.joined.len()), (3, Level::Critical, 3));
        assert_eq!((first.first, first.last), (findings[1].time, findings[0].time));
        assert_eq!((&first.reached.accounts, &first.reached.hosts), (&vec!["a".to_owned()], &vec!["web".to_owned()]));
        assert_eq!(first.reached.actions, ["GetSecretValue", "trade.created"]);
        let because = &first.joined[0];
        assert_eq!((because.one.name.as_str(), because.other.name.as_str()), ("key_2", "203.0.113.7"));
        assert_eq!((because.title.as_str(), &because.finding), ("R3", &findings[0].id));
        assert_eq!(actors.actor_of(&findings[3].id).unwrap().id, "actor-2");
        assert_eq!((actors.first_malicious, actors.last_malicious), (findings[2].time, findings[0].time));
    }

    #[test]
    fn what_many_share_joins_nobody() {
        let mut findings = vec![
            finding(1, Level::High, json!({"user": "eve", "ip": "10.0.0.1"})),
            finding(2, Level::High, json!({"user": "bob", "ip": "10.0.0.1"})),
            finding(3, Level::High, json!({"user": "root", "src_ip": "203.0.113.1"})),
            finding(4, Level::High, json!({"user": "root", "src_ip": "203.0.113.2"})),
            finding(5, Level::High, json!({"user": "root"})),
        ];
        findings.extend(
            (0..20).map(|n| finding(100 + n, Level::Low, json!({"user": format!("u{n}"), "ip": "198.51.100.1"}))),
        );
        let actors = Actors::of(findings.iter());
        assert_eq!(actors.actors.len(), 2 + 2 + 1 + 20);
        let apart: Vec<_> =
            actors.apart.iter().map(|apart| (apart.identity.to_string(), apart.reason.as_str())).collect();
        assert_eq!(
            apart,
            [
                ("address 10.0.0.1".into(), "a private address"),
                ("user root".into(), "a name that every host has"),
                ("address 198.51.100.1".into(), "20 users or keys come from it"),
            ]
        );
        assert_eq!(actors.actors[0].shared[0].name, "10.0.0.1");
        // In any order the same.
        findings.reverse();
        let again = Actors::of(findings.iter());
        let plain =
            |actors: &Actors| actors.actors.iter().map(|a| (a.id.clone(), names(a), a.findings)).collect::<Vec<_>>();
        assert_eq!(plain(&again), plain(&actors));
    }

    #[test]
    fn an_indicator_in_free_text_names_somebody() {
        let mut hit = finding(1, Level::High, json!({"message": "to 203.0.113.7"}));
        hit.rule.id = "indicator:ip".into();
        hit.matched = Map::from_iter([("seen".to_owned(), Value::from("203.0.113.7"))]);
        let other = finding(2, Level::Low, json!({"c-ip": "203.0.113.7", "c-uri": "/admin"}));
        assert_eq!(Actors::of([hit, other].iter()).actors[0].findings, 2);
    }

    #[test]
    fn no_findings_are_nobody() {
        assert_eq!(Actors::of(std::iter::empty()), Actors::default());
    }
}
