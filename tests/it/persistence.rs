//! `scan database` on a real server and on a dump, and what people decide of findings.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use portcullis::adapters::login::Login;
use portcullis::adapters::postgres::PostgresDatabase;
use portcullis::detect::database::DatabasePolicy;
use portcullis::domain::Finding;
use portcullis::engine::scan_database::run as scan;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::peers::Postgres;
use crate::support::{case_folder, deployment, embedded, folder, run, wait};

/// What Prisma makes of a small schema.
const PRISMA: &str = r#"
    CREATE TYPE "Side" AS ENUM ('BUY', 'SELL');
    CREATE TABLE "Account" ("id" TEXT NOT NULL, "name" TEXT NOT NULL DEFAULT 'new', "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, CONSTRAINT "Account_pkey" PRIMARY KEY ("id"));
    CREATE TABLE "Trade" ("id" BIGSERIAL PRIMARY KEY, "accountId" TEXT NOT NULL REFERENCES "Account"("id"), "side" "Side" NOT NULL, "quantity" DECIMAL(18,8) NOT NULL CHECK ("quantity" > 0), "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP);
    CREATE INDEX "Trade_createdAt_idx" ON "Trade" ("createdAt") WHERE "quantity" > 100;
    CREATE VIEW "Volume" AS SELECT "accountId", sum("quantity") AS total FROM "Trade" GROUP BY 1;"#;

/// Classes of the whole server, which other tests share.
const SHARED: [&str; 6] = ["role", "membership", "setting", "hba", "role_setting", "replication_slot"];

fn found(server: &Postgres) -> Vec<Finding> {
    let database = PostgresDatabase::new(Login::new(server.url.parse().unwrap(), Box::new(Vec::new)));
    let result = wait(scan(&database, &DatabasePolicy::default())).unwrap();
    assert_eq!(result.uncovered, []);
    result.findings
}

fn text<'a>(finding: &'a Finding, field: &str) -> &'a str {
    finding.event[field].as_str().unwrap()
}

