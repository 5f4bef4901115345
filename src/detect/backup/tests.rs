use proptest::prelude::*;

use super::Literal::{Blob, Integer, Null, Real, Text};
use super::*;
use crate::domain::guard::{POSTGRES_BODY, SQLITE_TABLE, sqlite_trigger};

const SQLITE: &str = "PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE IF NOT EXISTS \"Account\" (\"id\" TEXT NOT NULL PRIMARY KEY, \"name\" TEXT DEFAULT 'a;b');
INSERT INTO Account VALUES('acc_1','O''Brien; \"x\" -- no comment');
INSERT INTO Account VALUES('acc_2',replace('two\\nlines','\\n',char(10)));
CREATE TABLE \"Trade\" (id INTEGER PRIMARY KEY AUTOINCREMENT, value DECIMAL, note TEXT);
INSERT INTO Trade VALUES(1,120000.5,NULL);
INSERT INTO Trade VALUES(2,-1.5e+20,X'00ff');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('Trade',2);
CREATE INDEX t_value ON Trade(value);
COMMIT;
";

const POSTGRES: &str = "--
-- PostgreSQL database dump
--

\\restrict aB3dE

-- Dumped from database version 15.18
-- Started on 2026-11-24 01:02:03 UTC

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TYPE public.\"Side\" AS ENUM ('BUY', 'SELL');
CREATE TABLE public.\"Trade\" (
    id integer NOT NULL,
    note text DEFAULT 'a;b'::text,
    CONSTRAINT c CHECK ((id > 0))
);
ALTER TABLE public.\"Trade\" OWNER TO app;
COPY public.\"Trade\" (id, note) FROM stdin;
1\tsemi;colon 'quote
2\t\\N
3\ttab\\tand \\\\ and DROP TABLE x;
\\.
SELECT pg_catalog.setval('public.\"Trade_id_seq\"', 3, true);
ALTER TABLE ONLY public.\"Trade\"
    ADD CONSTRAINT \"Trade_pkey\" PRIMARY KEY (id);
GRANT SELECT ON TABLE public.\"Trade\" TO reader;

-- Completed on 2026-11-24 01:02:05 UTC

--
-- PostgreSQL database dump complete
--

\\unrestrict aB3dE

";

fn read(text: &str, dialect: Dialect) -> Survey {
    survey(text.as_bytes(), dialect).unwrap()
}

fn indicators(list: &str) -> crate::detect::indicators::Indicators {
    let mut reader = crate::detect::indicators::Reader::default();
    reader.read("list.txt", list.as_bytes());
    reader.finish()
}

#[test]
fn indicators_are_found_where_they_stand() {
    let list = indicators("# level: low\nsemi;colon\n# level: critical\ntab\tand \\\\ and\n# level: high\nO'Brien\n");
    let seen = |text: &str, dialect| {
        let seen = survey_for(text.as_bytes(), dialect, &list).unwrap();
        let one = |sighting: &Sighting| {
            let place = sighting.place.as_ref().map(|(table, column)| format!("{table}.{column}"));
            (sighting.indicator.clone(), sighting.line, place.unwrap_or_default(), sighting.count)
        };
        (seen.sightings.iter().map(one).collect::<Vec<_>>(), seen.sighted)
    };
    let (found, count) = seen(POSTGRES, Dialect::Postgres);
    assert_eq!(found.last().unwrap(), &("semi;colon".to_owned(), 22, "Trade.note".to_owned(), 1), "{found:?}");
    assert_eq!(count, found.len() as u64);
    let (found, _) = seen(SQLITE, Dialect::Sqlite);
    assert_eq!(found, [("O'Brien".to_owned(), 4, "Account.column 2".to_owned(), 1)]);
    // In a statement, whether or not it may be run.
    let (found, _) =
        seen("COMMENT ON TABLE x IS 'semi;colon';\nCREATE RULE \"semi;colon\" AS ON SELECT;", Dialect::Postgres);
    assert_eq!(found, [("semi;colon".to_owned(), 1, String::new(), 2)]);
    assert_eq!(survey(POSTGRES.as_bytes(), Dialect::Postgres).unwrap().sighted, 0);
}

