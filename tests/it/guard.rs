//! The enforced pause on PostgreSQL, at the guard itself: what it takes away and gives back, which statements it stops, what an
//! application that owns the table can do, how long it takes, and that nothing escapes it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis::adapters::database_url::DatabaseUrl;
use portcullis::adapters::login::Login;
use portcullis::adapters::postgres::PostgresGuard;
use portcullis::domain::Canary;
use portcullis::policy::pause::PausePolicy;
use portcullis::ports::{Guard, GuardReport};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

use crate::peers::{Postgres, psql};

const TABLE: &str = "CREATE TABLE \"Trade\" (id bigserial, symbol text NOT NULL, at timestamp NOT NULL DEFAULT now(), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE trade_old PARTITION OF \"Trade\" FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
    CREATE TABLE trade_new PARTITION OF \"Trade\" FOR VALUES FROM ('2020-01-01') TO ('2100-01-01');";
const PASSWORD: &str = "password-of-the-test-roles";

fn options(url: &str) -> PgConnectOptions {
    match DatabaseUrl::parse(&SecretString::from(url), std::path::Path::new("/")).unwrap() {
        DatabaseUrl::Postgres { options, .. } => *options,
        DatabaseUrl::Sqlite(_) => panic!("PostgreSQL"),
    }
}

fn as_role(postgres: &Postgres, role: &str) -> String {
    format!("postgres://{role}:{PASSWORD}@{}/{}", postgres.place, postgres.name)
}

/// A guard whose application is `app` and whose containment role is `admin`.
fn guard(app: &str, admin: &str, keys: &str) -> PostgresGuard {
    let text = format!("version: 1\nguard: {{ table: Trade{keys} }}\n");
    let policy: PausePolicy = portcullis::policy::parse("pause.yml", &text).unwrap();
    PostgresGuard::new(options(app), Login::new(options(admin), Box::new(Vec::new)), policy.guard.unwrap(), None)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn role(postgres: &Postgres, name: &str, more: &str) -> String {
    let role = format!("{name}_{}", postgres.name);
    postgres.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' {more}"));
    role
}

/// Every right on the table, its partitions and its columns, as the catalog has it.
fn rights(postgres: &Postgres) -> String {
    postgres.sql(
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (SELECT c.relname || ' ' || a.privilege_type || ' ' || coalesce(pg_get_userbyid(nullif(a.grantee, 0)), 'PUBLIC') || ' by ' || pg_get_userbyid(a.grantor) || ' ' || a.is_grantable AS line \
         FROM pg_class c CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a WHERE c.relname ~* '^trade' AND c.relkind IN ('r', 'p') \
         UNION ALL SELECT c.relname || '.' || t.attname || ' ' || a.privilege_type || ' ' || coalesce(pg_get_userbyid(nullif(a.grantee, 0)), 'PUBLIC') || ' by ' || pg_get_userbyid(a.grantor) || ' ' || a.is_grantable \
         FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN LATERAL aclexplode(t.attacl) a WHERE c.relname ~* '^trade') l",
    )
}

/// A table that nobody but the superuser owns, with rights of every form.
fn with_rights(name: &str) -> Option<(Postgres, String, String)> {
    let postgres = Postgres::fresh(name)?;
    postgres.sql(TABLE);
    let (app, other) = (role(&postgres, "app", ""), role(&postgres, "other", ""));
    postgres.sql(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON \"Trade\" TO {app} WITH GRANT OPTION; GRANT USAGE ON SEQUENCE \"Trade_id_seq\" TO {app}, {other};
         GRANT INSERT ON trade_new TO {other}; GRANT UPDATE (symbol) ON \"Trade\" TO PUBLIC; GRANT INSERT (symbol, at) ON \"Trade\" TO {other};"
    ));
    psql(&as_role(&postgres, &app), &format!("GRANT INSERT ON \"Trade\" TO {other} WITH GRANT OPTION")).unwrap();
    psql(&as_role(&postgres, &other), &format!("GRANT INSERT ON \"Trade\" TO {app}")).unwrap();
    Some((postgres, app, other))
}

