//! Backups that are broken or hostile: each is refused or caged with its reason, and the live server is, to the last row, role and
//! setting, what it was before.

use std::collections::BTreeMap;
use std::process::Command;

use super::{Scene, gz};
use crate::cluster::Cluster;
use crate::peers::{Postgres, address, psql};

/// What `program` prints of the server, without the words that differ on each run.
fn dumped(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let own = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
    text.lines().filter(own).collect::<Vec<_>>().join("\n")
}

/// Everything that a backup could have changed, by what it is: the live database's schema and every row, roles with their passwords,
/// memberships and settings, databases, what the server reads its configuration from.
fn everything(url: &str) -> BTreeMap<&'static str, String> {
    let sql = |sql: &str| psql(url, sql).unwrap();
    BTreeMap::from([
        // When the pause was last engaged may change: whatever became of a restore, it is engaged again.
        ("schema and rows", dumped("pg_dump", &["--exclude-table-data=portcullis.guard", "-d", url])),
        ("pause", sql("SELECT id, paused FROM portcullis.guard")),
        ("roles", dumped("pg_dumpall", &["--globals-only", "-d", url])),
        (
            "databases",
            sql(
                "SELECT d.*, pg_catalog.shobj_description(oid, 'pg_database') FROM (SELECT oid, datname, datdba, datistemplate, datallowconn, datconnlimit, datacl FROM pg_catalog.pg_database ORDER BY oid) d",
            ),
        ),
        (
            "settings",
            sql(
                "SELECT name, setting, source, sourcefile FROM pg_catalog.pg_settings WHERE source NOT IN ('client', 'session', 'override') ORDER BY name",
            ),
        ),
        ("files of settings", sql("SELECT * FROM pg_catalog.pg_file_settings")),
        ("who may log in", sql("SELECT * FROM pg_catalog.pg_hba_file_rules")),
        ("extensions", sql("SELECT * FROM pg_catalog.pg_extension ORDER BY oid")),
    ])
}

#[track_caller]
fn untouched(before: &BTreeMap<&'static str, String>, url: &str, name: &str) {
    for (what, now) in everything(url) {
        let new: Vec<_> = now.lines().filter(|line| !before[what].lines().any(|known| known == *line)).collect();
        assert!(before[what] == now, "{name} changed the {what}: {new:#?}");
    }
}

/// A statement in front of the first rows.
fn with(dump: &str, statement: &str) -> Vec<u8> {
    gz(dump.replacen("COPY public.", &format!("{statement}\nCOPY public."), 1).as_bytes())
}

/// Name, file, and a word of the reason for which it is refused.
#[allow(clippy::too_many_lines)]
fn hostile(dump: &str) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = gz(dump.as_bytes());
    let (mut flipped, mut late) = (whole.clone(), whole.clone());
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let end = late.len() - 6;
    late[end] ^= 0x55;
    let lines: Vec<&str> = dump.lines().collect();
    let head = |count: usize| gz((lines[..count].join("\n") + "\n").as_bytes());
    let rows = lines.iter().position(|line| line.starts_with("COPY public.\"Trade\"")).unwrap();
    let mut two = whole.clone();
    two.extend(gz(b"DROP TABLE public.\"Trade\";\n"));
    let mut garbage = whole.clone();
    garbage.extend(b"garbage behind");
    let evil = "CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;";
    vec![
        ("empty file", Vec::new(), "empty"),
        ("empty gzip, as a failed pipe leaves", gz(b""), "empty"),
        ("cut in the middle", whole[..whole.len() / 2].to_vec(), "readable"),
        ("cut in the last bytes", whole[..whole.len() - 3].to_vec(), "readable"),
        ("cut after the header", whole[..10].to_vec(), "readable"),
        ("a flipped bit", flipped, "readable"),
        ("a flipped bit in the checksum", late, "readable"),
        ("garbage behind", garbage, "readable"),
        ("a second member with a statement", two, "whole"),
        ("cut at a line within rows", head(rows + 20), "ends within the rows"),
        ("cut at a line before the rows", head(rows), "closing line"),
        ("cut before the end mark", head(lines.len() - 8), "closing line"),
        ("no gzip at all", b"\x7fELF not a dump".to_vec(), "refuse"),
        ("another table", gz(dump.replace("\"Trade\"", "\"Other\"").as_bytes()), "no `Trade`"),
        (
            "no rows",
            gz(b"--\nCREATE TABLE public.\"Trade\" (id integer);\n--\n-- PostgreSQL database dump complete\n--\n"),
            "is empty",
        ),
        ("a NUL byte", gz(dump.replacen("VWCE", "VW\0E", 1).as_bytes()), "NUL"),
        ("bytes that are no UTF-8", gz(&[dump.as_bytes(), b"-- \xff\xfe\nSELECT '\xff';\n"].concat()), "UTF-8"),
        (
            "another encoding",
            gz(dump.replace("client_encoding = 'UTF8'", "client_encoding = 'SJIS'").as_bytes()),
            "client_encoding",
        ),
        (
            "backslashes that escape",
            gz(dump.replace("standard_conforming_strings = on", "standard_conforming_strings = off").as_bytes()),
            "standard_conforming",
        ),
        ("COPY FROM PROGRAM", with(dump, "COPY public.\"Trade\" (id) FROM PROGRAM 'id';"), "COPY in another form"),
        ("COPY TO a file", with(dump, "COPY public.\"Trade\" (id) TO '/tmp/x';"), "COPY in another form"),
        ("a shell command", with(dump, "\\! touch owned"), "psql"),
        ("a backquoted unrestrict", with(dump, "\\unrestrict `touch owned`"), "psql"),
        ("\\gexec", with(dump, "SELECT 'DROP TABLE x' \\gexec"), "psql"),
        ("a trigger", with(dump, evil), "CREATE FUNCTION"),
        (
            "an event trigger",
            with(dump, "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.evil();"),
            "CREATE EVENT TRIGGER",
        ),
        ("a superuser", with(dump, "CREATE ROLE evil SUPERUSER LOGIN;"), "CREATE ROLE"),
        ("membership", with(dump, "GRANT pg_execute_server_program TO PUBLIC;"), "grant of a role"),
        ("an untrusted extension", with(dump, "CREATE EXTENSION dblink;"), "dblink"),
        ("DO", with(dump, "DO $$ BEGIN PERFORM 1; END $$;"), "DO"),
        ("ALTER SYSTEM", with(dump, "ALTER SYSTEM SET archive_command = 'id';"), "ALTER SYSTEM"),
        (
            "a default that calls",
            with(
                dump,
                "ALTER TABLE public.\"Account\" ALTER COLUMN name SET DEFAULT set_config('role', 'postgres', false);",
            ),
            "set_config",
        ),
        (
            "an index that calls",
            with(dump, "CREATE INDEX i ON public.\"Account\" USING btree (query_to_xml(name));"),
            "query_to_xml",
        ),
        (
            "a check that calls",
            with(dump, "ALTER TABLE public.\"Account\" ADD CONSTRAINT c CHECK (public.evil(name));"),
            "evil",
        ),
        ("a view", with(dump, "CREATE VIEW public.v AS SELECT 1;"), "CREATE VIEW"),
        ("a row with a column too many", gz(dump.replacen("acc_1\t", "acc_1\tx\t", 1).as_bytes()), "columns"),
        ("rows for an unknown table", with(dump, "COPY public.nowhere (id) FROM stdin;\n1\n\\."), "does not make"),
    ]
}