proptest! {
    /// What stands in a cell is found at its line and column, whatever stands around it.
    #[test]
    fn a_planted_cell_is_found(rows in prop::collection::vec("[a-z ;.:0-9]{0,12}", 1..40), at in 0_usize..40, before in "[ (,]?") {
        let at = at % rows.len();
        let mut text = String::from("CREATE TABLE public.t (\n    a text,\n    b text\n);\nCOPY public.t (a, b) FROM stdin;\n");
        for (number, row) in rows.iter().enumerate() {
            let row = if number == at { format!("{before}203.0.113.7") } else { row.clone() };
            text.push_str(&format!("{number}\t{row}\n"));
        }
        text.push_str("\\.\n");
        let list = indicators("203.0.113.7\n");
        let seen = survey_for(text.as_bytes(), Dialect::Postgres, &list).unwrap();
        let places: Vec<_> = seen.sightings.iter().map(|sighting| (sighting.line, sighting.place.clone())).collect();
        prop_assert_eq!(places, [(6 + at as u64, Some(("t".to_owned(), "b".to_owned())))]);
    }
}

#[test]
fn whole_dumps_are_clean_and_counted() {
    let sqlite = read(SQLITE, Dialect::Sqlite);
    assert_eq!((sqlite.suspicions, sqlite.incomplete), (vec![], None));
    assert_eq!(sqlite.tables.iter().map(|(n, c)| (n.as_str(), *c)).collect::<Vec<_>>(), [("Account", 2), ("Trade", 2)]);
    let postgres = read(POSTGRES, Dialect::Postgres);
    assert_eq!((postgres.suspicions, postgres.incomplete), (vec![], None));
    assert_eq!(postgres.tables["Trade"], 3);
    assert_eq!(postgres.started.as_deref(), Some("2026-11-24 01:02:03 UTC"));
    assert_eq!(Dialect::guess(SQLITE.as_bytes()), Dialect::Sqlite);
    assert_eq!(Dialect::guess(POSTGRES.as_bytes()), Dialect::Postgres);
}

#[test]
fn a_dump_cut_at_any_line_is_incomplete() {
    for (text, dialect, end) in [(SQLITE, Dialect::Sqlite, "COMMIT;"), (POSTGRES, Dialect::Postgres, "dump complete")] {
        let whole = text.find(end).unwrap() + end.len();
        for (at, _) in text.match_indices('\n').filter(|(at, _)| *at < whole) {
            assert!(read(&text[..at], dialect).incomplete.is_some(), "cut at {at}: {}", &text[..at]);
        }
    }
    let after = format!("{POSTGRES}INSERT INTO public.\"Trade\" VALUES (9, 'x');\n");
    assert!(read(&after, Dialect::Postgres).incomplete.is_some(), "something follows the end mark");
    let rolled = SQLITE.replace("COMMIT;", "ROLLBACK; -- due to errors");
    assert!(read(&rolled, Dialect::Sqlite).incomplete.is_some());
}