#[test]
// A list of what is planted.
#[allow(clippy::too_many_lines)]
fn every_way_to_persist_is_found_on_a_real_server_and_nothing_in_a_clean_one() {
    let Some(server) = Postgres::fresh("persistence") else { return };
    server.sql(PRISMA);
    let own = |finding: &&Finding| !SHARED.contains(&text(finding, "class"));
    let clean: Vec<_> =
        found(&server).iter().filter(own).map(|one| (one.rule.id.clone(), text(one, "name").to_owned())).collect();
    assert_eq!(clean, []);

    let role = format!("eve_{}", server.name);
    // Each plant, the rule that must say so, and a part of the object's name.
    let plants: Vec<(String, &str, String)> = [
        ("CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "db-function", "public.quiet"),
        (r#"CREATE TRIGGER spy AFTER INSERT ON "Trade" FOR EACH ROW EXECUTE FUNCTION quiet()"#, "db-trigger", "Trade.spy"),
        (r#"CREATE TRIGGER asleep AFTER INSERT ON "Account" FOR EACH ROW EXECUTE FUNCTION quiet(); ALTER TABLE "Account" DISABLE TRIGGER asleep"#, "db-disabled-trigger", "Account.asleep"),
        ("CREATE FUNCTION up() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "db-security-definer", "public.up"),
        ("CREATE FUNCTION shell() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'COPY (SELECT 1) TO ' || 'PROGRAM ''id'''; END$$", "db-copy-program", "public.shell"),
        ("CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION on_ddl()", "db-event-trigger", "watcher"),
        (r#"CREATE RULE hide AS ON DELETE TO "Account" DO INSTEAD NOTHING"#, "db-rule", "Account.hide"),
        (r#"CREATE POLICY sight ON "Account" USING ("id" <> 'eve'); ALTER TABLE "Account" ENABLE ROW LEVEL SECURITY"#, "db-row-policy", "Account.sight"),
        ("CREATE EXTENSION dblink", "db-extension", "dblink"),
        (r#"ALTER TABLE "Account" ALTER "name" SET DEFAULT pg_read_file('/etc/hostname')"#, "db-calling-expression", "Account.name"),
        (r#"ALTER TABLE "Account" ADD CONSTRAINT odd CHECK (set_config('a.b', "id", false) <> '')"#, "db-calling-expression", "Account.odd"),
        ("CREATE EXTENSION postgres_fdw", "db-extension", "postgres_fdw"),
        ("CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '203.0.113.66')", "db-foreign-server", "elsewhere"),
        ("CREATE USER MAPPING FOR postgres SERVER elsewhere OPTIONS (user 'x', password 'y')", "db-user-mapping", "elsewhere for postgres"),
        ("CREATE FOREIGN TABLE copy_of (a int) SERVER elsewhere", "db-foreign-table", "public.copy_of"),
        ("CREATE PUBLICATION leak FOR ALL TABLES", "db-publication", "leak"),
        ("CREATE SUBSCRIPTION feed_NAME CONNECTION 'host=127.0.0.1 dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE, enabled = false)", "db-subscription", "feed_NAME"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "db-default-rights", "postgres r"),
        ("SELECT pg_create_physical_replication_slot('slot_NAME')", "db-replication-slot", "slot_NAME"),
        ("CREATE ROLE MALLORY SUPERUSER", "db-superuser", "MALLORY"),
        ("CREATE ROLE MALLORY_2 REPLICATION CREATEROLE", "db-powerful-role", "MALLORY_2"),
        ("GRANT pg_execute_server_program TO MALLORY_2", "db-server-role", "MALLORY_2 in pg_execute_server_program"),
        ("GRANT MALLORY TO MALLORY_2 WITH ADMIN OPTION", "db-superuser", "MALLORY_2 in MALLORY"),
        ("CREATE ROLE MALLORY_3; GRANT MALLORY_3 TO MALLORY_2 WITH ADMIN OPTION", "db-admin-option", "MALLORY_2 in MALLORY_3"),
        ("ALTER ROLE MALLORY_2 SET search_path = attacker, public", "db-role-setting", "MALLORY_2 in all databases"),
    ]
    .into_iter()
    .map(|(sql, rule, name)| {
        let filled = |text: &str| text.replace("MALLORY", &role).replace("NAME", &server.name);
        (filled(sql), rule, filled(name))
    })
    .collect();
    for (sql, ..) in &plants {
        server.sql(sql);
    }
    let all = found(&server);
    let missed: Vec<_> = plants
        .iter()
        .filter(|(_, rule, name)| {
            !all.iter().any(|one| one.rule.id == *rule && text(one, "name").contains(name.as_str()))
        })
        .map(|(_, rule, name)| (rule, name))
        .collect();
    // What one test leaves in the server, others would find.
    server.sql(&format!("SELECT pg_drop_replication_slot('slot_{}')", server.name));
    server.sql(&format!("DROP SUBSCRIPTION feed_{}", server.name));
    for left in ["_3", "_2", ""] {
        server.sql(&format!("DROP ROLE {role}{left}"));
    }
    assert_eq!(missed, Vec::<(&&str, &String)>::new(), "{all:#?}");
    // Whatever can be removed by a statement says it, and the statement is right.
    let mut removed = BTreeSet::new();
    for (rule, name) in [
        ("db-event-trigger", "watcher"),
        ("db-publication", "leak"),
        ("db-extension", "dblink"),
        ("db-foreign-server", "elsewhere"),
        ("db-trigger", "spy"),
        ("db-disabled-trigger", "asleep"),
        ("db-security-definer", "up()"),
    ] {
        let one = all.iter().find(|one| one.rule.id == rule && text(one, "name").contains(name)).unwrap();
        let remove = one.matched["remove"].as_str().unwrap();
        server.sql(remove);
        removed.insert(one.id.clone());
    }
    let left: BTreeSet<_> = found(&server).into_iter().map(|one| one.id).collect();
    assert_eq!(left.intersection(&removed).count(), 0);
}

fn gz(path: &Path, text: &str) {
    let mut file = flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    file.write_all(text.as_bytes()).unwrap();
    file.finish().unwrap();
}

/// A dump of that little, as `pg_dump` writes it.
fn dump(more: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.18\n-- Dumped by pg_dump version 15.18\n\nSET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n\n\
         CREATE TABLE public.\"Trade\" (\n    id bigint NOT NULL,\n    symbol text NOT NULL\n);\n\n{more}COPY public.\"Trade\" (id, symbol) FROM stdin;\n1\tBTC-USD\n2\t\\\\! id\n\\.\n\n\nALTER TABLE ONLY public.\"Trade\"\n    ADD CONSTRAINT \"Trade_pkey\" PRIMARY KEY (id);\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
    )
}

#[test]
fn a_dump_is_read_as_text_and_what_it_need_not_hold_is_found() {
    let folder = folder();
    let root = folder.path().join("d");
    drop(deployment(&root, 31));
    let scan = |name: &str, text: &str| {
        let path = root.join(name);
        if path.extension().is_some_and(|extension| extension == "gz") {
            gz(&path, text);
        } else {
            std::fs::write(&path, text).unwrap();
        }
        embedded(&root, &["--format", "json", "scan", "database", "--dump", &path.display().to_string()])
    };
    for name in ["clean.sql", "clean.sql.gz"] {
        let ran = scan(name, &dump("")).expect(0);
        assert_eq!(ran.of_type("summary")[0]["findings"], 0, "{ran:?}");
    }
    let evil = "CREATE FUNCTION public.f() RETURNS trigger\n    LANGUAGE plpgsql\n    AS $$BEGIN COPY t TO PROGRAM 'id'; END$$;\n\nCREATE TRIGGER spy AFTER INSERT ON public.\"Trade\" FOR EACH ROW EXECUTE FUNCTION public.f();\n\n\\! touch /tmp/owned\n\n";
    let ran = scan("evil.sql.gz", &dump(evil)).expect(3);
    let lines: Vec<_> = ran.of_type("finding").iter().map(|one| one["source"]["line"].as_u64().unwrap()).collect();
    let text = dump(evil);
    let line = |part: &str| text.lines().position(|line| line.contains(part)).unwrap() as u64 + 1;
    for part in ["CREATE FUNCTION", "CREATE TRIGGER", "\\! touch"] {
        assert!(lines.contains(&line(part)), "{part}: {lines:?} {ran:?}");
    }
    // Half a dump is no clean dump.
    let cut = dump("");
    let ran = scan("cut.sql", &cut[..cut.find("\\.").unwrap()]).expect(5);
    assert!(ran.of_type("summary")[0]["uncovered"][0]["reason"].as_str().is_some(), "{ran:?}");
    let missing =
        run(&root, &["--embedded", &root.display().to_string(), "scan", "database", "--dump", "no.sql"]).expect(1);
    assert!(missing.stderr.contains("failed to read no.sql"), "{}", missing.stderr);
}

/// Three trades of a key that never was, and one far over every limit.
fn rogue(root: &Path) {
    wait(async {
        let mut connection = SqliteConnectOptions::new().filename(root.join("trading.db")).connect().await.unwrap();
        for (key, value) in [("ghost_1", "10"), ("ghost_2", "10"), ("ghost_3", "10"), ("ghost_4", "99999999999")] {
            let sql = format!(
                "INSERT INTO \"Trade\" (accountId, apiKeyId, symbol, side, quantity, price, value, status, createdAt, updatedAt) \
                 SELECT accountId, '{key}', symbol, side, '1', '{value}', '{value}', status, createdAt, updatedAt FROM \"Trade\" ORDER BY id DESC LIMIT 1"
            );
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
    });
}

#[test]
fn findings_are_decided_on_by_id_file_rule_and_level() {
    let folder = folder();
    let root = folder.path().join("d");
    drop(deployment(&root, 32));
    rogue(&root);
    embedded(&root, &["lockdown", "--reason", "trades of unknown keys", "--yes"]).expect(0);
    let found = embedded(&root, &["--format", "json", "scan", "trades"]).expect(3).of_type("finding");
    let ids = |rule: &str| -> Vec<String> {
        found.iter().filter(|one| one["rule"]["id"] == rule).map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let ghosts = ids("unknown-key");
    assert_eq!(ghosts.len(), 4, "{found:?}");
    let decide = |words: &[&str]| {
        let all = [&["--format", "json", "incident", "dispose"], words, &["--note", "looked at"]].concat();
        embedded(&root, &all)
    };
    let decided = |words: &[&str]| -> BTreeSet<String> {
        decide(words).expect(0).of_type("finding").iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<String>>();
    // A file of ids with a remark and an empty line, then lines of findings.
    let file = root.join("ids.txt");
    let path = file.display().to_string();
    std::fs::write(&file, format!("# of the night\n{}   the first one\n\n{}\n", ghosts[0], &ghosts[1][..8])).unwrap();
    assert_eq!(decided(&["--file", &path, "--as", "confirmed"]), set(&ghosts[..2]));
    std::fs::write(&file, format!("{{\"type\":\"finding\",\"id\":\"{}\"}}\n", ghosts[2])).unwrap();
    assert_eq!(decided(&["--file", &path, "--as", "unknown"]), set(&ghosts[2..3]));
    for (text, says) in [
        ("{\"no\":1}\n", "ids.txt:1: no id of a finding"),
        ("0000000000000000\n", "the case has no finding 0000000000000000"),
        ("abc\n", "the case has no finding abc"),
    ] {
        std::fs::write(&file, text).unwrap();
        let ran = decide(&["--file", &path, "--as", "benign"]).expect(2);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    // By rule; then what is open at most at a level; then nothing is left that nobody decided on.
    assert_eq!(decided(&["--rule", "unknown-key", "--open", "--as", "confirmed"]), set(&ghosts[3..]));
    assert!(decide(&["--rule", "no-such-rule", "--as", "benign"]).expect(2).stderr.contains("no finding is meant"));
    let low = decided(&["--rule", "over-limit", "--at-most", "high", "--as", "confirmed"]);
    assert_eq!(low, set(&ids("over-limit")));
    let _ = decide(&["--open", "--as", "confirmed"]);
    decide(&["--open", "--as", "confirmed"]).expect(2);
    // Each decision is in the ledger, with who made it.
    let ledger = std::fs::read_to_string(case_folder(&root).join("ledger.jsonl")).unwrap();
    assert!(
        ledger.contains("finding.disposed") && ledger.contains("\"tester\"") && ledger.contains(&ghosts[3]),
        "{ledger}"
    );
}