#[test]
fn rights_are_taken_and_exactly_those_given_back() {
    let Some((postgres, app, other)) = with_rights("rights") else { return };
    let guard = guard(&as_role(&postgres, &app), &postgres.url, "");
    let before = rights(&postgres);
    run(async {
        guard.install().await.unwrap();
        let words = guard.engage().await.unwrap();
        assert!(words.contains("rights taken away") && words.contains(&format!("INSERT of {other}")), "{words}");
        let taken = rights(&postgres);
        for (who, right) in
            [(&app, "INSERT"), (&other, "INSERT"), (&app, "TRUNCATE"), (&app, "DELETE"), (&app, "UPDATE")]
        {
            assert!(!taken.contains(&format!("{right} {who}")), "{right} of {who} is gone:\n{taken}");
        }
        assert!(!taken.contains("PUBLIC") && taken.contains(&format!("SELECT {app}")), "{taken}");
        // A second pause finds nothing to take and must not forget; a right given since is remembered as well.
        let words = guard.engage().await.unwrap();
        assert!(words.contains("no rights to take away"), "{words}");
        let Canary::Refused { reason } = guard.canary().await.unwrap() else { panic!("refused") };
        assert!(reason.contains("42501") && reason.contains("trigger refuses this role as well: PC001"), "{reason}");
        assert!(guard.inspect().await.unwrap().withheld > 8);
        let words = guard.release().await.unwrap();
        assert!(words.contains("rights given back"), "{words}");
        assert_eq!(rights(&postgres), before);
        assert!(matches!(guard.canary().await.unwrap(), Canary::Passed { .. }));
        let report = guard.inspect().await.unwrap();
        assert_eq!((report.installed, report.paused, report.withheld), (true, false, 0));
    });
}

#[test]
fn a_pause_and_a_release_that_were_killed_converge() {
    let Some((postgres, app, _)) = with_rights("killed") else { return };
    let guard = std::sync::Arc::new(guard(&as_role(&postgres, &app), &postgres.url, ""));
    let before = rights(&postgres);
    run(async {
        guard.install().await.unwrap();
        for step in 0..12_u64 {
            for release in [false, true] {
                let one = std::sync::Arc::clone(&guard);
                let task = tokio::spawn(async move { if release { one.release().await } else { one.engage().await } });
                tokio::time::sleep(Duration::from_millis(4 * step)).await;
                task.abort();
                let _ = task.await;
                let again = if release { guard.release().await } else { guard.engage().await };
                again.unwrap();
                if release {
                    assert_eq!(rights(&postgres), before, "killed after {} ms", 4 * step);
                } else {
                    // The server may still be busy with what was killed, and hold the table longer than a pause waits for it.
                    let mut tries = 0;
                    while rights(&postgres).contains(&format!("INSERT {app}")) {
                        tries += 1;
                        assert!(tries < 5, "killed after {} ms", 4 * step);
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        guard.engage().await.unwrap();
                    }
                }
            }
        }
    });
}