#[test]
fn what_an_intruder_leaves_in_sqlite_is_named() {
    for (planted, what) in [
        ("CREATE TRIGGER t AFTER INSERT ON Trade BEGIN UPDATE Account SET name = 'x'; END;", "CREATE TRIGGER"),
        ("CREATE TEMP TRIGGER t AFTER INSERT ON Trade BEGIN SELECT 1; SELECT 2; END;", "CREATE TEMP TRIGGER"),
        ("CREATE VIEW v AS SELECT * FROM Trade;", "CREATE VIEW"),
        ("ATTACH 'x.db' AS x;", "ATTACH"),
        ("PRAGMA writable_schema=ON;", "PRAGMA"),
        ("SELECT load_extension('./x.so');", "load_extension"),
        ("CREATE TABLE x AS SELECT * FROM Trade;", "a query"),
        ("CREATE TABLE x (a DEFAULT (writefile('x', 'y')));", "writefile"),
        ("CREATE VIRTUAL TABLE x USING fts5(a);", "CREATE VIRTUAL"),
        ("INSERT INTO Trade SELECT * FROM Trade;", "plain values"),
        ("INSERT INTO Trade VALUES(load_extension('x'),1,2);", "plain values"),
        ("INSERT INTO sqlite_schema VALUES('trigger','x','x',0,'y');", "schema table"),
        ("INSERT INTO Elsewhere VALUES(1);", "does not make"),
        ("DROP TABLE Trade;", "DROP TABLE"),
    ] {
        let text = SQLITE.replace("COMMIT;", &format!("{planted}\nCOMMIT;"));
        let survey = read(&text, Dialect::Sqlite);
        assert_eq!(survey.suspicious, 1, "{planted}: {:?}", survey.suspicions);
        assert!(survey.suspicions[0].what.contains(what), "{planted}: {}", survey.suspicions[0].what);
        assert_eq!((survey.suspicions[0].line, survey.incomplete), (12, None));
    }
}

#[test]
fn what_an_intruder_leaves_in_postgresql_is_named() {
    for (planted, what) in [
        ("CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN; END; $$;", "CREATE FUNCTION"),
        (
            "CREATE TRIGGER t AFTER INSERT ON public.\"Trade\" FOR EACH ROW EXECUTE FUNCTION public.f();",
            "CREATE TRIGGER",
        ),
        ("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.f();", "CREATE EVENT TRIGGER"),
        ("CREATE EXTENSION dblink;", "CREATE EXTENSION dblink"),
        ("DO $x$ BEGIN PERFORM 1; END $x$;", "DO"),
        ("CREATE ROLE evil SUPERUSER;", "CREATE ROLE"),
        ("GRANT pg_execute_server_program TO app;", "grant of a role"),
        ("COPY public.\"Trade\" FROM PROGRAM 'id';", "COPY in another form"),
        ("COPY public.\"Trade\" (id, note) TO '/tmp/x';", "COPY in another form"),
        ("SELECT pg_read_file('/etc/passwd');", "pg_read_file"),
        ("SELECT pg_catalog.set_config('session_preload_libraries', 'x', false);", "a SELECT"),
        ("SET session_preload_libraries = 'x';", "SET session_preload_libraries"),
        ("SET standard_conforming_strings = off;", "standard_conforming_strings"),
        ("ALTER SYSTEM SET archive_command = 'id';", "ALTER SYSTEM"),
        ("ALTER TABLE public.\"Trade\" DISABLE TRIGGER ALL;", "triggers"),
        ("CREATE POLICY p ON public.\"Trade\" USING (true);", "CREATE POLICY"),
        ("CREATE RULE r AS ON INSERT TO public.\"Trade\" DO ALSO DELETE FROM x;", "CREATE RULE"),
        ("\\! id", "psql"),
        ("\\unrestrict `id`", "psql"),
        ("INSERT INTO public.\"Trade\" VALUES (1, evil());", "plain values"),
        ("INSERT INTO public.\"Trade\" SELECT 1, 'x';", "plain values"),
        ("INSERT INTO public.\"Trade\" VALUES (E'\\'', evil(), E'\\'');", "plain values"),
        ("INSERT INTO public.\"Trade\" VALUES (x[evil()]);", "plain values"),
        ("INSERT INTO public.\"Trade\" VALUES (1, `x`) RETURNING evil();", "plain values"),
        ("SELECT 1 \\gexec", "psql"),
    ] {
        let text = POSTGRES.replace("GRANT SELECT", &format!("{planted}\nGRANT SELECT"));
        let survey = read(&text, Dialect::Postgres);
        assert!(survey.suspicious >= 1, "{planted}");
        assert!(survey.suspicions.iter().any(|s| s.what.contains(what)), "{planted}: {:?}", survey.suspicions);
    }
}