#[test]
fn broken_and_hostile_backups_are_refused_and_the_live_database_is_not_touched() {
    if address("PORTCULLIS_TEST_DATABASE_URL").is_none() {
        return;
    }
    // A server of its own: what others do meanwhile would be seen as well.
    let cluster = Cluster::start("scram-sha-256", "hostile");
    let url = format!("postgres://postgres:hostile@127.0.0.1:{}/postgres", cluster.port);
    psql(&url, "CREATE DATABASE trading").unwrap();
    psql(&url, "CREATE ROLE app LOGIN PASSWORD 'app'; ALTER ROLE app SET statement_timeout = '30s'").unwrap();
    let place = format!("127.0.0.1:{}", cluster.port);
    let scene = Scene::on(Postgres {
        url: format!("postgres://postgres:hostile@{place}/trading"),
        place,
        name: "trading".into(),
    });
    scene.open();
    let url = &scene.postgres.url;
    let before = everything(url);
    let dump = scene.dump();
    let cases = hostile(&dump);
    assert!(cases.len() >= 30);
    for (name, bytes, reason) in cases {
        let path = scene.write("db_backup_20261124_000000.sql.gz", &bytes);
        let ran = scene.run(&["restore", &path, "--yes"]);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(1), "{name}: {said}");
        assert!(said.contains(reason), "{name}: `{reason}` in: {said}");
        untouched(&before, url, name);
    }
    // What only the server can refuse ends in the database beside, and nothing of it stays.
    for (hour, (name, bytes, reason)) in (1..).zip([
        (
            "a row without its account",
            gz(dump.replacen("\tacc_2\t", "\tacc_9\t", 1).as_bytes()),
            "violates foreign key",
        ),
        ("an id twice", gz(dump.replacen("\n2\tacc_3", "\n1\tacc_3", 1).as_bytes()), "could not create unique index"),
        (
            "a broken invariant",
            gz(dump.replacen("VWCE\tSELL\t2.00000000", "VWCE\tSELL\t-2.00000000", 1).as_bytes()),
            "invariant quantities",
        ),
        ("a number that is none", gz(dump.replacen("\t100.00000000", "\tx", 1).as_bytes()), "invalid input syntax"),
        (
            "a sequence behind its ids",
            gz(dump.replace("\"Trade_id_seq\"', 200", "\"Trade_id_seq\"', 7").as_bytes()),
            "behind the ids",
        ),
        ("the dump itself", gz(dump.as_bytes()), ""),
    ]) {
        let path = scene.write(&format!("db_backup_20261124_{hour:02}0000.sql.gz"), &bytes);
        let ran = scene.run(&["restore", &path, "--yes"]);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        if reason.is_empty() {
            // The dump itself, for comparison: it would have been restored.
            assert_eq!(ran.code, Some(0), "{name}: {said}");
            continue;
        }
        assert_eq!(ran.code, Some(5), "{name}: {said}");
        assert!(said.contains(reason), "{name}: `{reason}` in: {said}");
        untouched(&before, url, name);
    }
    assert!(!scene.root.path().join("owned").exists());
}