#[test]
fn every_way_into_the_table_is_closed() {
    let Some(postgres) = Postgres::fresh("ways") else { return };
    postgres.sql(TABLE);
    let app = role(&postgres, "app", "");
    postgres.sql(&format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {app}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {app}"
    ));
    let url = as_role(&postgres, &app);
    // Rights stay here: the triggers alone are tried.
    let guard = guard(&url, &postgres.url, ", revoke: false");
    postgres.sql("INSERT INTO \"Trade\" (symbol) VALUES ('before')");
    run(guard.install()).unwrap();
    let report: GuardReport = run(guard.inspect()).unwrap();
    assert!(report.installed && !report.bypass.iter().any(|bypass| bypass.grave), "{report:?}");
    let enabled = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'aa_portcullis%' AND tgenabled = 'A'";
    assert_eq!(postgres.sql(enabled), "6", "two on the table and on each partition");
    // One is attached and one is made after the installation; the first got no trigger against TRUNCATE.
    postgres.sql("CREATE TABLE trade_late (LIKE \"Trade\"); ALTER TABLE \"Trade\" ATTACH PARTITION trade_late FOR VALUES FROM ('2100-01-01') TO ('2200-01-01')");
    postgres.sql("CREATE TABLE trade_far PARTITION OF \"Trade\" FOR VALUES FROM ('2200-01-01') TO ('2300-01-01')");
    postgres.sql(&format!("GRANT ALL ON trade_late, trade_far TO {app}"));
    let report = run(guard.inspect()).unwrap();
    assert!(!report.installed && report.detail.contains("TRUNCATE is missing"), "{report:?}");
    let words = run(guard.engage()).unwrap();
    assert!(words.contains("put where it was missing"), "{words}");
    let merge =
        "MERGE INTO \"Trade\" t USING (SELECT 1) s ON false WHEN NOT MATCHED THEN INSERT (symbol) VALUES ('merge')";
    for (role, sql) in [
        (&url, "INSERT INTO \"Trade\" (symbol) VALUES ('app')"),
        (&url, "INSERT INTO trade_new (id, symbol) VALUES (7, 'direct')"),
        (&url, "INSERT INTO \"Trade\" (symbol, at) VALUES ('late', '2150-01-01')"),
        (&url, "INSERT INTO trade_late (id, symbol, at) VALUES (7, 'late', '2150-01-01')"),
        (&url, "INSERT INTO trade_far (id, symbol, at) VALUES (7, 'far', '2250-01-01')"),
        (&url, concat!("\\copy \"Trade\" (symbol) FROM '", env!("CARGO_MANIFEST_DIR"), "/LICENSE'")),
        (&url, merge),
        (&url, "UPDATE \"Trade\" SET symbol = 'x'"),
        (&url, "DELETE FROM \"Trade\""),
        (&url, "TRUNCATE \"Trade\""),
        (&url, "TRUNCATE trade_new"),
        (&url, "SET search_path = public, pg_catalog; INSERT INTO \"Trade\" (symbol) VALUES ('path')"),
        (&postgres.url, "INSERT INTO \"Trade\" (symbol) VALUES ('superuser')"),
        (&postgres.url, "COPY \"Trade\" (symbol) FROM PROGRAM 'echo x'"),
        (&postgres.url, "TRUNCATE \"Trade\" CASCADE"),
        (&postgres.url, "TRUNCATE trade_late"),
        (
            &postgres.url,
            "SET session_replication_role = replica; INSERT INTO trade_new (id, symbol) VALUES (8, 'replica')",
        ),
        (&postgres.url, "SET session_replication_role = replica; TRUNCATE \"Trade\""),
    ] {
        let refused = psql(role, sql).unwrap_err();
        assert!(refused.contains("trading is paused by portcullis"), "{sql}: {refused}");
    }
    assert_eq!(postgres.sql("SELECT string_agg(symbol, ',') FROM \"Trade\""), "before");
    // The canary reaches the trigger although no partition takes a row of NULLs.
    let Canary::Refused { reason } = run(guard.canary()).unwrap() else { panic!("refused") };
    assert!(reason.contains("PC001"), "{reason}");
    // A clone that was switched off, or a condition, is seen and mended by the next pause.
    postgres.sql("ALTER TABLE trade_new DISABLE TRIGGER aa_portcullis_guard");
    let report = run(guard.inspect()).unwrap();
    assert!(!report.installed && report.detail.contains("not ENABLE ALWAYS on public.trade_new"), "{report:?}");
    run(guard.engage()).unwrap();
    assert!(run(guard.inspect()).unwrap().installed);
    run(guard.release()).unwrap();
    psql(&url, "INSERT INTO \"Trade\" (symbol) VALUES ('after')").unwrap();
}