#[test]
fn rows_that_psql_could_take_for_statements_are_named() {
    for (from, to) in [
        ("COPY public.\"Trade\" (id, note)", "COPY public.\"Nowhere\" (id, note)"),
        ("COPY public.\"Trade\" (id, note)", "COPY public.\"Trade\" (id, nothing)"),
        ("2\t\\N", "\\! id\t2"),
        ("2\t\\N", "DROP TABLE x;"),
    ] {
        let survey = read(&POSTGRES.replace(from, to), Dialect::Postgres);
        assert!(survey.suspicious > 0, "{from} -> {to}");
    }
}

#[test]
fn only_the_guards_own_words_are_the_guard() {
    let (_, trigger) = sqlite_trigger("Trade", "INSERT");
    let sqlite = |trigger: &str| {
        let guard = format!("{SQLITE_TABLE};\nINSERT INTO portcullis_guard VALUES(1,0,'t','install');\n{trigger};\n");
        read(&SQLITE.replace("COMMIT;", &format!("{guard}COMMIT;")), Dialect::Sqlite)
    };
    let clean = sqlite(&trigger);
    assert_eq!((clean.suspicious, clean.incomplete), (0, None));
    assert!(!clean.tables.contains_key("portcullis_guard"));
    assert_eq!(sqlite(&trigger.replace("IS NOT 0", "IS 7")).suspicious, 1);
    assert_eq!(sqlite(&trigger.replace("END", "SELECT 1; END")).suspicious, 1);

    let guard = |body: &str| {
        format!(
            "CREATE FUNCTION portcullis.refuse_while_paused() RETURNS trigger\n    LANGUAGE plpgsql\n    AS $$\n{body}\n$$;\n\
             ALTER FUNCTION portcullis.refuse_while_paused() OWNER TO postgres;\n\
             CREATE TABLE portcullis.withheld (\n    grantee text NOT NULL\n);\nCOPY portcullis.withheld (grantee) FROM stdin;\napp\n\\.\n\
             CREATE TRIGGER aa_portcullis_guard BEFORE INSERT OR DELETE OR UPDATE ON public.\"Trade\" FOR EACH ROW EXECUTE FUNCTION portcullis.refuse_while_paused();\n\
             ALTER TABLE public.\"Trade\" ENABLE ALWAYS TRIGGER aa_portcullis_guard;\n\
             CREATE TRIGGER aa_portcullis_truncate BEFORE TRUNCATE ON public.\"Trade\" FOR EACH STATEMENT EXECUTE FUNCTION portcullis.refuse_while_paused();\n\
             ALTER TABLE public.\"Trade\" ENABLE ALWAYS TRIGGER aa_portcullis_truncate;\n"
        )
    };
    let read_with =
        |guard: &str| read(&POSTGRES.replace("GRANT SELECT", &format!("{guard}GRANT SELECT")), Dialect::Postgres);
    let postgres = |body: &str| read_with(&guard(body));
    let whole = postgres(POSTGRES_BODY);
    assert_eq!(whole.suspicions, []);
    assert!(!whole.tables.contains_key("portcullis.withheld"));
    for (from, to) in [
        ("ENABLE ALWAYS TRIGGER aa_portcullis_guard", "ENABLE REPLICA TRIGGER aa_portcullis_guard"),
        ("BEFORE INSERT OR DELETE OR UPDATE", "AFTER INSERT OR DELETE OR UPDATE"),
        ("FOR EACH ROW EXECUTE", "FOR EACH ROW WHEN (false) EXECUTE"),
        ("BEFORE TRUNCATE", "BEFORE INSERT"),
        ("    LANGUAGE plpgsql", "    LANGUAGE plpgsql SECURITY DEFINER"),
        ("CREATE FUNCTION portcullis.refuse_while_paused()", "CREATE FUNCTION portcullis.other()"),
    ] {
        let altered = guard(POSTGRES_BODY).replacen(from, to, 1);
        assert_eq!(read_with(&altered).suspicious, 1, "{from} -> {to}");
    }
    assert_eq!(postgres(&POSTGRES_BODY.replace("RAISE EXCEPTION", "RAISE NOTICE")).suspicious, 1);
}

