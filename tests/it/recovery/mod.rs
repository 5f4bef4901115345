//! Backups and recovery on PostgreSQL: broken and hostile backups, the choice of a clean one, a restore that is killed at each step, the
//! four disasters.

mod buckets;
mod checklist;
mod hostile;
mod indicators;
mod logged;
mod types;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::peers::{Postgres, psql};
use crate::support::{Ran, finish, program};

const CREDENTIALS: &str = "version: 1
credentials:
  - id: jwt
    title: JWT signing key
    issuer: { kind: self_made }
    kept: [{ store: dotenv, path: .env, key: JWT_SECRET }]
    generate: { length: 64 }
    proof: { kind: store }
";

const RECOVERY: &str = "version: 1
rpo_minutes: 100000000
services: []
config: [.env, certs/]
invariants:
  - { name: quantities, table: Trade, column: quantity, at_least: \"0.00000001\", not_null: true }
";

const SCHEMA: &str = "
CREATE TYPE \"Side\" AS ENUM ('BUY', 'SELL');
CREATE TABLE \"Account\" (id text PRIMARY KEY, name text NOT NULL, \"tradeLimit\" numeric(18,2) NOT NULL);
CREATE TABLE \"ApiKey\" (id text PRIMARY KEY, \"accountId\" text NOT NULL REFERENCES \"Account\"(id), \"keyHash\" text UNIQUE, \"revokedAt\" timestamp(3), \"createdAt\" timestamp(3) NOT NULL DEFAULT now());
CREATE TABLE \"Trade\" (id serial PRIMARY KEY, \"accountId\" text NOT NULL REFERENCES \"Account\"(id), \"apiKeyId\" text, symbol text NOT NULL, side \"Side\" NOT NULL, quantity numeric(18,8) NOT NULL, price numeric(18,8) NOT NULL, value numeric(18,8) NOT NULL, settled boolean NOT NULL DEFAULT true, note text, \"createdAt\" timestamp(3) NOT NULL, \"updatedAt\" timestamp(3) NOT NULL);
CREATE INDEX ON \"Trade\" (\"createdAt\");
CREATE TABLE _prisma_migrations (id text PRIMARY KEY, migration_name text NOT NULL, started_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz, rolled_back_at timestamptz);
INSERT INTO _prisma_migrations (id, migration_name, finished_at) VALUES ('1', '20260101000000_init', now());
INSERT INTO \"Account\" SELECT 'acc_' || i, E'Account; \\\\ \\t' || i, 100000 FROM generate_series(1, 5) i;
INSERT INTO \"ApiKey\" (id, \"accountId\", \"keyHash\", \"createdAt\") SELECT 'key_' || i, 'acc_' || i, md5(i::text), '2026-01-01' FROM generate_series(1, 5) i;
";

/// So many ordinary trades, five minutes apart.
fn trades(from: u32, to: u32) -> String {
    format!(
        "INSERT INTO \"Trade\" (\"accountId\", \"apiKeyId\", symbol, side, quantity, price, value, note, \"createdAt\", \"updatedAt\") \
         SELECT 'acc_' || (1 + i % 5), 'key_' || (1 + i % 5), 'VWCE', CASE i % 2 WHEN 0 THEN 'BUY' ELSE 'SELL' END::\"Side\", 1 + i % 7, 100, 100 * (1 + i % 7), \
         CASE i % 3 WHEN 0 THEN NULL ELSE 'n;' || i END, '2026-11-20'::timestamp + i * interval '5 minutes', '2026-11-20'::timestamp + i * interval '5 minutes' \
         FROM generate_series({from}, {to}) i"
    )
}

/// A deployment on a database of its own, an incident open in it.
struct Scene {
    root: tempfile::TempDir,
    postgres: Postgres,
}

impl Scene {
    fn new(name: &str) -> Option<Self> {
        Postgres::fresh(name).map(Self::on)
    }

    fn on(postgres: Postgres) -> Self {
        postgres.sql(SCHEMA);
        postgres.sql(&trades(1, 200));
        let root = tempfile::tempdir().unwrap();
        for (path, text) in portcullis::policy::shipped::SHIPPED {
            let text = match *path {
                "credentials.yml" => CREDENTIALS,
                "recovery.yml" => RECOVERY,
                _ => text,
            };
            let path = root.path().join("policies").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir(root.path().join("backups")).unwrap();
        fs::write(root.path().join(".env"), "JWT_SECRET=first\n").unwrap();
        Self { root, postgres }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program(self.root.path());
        command.env("DATABASE_URL", &self.postgres.url).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        finish(&mut self.command(words))
    }

    fn open(&self) {
        self.run(&["pause", "on", "--yes"]).expect(0);
    }

    fn dump(&self) -> String {
        let output = Command::new("pg_dump").args(["-d", &self.postgres.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = format!("backups/{name}");
        fs::write(self.root.path().join(&path), bytes).unwrap();
        path
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn formats_are_told_by_their_content() {
    let Some(scene) = Scene::new("formats") else { return };
    let url = scene.postgres.url.clone();
    let path = |name: &str| scene.root.path().join("backups").join(name).display().to_string();
    let dump = |words: &[&str]| {
        let output = Command::new("pg_dump").args(["-d", &url]).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    dump(&["-f", &path("db_backup_20261124_010000.sql.gz")]);
    dump(&["-Fc", "-f", &path("db_backup_20261124_020000.sql.gz")]);
    dump(&["-Fd", "-f", &path("db_backup_20261124_030000.sql.gz")]);
    let zst = Command::new("zstd")
        .args(["-q", "-k", &path("db_backup_20261124_010000.sql.gz"), "-o", &path("db_backup_20261124_040000.sql.gz")])
        .status();
    let expected = if zst.is_ok_and(|status| status.success()) { 4 } else { 3 };
    let listed = scene.run(&["--format", "json", "backup", "list"]).expect(0).of_type("backup");
    assert_eq!(listed.len(), expected, "{listed:?}");
    assert!(listed.iter().all(|backup| backup["bytes"].as_u64().unwrap() > 1_000), "{listed:?}");
    let ran = scene.run(&["--format", "json", "backup", "verify"]).expect(0);
    let verdicts = ran.of_type("backup");
    assert_eq!(verdicts.len(), expected, "{}", ran.stdout);
    assert!(ran.stdout.matches("200 rows of `Trade`").count() == expected, "{}", ran.stdout);
    assert!(verdicts.iter().all(|verdict| verdict["backup"]["sha256"].is_string()), "{}", ran.stdout);
    // Each comes back as it was.
    scene.open();
    for verdict in &verdicts {
        scene.postgres.sql(
            "ALTER TABLE \"Trade\" DISABLE TRIGGER aa_portcullis_guard; UPDATE \"Trade\" SET value = 0; \
             ALTER TABLE \"Trade\" ENABLE ALWAYS TRIGGER aa_portcullis_guard",
        );
        let path = verdict["backup"]["path"].as_str().unwrap();
        scene.run(&["restore", path, "--yes"]).expect(0);
        assert_eq!(scene.postgres.sql("SELECT count(*) FILTER (WHERE value > 0) FROM \"Trade\""), "200", "{path}");
    }
    // Roles are the server's, not the database's: a dump of them is refused by name, and not run.
    let globals = Command::new("pg_dumpall").args(["--globals-only", "-d", &url]).output().unwrap();
    assert!(globals.status.success(), "{}", String::from_utf8_lossy(&globals.stderr));
    let globals = scene.write("db_backup_20261123_050000.sql.gz", &globals.stdout);
    let ran = scene.run(&["backup", "verify", &globals]).expect(1);
    assert!(ran.stdout.contains("not expected") && ran.stdout.contains("there is no `Trade` in it"), "{}", ran.stdout);
    fs::remove_file(scene.root.path().join(globals)).unwrap();
    let taken = scene.run(&["--format", "json", "backup", "take"]).expect(0);
    assert!(taken.stdout.contains("200 rows"), "{}", taken.stdout);
    let drilled = scene.run(&["--format", "json", "backup", "drill"]).expect(0);
    for word in ["restored", "constraints", "sequences", "migrations", "within-rto", "amcheck"] {
        assert!(drilled.stdout.contains(word), "{word}: {}", drilled.stdout);
    }
    let doctor = scene.run(&["--format", "json", "doctor"]);
    let item = doctor.of_type("doctor").into_iter().find(|item| item["check"] == "test restore").unwrap();
    assert_eq!(item["ready"], true, "{item}");
    // A backup that was changed after it was taken is not the one that was signed.
    let name = fs::read_dir(scene.root.path().join("backups"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let manifest = name.filter(|name| name.ends_with(".manifest.json")).max().unwrap();
    let file = manifest.trim_end_matches(".manifest.json").to_owned();
    scene.write(&file, &gz(scene.dump().replace("VWCE", "EVIL").as_bytes()));
    let ran = scene.run(&["backup", "verify", &file]).expect(1);
    assert!(ran.stdout.contains("not the file that this machine signed"), "{}", ran.stdout);
}

#[test]
fn the_sixth_of_twelve_is_clean_and_the_differences_are_exactly_those_planted() {
    let Some(scene) = Scene::new("twelve") else { return };
    let evil = "CREATE FUNCTION public.skim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.value := 0; RETURN NEW; END $$; \
                CREATE TRIGGER skim BEFORE INSERT ON \"Trade\" FOR EACH ROW EXECUTE FUNCTION public.skim();";
    for number in 1..=12 {
        match number {
            8 => drop(scene.postgres.sql(evil)),
            10 => drop(scene.postgres.sql("DROP TRIGGER skim ON \"Trade\"; DROP FUNCTION public.skim(); \
                INSERT INTO \"Trade\" (\"accountId\", \"apiKeyId\", symbol, side, quantity, price, value, \"createdAt\", \"updatedAt\") \
                VALUES ('acc_1', 'key_unknown', 'VWCE', 'BUY', 90000, 100, 9000000, '2026-11-21 10:00', '2026-11-21 10:00')")),
            _ => {}
        }
        scene.write(&format!("db_backup_20261121_{number:02}0000.sql.gz"), &gz(scene.dump().as_bytes()));
    }
    // Since the last backup: three ordinary trades, one that was overwritten, one that was deleted.
    scene.postgres.sql(&trades(201, 203));
    scene.open();
    scene.run(&["scan", "trades"]).expect(3);
    scene.postgres.sql(
        "ALTER TABLE \"Trade\" DISABLE TRIGGER aa_portcullis_guard; UPDATE \"Trade\" SET value = 1 WHERE id = 5; \
         DELETE FROM \"Trade\" WHERE id = 7; ALTER TABLE \"Trade\" ENABLE ALWAYS TRIGGER aa_portcullis_guard",
    );
    let ran = scene.run(&["--format", "json", "restore", "--clean", "--before", "2026-12-01T00:00:00Z", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let verdicts = ran.of_type("backup");
    assert_eq!(verdicts.len(), 6, "{}", ran.stdout);
    let chosen = verdicts.last().unwrap();
    assert!(chosen["backup"]["path"].as_str().unwrap().contains("20261121_070000"), "{chosen}");
    for refused in &verdicts[..5] {
        let checks = refused["checks"].as_array().unwrap();
        assert!(
            checks.iter().any(|check| check["passed"] == false && check["reason"].as_str().unwrap().len() > 10),
            "{refused}"
        );
    }
    let seen = ran.of_type("reconciled").remove(0);
    assert_eq!(
        (&seen["legitimate"], &seen["unauthorized"], &seen["changed"], &seen["deleted"]),
        (&3.into(), &1.into(), &1.into(), &1.into()),
        "{seen}"
    );
    let row = "SELECT count(*), count(*) FILTER (WHERE value = 1), count(*) FILTER (WHERE id = 7), count(*) FILTER (WHERE \"apiKeyId\" = 'key_unknown') FROM \"Trade\"";
    assert_eq!(scene.postgres.sql(row), "200|0|1|0");
    scene.run(&["restore", "--replay", "--note", "checked with the desk", "--yes"]).expect(0);
    scene.run(&["restore", "--replay", "--note", "again: changes nothing", "--yes"]).expect(0);
    assert_eq!(scene.postgres.sql(row), "203|0|1|0");
    assert_eq!(scene.postgres.sql("SELECT paused FROM portcullis.guard"), "t", "the pause stands");
}

#[test]
fn a_restore_that_is_killed_at_each_step_leaves_a_working_database() {
    let Some(scene) = Scene::new("killed") else { return };
    scene.open();
    let path = scene.write("db_backup_20261121_010000.sql.gz", &gz(scene.dump().as_bytes()));
    let mut killed = 0;
    for step in 1..=9 {
        let mut child = scene
            .command(&["-v", "restore", &path, "--yes"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            seen += usize::from(line.contains("restore: "));
            if seen == step {
                child.kill().unwrap();
                killed += 1;
                break;
            }
        }
        child.wait().unwrap();
        assert_eq!(scene.postgres.sql("SELECT count(*), max(id) FROM \"Trade\""), "200|200", "step {step}");
        assert_eq!(scene.postgres.sql("SELECT paused FROM portcullis.guard"), "t", "step {step}");
    }
    assert!(killed >= 7, "{killed}");
    scene.run(&["restore", &path, "--yes"]).expect(0);
    assert_eq!(scene.postgres.sql("SELECT count(*), max(id) FROM \"Trade\""), "200|200");
    assert_eq!(scene.postgres.sql("SELECT paused FROM portcullis.guard"), "t");
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{}_restoring'", scene.postgres.name);
    assert_eq!(scene.postgres.sql(&left), "0");
}

fn certificate(root: &Path) {
    fs::create_dir_all(root.join("certs")).unwrap();
    fs::write(root.join("certs/key.pem"), "a key\n").unwrap();
    fs::write(root.join("passphrase"), "correct horse\n").unwrap();
}

#[test]
fn the_four_disasters_end_in_a_working_database_and_the_checklist() {
    let Some(scene) = Scene::new("disasters") else { return };
    certificate(scene.root.path());
    scene.write("db_backup_20261121_010000.sql.gz", &gz(scene.dump().as_bytes()));
    let trades = "SELECT count(*), count(*) FILTER (WHERE value = 0) FROM \"Trade\"";
    let recovered = |ran: &Ran| {
        let summary = ran.of_type("recovered").remove(0);
        assert_eq!(
            (&summary["failed"], &summary["within_rto"]),
            (&serde_json::json!([]), &true.into()),
            "{summary}\n{}",
            ran.stderr
        );
        // The whole of it is measured: its steps alone took longer than nothing.
        let steps: u64 = ran.of_type("step").iter().filter_map(|step| step["elapsed_ms"].as_u64()).max().unwrap_or(0);
        assert!(summary["took_ms"].as_u64().unwrap() >= steps && steps > 0, "{summary}");
        let phases = ran.of_type("phase");
        let last = phases.last().unwrap();
        assert_eq!((&last["phase"], &last["number"]), (&"checklist".into(), &last["phases"]), "{phases:?}");
        assert_eq!(last["phases"], phases.len(), "{phases:?}");
        assert_eq!(summary["paused"], true, "{summary}");
        assert!(!ran.of_type("checklist").is_empty(), "{}", ran.stdout);
    };
    // Data are wrong.
    scene.postgres.sql("UPDATE \"Trade\" SET value = 0 WHERE id % 2 = 0");
    let ran = scene.run(&["--format", "json", "recover", "corruption", "--before", "2026-12-01T00:00:00Z", "--yes"]);
    recovered(&ran);
    assert_eq!(scene.postgres.sql(trades), "200|0");
    // The server is gone: configuration and database.
    scene.run(&["backup", "config", "config.age", "--passphrase-file", "passphrase"]).expect(0);
    fs::remove_file(scene.root.path().join(".env")).unwrap();
    fs::remove_file(scene.root.path().join("certs/key.pem")).unwrap();
    let (base, _) = scene.postgres.url.rsplit_once('/').unwrap();
    let drop_it = format!("DROP DATABASE {} WITH (FORCE)", scene.postgres.name);
    psql(&format!("{base}/postgres"), &drop_it).unwrap();
    let ran = scene.run(&[
        "--format",
        "json",
        "recover",
        "server",
        "--config",
        "config.age",
        "--passphrase-file",
        "passphrase",
        "--yes",
    ]);
    recovered(&ran);
    assert_eq!(fs::read_to_string(scene.root.path().join("certs/key.pem")).unwrap(), "a key\n");
    assert_eq!(scene.postgres.sql(trades), "200|0");
    // The database is gone.
    psql(&format!("{base}/postgres"), &drop_it).unwrap();
    recovered(&scene.run(&["--format", "json", "recover", "database", "--yes"]));
    assert_eq!(scene.postgres.sql(trades), "200|0");
    // Somebody was in: the JWT key is replaced, and the old bundle does not bring it back.
    let ran = scene.run(&[
        "--format",
        "json",
        "recover",
        "breach",
        "--compromised",
        "jwt",
        "--before",
        "2026-12-01T00:00:00Z",
        "--yes",
    ]);
    recovered(&ran);
    let env = || fs::read_to_string(scene.root.path().join(".env")).unwrap();
    let now = env();
    assert!(!now.contains("first"), "{now}");
    let ran = scene.run(&["restore", "--config", "config.age", "--passphrase-file", "passphrase", "--yes"]).expect(0);
    assert!(ran.stdout.contains("was revoked"), "{}", ran.stdout);
    assert_eq!(env(), now, "the revoked value stays dead");
}