#[test]
fn a_plain_table_and_what_inherits_from_it_are_closed() {
    let Some(postgres) = Postgres::fresh("plain") else { return };
    postgres.sql("CREATE TABLE \"Trade\" (id bigserial PRIMARY KEY, symbol text NOT NULL); CREATE TABLE trade_child () INHERITS (\"Trade\"); CREATE TABLE other (x int)");
    let guard = guard(&postgres.url, &postgres.url, "");
    run(guard.install()).unwrap();
    // A prepared transaction can't be ended, so the pause says that it does not hold; where the server has none, none can be there.
    run(guard.engage()).unwrap();
    for table in ["\"Trade\"", "trade_child"] {
        let refused = psql(&postgres.url, &format!("INSERT INTO {table} (symbol) VALUES ('x')")).unwrap_err();
        assert!(refused.contains("trading is paused"), "{refused}");
        assert!(psql(&postgres.url, &format!("TRUNCATE {table}")).is_err());
    }
    run(guard.release()).unwrap();
}

#[test]
fn an_application_that_owns_the_table_loses_its_log_in_until_its_password_is_rotated() {
    let Some(postgres) = Postgres::fresh("owner") else { return };
    let app = role(&postgres, "app", "");
    postgres.sql(&format!("{TABLE} ALTER TABLE \"Trade\" OWNER TO {app}; ALTER TABLE trade_new OWNER TO {app}; ALTER SEQUENCE \"Trade_id_seq\" OWNER TO {app}"));
    let url = as_role(&postgres, &app);
    let guard_of = |keys: &str| guard(&url, &postgres.url, keys);
    let guard = guard_of("");
    let before = rights(&postgres);
    run(guard.install()).unwrap();
    let report = run(guard.inspect()).unwrap();
    let owns = report.bypass.iter().find(|bypass| bypass.who == app && bypass.how.contains("owns the trade table"));
    assert!(
        owns.is_some_and(|bypass| bypass.grave && bypass.mend.as_ref().unwrap().contains("OWNER TO")),
        "{report:?}"
    );
    assert!(report.way.iter().any(|way| way.contains("taken away, its sessions ended")), "{report:?}");
    // A session that waits to undo the pause.
    let mut session = Command::new("psql")
        .args(["-X", "-q", "-d", &url, "-c", "SELECT pg_sleep(20)", "-c", "ALTER TABLE \"Trade\" DISABLE TRIGGER ALL"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let words = run(guard.engage()).unwrap();
    assert!(words.contains("log-in taken away, 1 of its sessions ended"), "{words}");
    assert!(!session.wait().unwrap().success());
    let refused = psql(&url, "SELECT 1").unwrap_err();
    assert!(refused.contains("not permitted to log in"), "{refused}");
    let Canary::Refused { reason } = run(guard.canary()).unwrap() else { panic!("refused") };
    assert!(reason.contains("by SET ROLE"), "{reason}");
    // The rotation gives the log-in back with a new password; a second pause leaves it, or the new value could not be proven.
    let rotated = url.replace(PASSWORD, "rotated-password-of-the-role");
    postgres.sql(&format!("ALTER ROLE {app} LOGIN PASSWORD 'rotated-password-of-the-role'"));
    let words = run(guard.engage()).unwrap();
    assert!(words.contains("given back with a new password"), "{words}");
    psql(&rotated, "SELECT 1").unwrap();
    assert!(psql(&rotated, "INSERT INTO \"Trade\" (symbol) VALUES ('x')").is_err());
    run(guard.release()).unwrap();
    assert_eq!(rights(&postgres), before);
    // The next pause takes it again, and the release gives it back.
    run(guard.engage()).unwrap();
    assert!(psql(&rotated, "SELECT 1").is_err());
    run(guard.release()).unwrap();
    psql(&rotated, "INSERT INTO \"Trade\" (symbol) VALUES ('after')").unwrap();
    // A role that had no log-in gets none.
    postgres.sql(&format!("ALTER ROLE {app} NOLOGIN"));
    run(guard.engage()).unwrap();
    run(guard.release()).unwrap();
    assert!(psql(&rotated, "SELECT 1").is_err());
    postgres.sql(&format!("ALTER ROLE {app} LOGIN"));
    let words = run(guard_of(", owner: trust").engage()).unwrap();
    assert!(words.contains("is trusted not to undo"), "{words}");
    psql(&rotated, "SELECT 1").unwrap();
}

#[test]
fn one_role_for_everything_is_said_loudly() {
    let Some(postgres) = Postgres::fresh("single") else { return };
    let app = role(&postgres, "app", "");
    postgres.sql(&format!("ALTER DATABASE {} OWNER TO {app}; GRANT CREATE ON SCHEMA public TO {app}", postgres.name));
    let url = as_role(&postgres, &app);
    psql(&url, "CREATE TABLE \"Trade\" (id bigserial PRIMARY KEY, symbol text NOT NULL)").unwrap();
    let guard = guard(&url, &url, "");
    run(guard.install()).unwrap();
    let report = run(guard.inspect()).unwrap();
    let own = report.bypass.iter().find(|bypass| bypass.how.contains("works as the application's own role"));
    assert!(own.is_some_and(|bypass| bypass.mend.as_ref().unwrap().contains("PORTCULLIS_DATABASE_URL")), "{report:?}");
    let words = run(guard.engage()).unwrap();
    assert!(words.contains("BYPASS:"), "{words}");
    assert!(psql(&url, "INSERT INTO \"Trade\" (symbol) VALUES ('x')").is_err());
    run(guard.release()).unwrap();
    psql(&url, "INSERT INTO \"Trade\" (symbol) VALUES ('x')").unwrap();
}

#[test]
fn without_the_guard_the_pause_is_bounded_by_a_second() {
    let Some(postgres) = Postgres::fresh("bounded") else { return };
    postgres.sql(TABLE);
    let mut holders: Vec<_> =
        ["INSERT INTO \"Trade\" (symbol) VALUES ('held')", "INSERT INTO trade_new (id, symbol) VALUES (1, 'held')"]
            .into_iter()
            .map(|sql| {
                Command::new("psql")
                    .args([
                        "-X",
                        "-q",
                        "-d",
                        &postgres.url,
                        "-c",
                        &format!("BEGIN; {sql}; SELECT pg_sleep(600); COMMIT"),
                    ])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
    while postgres
        .sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL")
        != "2"
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let guard = guard(&postgres.url, &postgres.url, "");
    let began = Instant::now();
    let words = run(guard.engage()).unwrap();
    let took = began.elapsed();
    assert!(words.contains("guard installed now (2 sessions ended"), "{words}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    for holder in &mut holders {
        assert!(!holder.wait().unwrap().success());
    }
    assert_eq!(postgres.sql("SELECT count(*) FROM \"Trade\""), "0");
}

#[test]
fn nothing_escapes_under_writers() {
    let Some(postgres) = Postgres::fresh("writers") else { return };
    postgres.sql(TABLE);
    let app = role(&postgres, "app", "");
    postgres.sql(&format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {app}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {app}"
    ));
    let url = as_role(&postgres, &app);
    let guard = guard(&url, &postgres.url, "");
    run(guard.install()).unwrap();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let sql = "SELECT 'INSERT INTO \"Trade\" (symbol) VALUES (''w'');' FROM generate_series(1, 40000)\\gexec";
            let mut child = Command::new("psql")
                .args(["-X", "-q", "-d", &url])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), sql.as_bytes()).unwrap();
            child
        })
        .collect();
    std::thread::sleep(Duration::from_millis(700));
    let count = || postgres.sql("SELECT count(*) FROM \"Trade\"").parse::<u64>().unwrap();
    let earlier = count();
    run(guard.engage()).unwrap();
    let acknowledged = count();
    std::thread::sleep(Duration::from_millis(500));
    assert!(acknowledged >= earlier && earlier > 0, "the writers wrote: {earlier}, {acknowledged}");
    assert_eq!(count(), acknowledged, "none got in after the acknowledgement");
    for mut writer in writers {
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
}