#[test]
fn strings_comments_and_dollars_do_not_hide_statements() {
    for hidden in ["/* */ATTACH 'x' AS y;", "-- x\nATTACH 'x' AS y;", "/* /* */ ATTACH 'x' AS y; -- */\n"] {
        let survey = read(&SQLITE.replace("COMMIT;", &format!("{hidden}\nCOMMIT;")), Dialect::Sqlite);
        assert_eq!(survey.suspicious, 1, "{hidden}");
    }
    for hidden in [
        "COMMENT ON TABLE x IS 'it\\'; DO $$x$$; --';",
        "COMMENT ON TABLE x IS E'it\\'s'; DO $$x$$;",
        "COMMENT ON TABLE x IS $a$ ; $a$; DO $$x$$;",
        "/* /* */ */ DO $$x$$;",
    ] {
        let survey = read(&POSTGRES.replace("GRANT SELECT", &format!("{hidden}\nGRANT SELECT")), Dialect::Postgres);
        assert!(survey.suspicions.iter().any(|s| s.what == "DO"), "{hidden}: {:?}", survey.suspicions);
    }
}

#[test]
fn values_are_read_exactly() {
    let insert = parse_insert(
        "INSERT INTO \"T\"(a,b) VALUES(-7,'it''s'),(1e999,X'00fF'),(replace(replace('a\\nb\\r','\\n',char(10)),'\\r',char(13)),NULL),(unistr('x\\000a\\\\'),-1.5e-3),(9223372036854775808,0)",
    )
    .unwrap();
    assert_eq!((insert.table.as_str(), insert.columns), ("T", vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(
        insert.rows,
        [
            [Integer(-7), Text("it's".into())],
            [Real(f64::INFINITY), Blob(vec![0, 255])],
            [Text("a\nb\r".into()), Null],
            [Text("x\n\\".into()), Real(-1.5e-3)],
            [Real(9_223_372_036_854_775_808.0), Integer(0)],
        ]
    );
    for wrong in ["INSERT INTO t VALUES(a)", "INSERT INTO t VALUES(1", "INSERT INTO t VALUES(1);x", "INSERT INTO t"] {
        assert_eq!(parse_insert(wrong), None, "{wrong}");
    }
}

#[test]
fn damaged_bytes_are_errors_and_limits_hold() {
    assert!(matches!(survey(&b"SELECT 'a\0b';"[..], Dialect::Postgres), Err(DumpError::Nul { line: 1 })));
    assert!(matches!(survey(&b"\nSELECT '\xff';"[..], Dialect::Postgres), Err(DumpError::NotUtf8 { line: 2 })));
    let mut cut = Vec::new();
    {
        use std::io::Write;
        let mut gz = flate2::write::GzEncoder::new(&mut cut, flate2::Compression::fast());
        gz.write_all(SQLITE.as_bytes()).unwrap();
        gz.finish().unwrap();
    }
    let half = flate2::read::MultiGzDecoder::new(&cut[..cut.len() / 2]);
    assert!(matches!(survey(half, Dialect::Sqlite), Err(DumpError::Read { .. })));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ -~\\n\\t$;'\"\\\\äCREATTIGNDO]{0,200}") {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let _ = survey(text.as_bytes(), dialect);
            let _ = words(&text, dialect);
            let _ = words(&format!("x[{text}"), dialect);
            let _ = parse_insert(&format!("INSERT INTO t VALUES({text})"));
        }
    }

    #[test]
    fn any_text_survives_as_a_value(value in "\\PC{0,60}") {
        let quoted = value.replace('\'', "''");
        let insert = parse_insert(&format!("INSERT INTO t VALUES('{quoted}')")).unwrap();
        prop_assert_eq!(&insert.rows[0][0], &Text(value.clone()));
        let dump = SQLITE.replace("'acc_2'", &format!("'{quoted}'"));
        let seen = survey(dump.as_bytes(), Dialect::Sqlite).unwrap();
        prop_assert_eq!((seen.suspicious, seen.tables["Account"], seen.incomplete), (0, 2, None));
    }
}
