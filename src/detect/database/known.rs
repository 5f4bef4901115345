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

    /// Whether a migration makes the object: by its name, a function by its body and rights too, a trigger by the function that it runs.
    pub fn make(&self, object: &DatabaseObject) -> bool {
        let name = plain(&object.name);
        self.made.iter().filter(|(class, made, _)| *class == object.class && *made == name).any(|(class, _, text)| {
            match class.as_str() {
                "function" => same_function(&object.definition, text),
                "trigger" => self.same_trigger(&object.definition, text),
                _ => true,
            }
        })
    }

    /// Switched on, and what it runs is what the migration names, with the body that a migration gives it.
    fn same_trigger(&self, definition: &str, text: &str) -> bool {
        if definition.starts_with("enabled=D ") || definition.starts_with("enabled=R ") {
            return false;
        }
        let Some((_, call)) = definition.split_once("EXECUTE FUNCTION ") else { return true };
        let (called, body) = call.split_once(" -- body: ").unwrap_or((call, ""));
        let called = plain(called).trim_matches('"').to_owned();
        let known = |(class, name, made): &(String, String, String)| {
            class == "function" && *name == called && made.contains(body.trim())
        };
        text.contains(&called) && (body.trim().is_empty() || self.made.iter().any(known))
    }

    /// Whether a dump's statement is of an object that a migration makes: the same body, where it has one.
    pub fn made_statement(&self, statement: &str, dialect: Dialect) -> bool {
        let found = words(statement, dialect);
        let verb = |keyword: &str| found.first().is_some_and(|word| word.is(keyword));
        let kind =
            found.iter().take(5).enumerate().find_map(|(at, word)| {
                MADE.iter().find(|(keyword, _)| word.is(keyword)).map(|(_, class)| (at, *class))
            });
        let Some((at, class)) = kind else { return false };
        let Some(name) = name(&found[at + 1..]) else { return false };
        let mut made = self.made.iter().filter(|(one, known, _)| *one == class && *known == name);
        if verb("REFRESH") {
            return made.next().is_some();
        }
        if verb("ALTER") {
            // A dump gives every object to its owner.
            return found.iter().any(|word| word.is("OWNER")) && made.next().is_some();
        }
        let has = |text: &str, keyword: &str| words(text, dialect).iter().any(|word| word.is(keyword));
        let alike = |(_, _, text): &(String, String, String)| match class {
            "function" => {
                let body = |text: &str| {
                    let texts = words(text, dialect).into_iter().filter_map(|word| match word {
                        Word::Text(body) => Some(body.trim().to_owned()),
                        _ => None,
                    });
                    texts.max_by_key(String::len)
                };
                let same = |keyword: &str| has(statement, keyword) == has(text, keyword);
                body(statement) == body(text) && same("DEFINER") && same("SET")
            }
            "trigger" => {
                let called = found.iter().skip_while(|word| !word.is("EXECUTE")).skip(2);
                let called = called.take_while(|word| **word != Word::Sign('(')).filter_map(Word::name).last();
                called.is_some_and(|called| text.contains(called))
            }
            _ => true,
        };
        verb("CREATE") && made.any(alike)
    }
}

/// The same body, and no rights or settings that the migration does not give.
fn same_function(definition: &str, text: &str) -> bool {
    let Some((head, body)) = definition.split_once(" body: ") else { return false };
    let body = body.trim();
    let upper = text.to_uppercase();
    let definer = !head.contains("security_definer=true") || upper.contains("SECURITY DEFINER");
    let config = head.split_once(" config=").map_or("", |(_, config)| config.trim());
    let set = config.is_empty() || upper.contains(" SET ") || upper.contains("\nSET ");
    let language = head.strip_prefix("language=").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let spoken = language.is_empty() || text.to_lowercase().contains(&language.to_lowercase());
    !body.is_empty() && text.contains(body) && definer && set && spoken
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

    #[test]
    fn migrations_excuse_no_other_rights_and_no_trigger_that_is_off_or_runs_another_function() {
        let mut migrations = Migrations::default();
        let text = "CREATE FUNCTION touch() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql;\nCREATE TRIGGER touch_t BEFORE UPDATE ON \"T\" FOR EACH ROW EXECUTE FUNCTION touch();";
        migrations.add(text, Dialect::Postgres).unwrap();
        let function =
            |head: &str| object("function", "public.touch()", &format!("{head} body:  BEGIN RETURN NEW; END "));
        assert!(migrations.make(&function("language=plpgsql trusted=true security_definer=false config=")));
        assert!(!migrations.make(&function("language=plpgsql trusted=true security_definer=true config=")));
        assert!(
            !migrations.make(&function("language=plpgsql trusted=true security_definer=false config=search_path=evil"))
        );
        assert!(!migrations.make(&function("language=plperlu trusted=false security_definer=false config=")));
        let trigger = |text: &str| object("trigger", "public.T.touch_t", text);
        let whole = "enabled=O CREATE TRIGGER touch_t BEFORE UPDATE ON public.\"T\" FOR EACH ROW EXECUTE FUNCTION touch() -- body:  BEGIN RETURN NEW; END ";
        assert!(migrations.make(&trigger(whole)));
        assert!(!migrations.make(&trigger(&whole.replace("enabled=O", "enabled=D"))));
        assert!(!migrations.make(&trigger(&whole.replace("FUNCTION touch", "FUNCTION evil.spy"))));
        assert!(!migrations.make(&trigger(&whole.replace("RETURN NEW", "RETURN NULL"))));
    }

    #[test]
    fn a_dump_gives_back_what_migrations_make() {
        let mut migrations = Migrations::default();
        let text = "CREATE FUNCTION touch() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql;\nCREATE TRIGGER touch_t BEFORE UPDATE ON \"T\" FOR EACH ROW EXECUTE FUNCTION touch();\nCREATE MATERIALIZED VIEW volumes AS SELECT 1;";
        migrations.add(text, Dialect::Postgres).unwrap();
        let made = |statement: &str| migrations.made_statement(statement, Dialect::Postgres);
        let function =
            "CREATE FUNCTION public.touch() RETURNS trigger\n    LANGUAGE plpgsql\n    AS $$ BEGIN RETURN NEW; END $$";
        assert!(made(function));
        assert!(!made(&function.replace("RETURN NEW", "RETURN NULL")));
        assert!(!made(&function.replace("plpgsql\n", "plpgsql SECURITY DEFINER\n")));
        let trigger =
            "CREATE TRIGGER touch_t BEFORE UPDATE ON public.\"T\" FOR EACH ROW EXECUTE FUNCTION public.touch()";
        assert!(made(trigger));
        assert!(!made(&trigger.replace("touch()", "spy()")));
        assert!(made("ALTER FUNCTION public.touch() OWNER TO postgres"));
        assert!(!made("ALTER FUNCTION public.touch() SECURITY DEFINER"));
        assert!(made("REFRESH MATERIALIZED VIEW public.volumes"));
        assert!(!made("CREATE FUNCTION public.other() RETURNS int LANGUAGE sql AS $$ select 1 $$"));
    }
}
