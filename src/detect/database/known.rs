//! What is known not to be the intruder's: what was there when `install` looked, and what Prisma's migrations make.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::detect::backup::{Dialect, Piece, Statements, Word, words};
use crate::domain::{DatabaseObject, Digest, ObjectList, Timestamp};

/// The objects of a database at a moment, by their digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Format: 1.
    pub version: u32,
    /// When it was taken.
    pub taken: Timestamp,
    /// Digest of owner and definition, by class and name.
    pub objects: BTreeMap<String, BTreeMap<String, Digest>>,
}

/// What a baseline says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// It was there, the same.
    Unchanged,
    /// It was there, another one.
    Changed,
    /// It was not there.
    New,
}

fn digest(object: &DatabaseObject) -> Digest {
    Digest::of(format!("{}\0{}", object.owner.as_deref().unwrap_or_default(), object.definition).as_bytes())
}

impl Baseline {
    /// Of these objects.
    pub fn of(list: &ObjectList, taken: Timestamp) -> Self {
        let mut objects: BTreeMap<String, BTreeMap<String, Digest>> = BTreeMap::new();
        for object in &list.objects {
            objects.entry(object.class.clone()).or_default().insert(object.name.clone(), digest(object));
        }
        Self { version: 1, taken, objects }
    }

    /// What became of an object since.
    pub fn since(&self, object: &DatabaseObject) -> Since {
        match self.objects.get(&object.class).and_then(|names| names.get(&object.name)) {
            Some(known) if *known == digest(object) => Since::Unchanged,
            Some(_) => Since::Changed,
            None => Since::New,
        }
    }

    /// Objects that are gone: class and name, of classes that were read now.
    pub fn gone(&self, list: &ObjectList) -> Vec<(String, String)> {
        let there: BTreeSet<_> =
            list.objects.iter().map(|object| (object.class.as_str(), object.name.as_str())).collect();
        let unread = |class: &str| list.uncovered.iter().any(|(one, _)| one == class);
        let all = self.objects.iter().flat_map(|(class, names)| names.keys().map(move |name| (class, name)));
        all.filter(|(class, name)| !unread(class) && !there.contains(&(class.as_str(), name.as_str())))
            .map(|(class, name)| (class.clone(), name.clone()))
            .collect()
    }
}

/// What the SQL of a migrations folder makes, beyond tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrations {
    /// Class and name without schema, with the text of the statement.
    made: Vec<(String, String, String)>,
}

/// Kinds of objects that a migration may make.
const MADE: [(&str, &str); 8] = [
    ("FUNCTION", "function"),
    ("PROCEDURE", "function"),
    ("TRIGGER", "trigger"),
    ("VIEW", "view"),
    ("EXTENSION", "extension"),
    ("POLICY", "policy"),
    ("RULE", "rule"),
    ("PUBLICATION", "publication"),
];

impl Migrations {
    /// Takes the text of one `migration.sql`.
    pub fn add(&mut self, text: &str, dialect: Dialect) -> Result<(), String> {
        let mut pieces = Statements::new(text.as_bytes(), dialect);
        while let Some(piece) = pieces.next_piece().map_err(|error| error.to_string())? {
            let Piece::Statement { text, .. } = piece else { continue };
            let words = words(&text, dialect);
            if !words.first().is_some_and(|word| word.is("CREATE")) {
                continue;
            }
            let kind = words.iter().take(5).enumerate().find_map(|(at, word)| {
                MADE.iter().find(|(keyword, _)| word.is(keyword)).map(|(_, class)| (at, *class))
            });
            let Some((at, class)) = kind else { continue };
            if let Some(name) = name(&words[at + 1..]) {
                self.made.push((class.to_owned(), name, text));
            }
        }
        Ok(())
    }

    /// Whether a migration makes the object: by its name, a function by its body too.
    pub fn make(&self, object: &DatabaseObject) -> bool {
        let name = plain(&object.name);
        self.made.iter().filter(|(class, made, _)| *class == object.class && *made == name).any(|(class, _, text)| {
            let body = object.definition.split_once(" body: ").map(|(_, body)| body.trim());
            class != "function" || body.is_some_and(|body| !body.is_empty() && text.contains(body))
        })
    }
}

/// The object's own name: without schema, table and arguments.
fn plain(name: &str) -> String {
    let name = name.split('(').next().unwrap_or(name);
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

/// `[IF NOT EXISTS] [schema.]name`.
fn name(words: &[Word]) -> Option<String> {
    let mut words = words.iter().skip_while(|word| ["IF", "NOT", "EXISTS"].iter().any(|keyword| word.is(keyword)));
    let mut found = words.next()?.name()?.to_owned();
    while let (Some(Word::Sign('.')), Some(next)) = (words.next(), words.next()) {
        next.name()?.clone_into(&mut found);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: &str, name: &str, definition: &str) -> DatabaseObject {
        DatabaseObject {
            class: class.into(),
            name: name.into(),
            owner: Some("app".into()),
            definition: definition.into(),
        }
    }

    fn list(objects: Vec<DatabaseObject>) -> ObjectList {
        ObjectList { objects, uncovered: Vec::new() }
    }

    #[test]
    fn a_baseline_tells_new_changed_and_gone() {
        let then = list(vec![object("view", "public.v", "SELECT 1"), object("trigger", "public.T.audit", "x")]);
        let baseline = Baseline::of(&then, Timestamp::UNIX_EPOCH);
        let text = serde_json::to_string(&baseline).unwrap();
        assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), baseline);
        assert_eq!(baseline.since(&then.objects[0]), Since::Unchanged);
        assert_eq!(baseline.since(&object("view", "public.v", "SELECT 2")), Since::Changed);
        assert_eq!(baseline.since(&object("view", "public.w", "SELECT 1")), Since::New);
        let mut now = list(vec![then.objects[0].clone()]);
        assert_eq!(baseline.gone(&now), [("trigger".to_owned(), "public.T.audit".to_owned())]);
        now.uncovered.push(("trigger".into(), "refused".into()));
        assert_eq!(baseline.gone(&now), []);
    }

    #[test]
    fn migrations_excuse_what_they_make_and_no_other_body() {
        let mut migrations = Migrations::default();
        let text = "-- CreateTable\nCREATE TABLE \"T\" (id int);\nCREATE OR REPLACE FUNCTION \"touch\"() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql;\nCREATE TRIGGER touch_t BEFORE UPDATE ON \"T\" FOR EACH ROW EXECUTE FUNCTION touch();\nCREATE EXTENSION IF NOT EXISTS \"pg_trgm\";";
        migrations.add(text, Dialect::Postgres).unwrap();
        assert!(migrations.make(&object("trigger", "public.T.touch_t", "enabled=O CREATE TRIGGER")));
        assert!(migrations.make(&object("extension", "pg_trgm", "version 1")));
        assert!(migrations.make(&object(
            "function",
            "public.touch()",
            "language=plpgsql body:  BEGIN RETURN NEW; END "
        )));
        assert!(!migrations.make(&object(
            "function",
            "public.touch()",
            "language=plpgsql body:  BEGIN PERFORM evil(); END "
        )));
        assert!(!migrations.make(&object("trigger", "public.T.spy", "x")));
    }
}
