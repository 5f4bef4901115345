use super::*;
use crate::domain::guard::{GUARD_FUNCTION, GUARD_TRIGGER, GUARD_TRUNCATE, POSTGRES_BODY, sqlite_trigger};

fn object(class: &str, name: &str, definition: &str) -> DatabaseObject {
    DatabaseObject { class: class.into(), name: name.into(), owner: None, definition: definition.into() }
}

fn rule(dialect: &str, object: DatabaseObject) -> Option<(String, Level)> {
    let list = ObjectList { objects: vec![object], uncovered: Vec::new() };
    findings(&list, dialect, &DatabasePolicy::default()).pop().map(|finding| (finding.rule.id, finding.rule.level))
}

#[test]
fn each_way_to_persist_is_found_and_its_harmless_twin_is_not() {
    let found = [
        ("event_trigger", "spy", "on ddl_command_end", "db-event-trigger"),
        (
            "function",
            "public.f()",
            "language=plpython3u trusted=false security_definer=false config= body: x",
            "db-untrusted-language",
        ),
        (
            "function",
            "public.f()",
            "language=plpgsql trusted=true security_definer=true config= body: x",
            "db-security-definer",
        ),
        (
            "function",
            "public.f()",
            "language=plpgsql trusted=true security_definer=false config= body: COPY t TO PROGRAM 'sh'",
            "db-copy-program",
        ),
        ("role", "eve", "superuser login", "db-superuser"),
        ("role", "eve", "replication login", "db-powerful-role"),
        ("membership", "eve in pg_execute_server_program", "member", "db-server-role"),
        ("setting", "archive_command", "sh -c id (from /etc/x)", "db-running-setting"),
        ("setting", "work_mem", "64MB (from /data/postgresql.auto.conf)", "db-altered-setting"),
        ("extension", "dblink", "version 1.2", "db-extension"),
        ("default", "public.Trade.id", "lo_export(1, '/x')::text", "db-calling-expression"),
        ("hba", "line 3", "host all all 0.0.0.0 0.0.0.0 trust", "db-trust"),
        (
            "trigger",
            "public.Trade.spy",
            "enabled=O CREATE TRIGGER spy ... EXECUTE FUNCTION public.f() -- body: x",
            "db-trigger",
        ),
    ];
    for (class, name, definition, expected) in found {
        let (id, _) = rule("postgres", object(class, name, definition)).unwrap_or_else(|| panic!("{class} {name}"));
        assert_eq!(id, expected);
    }
    let harmless = [
        ("role", "postgres", "superuser login bootstrap"),
        ("role", "app", "login"),
        ("membership", "app in readers", "member"),
        ("setting", "archive_command", "(disabled) (from default)"),
        ("extension", "plpgsql", "version 1.0"),
        ("default", "public.Trade.createdAt", "CURRENT_TIMESTAMP"),
        ("hba", "line 3", "host all all 127.0.0.1 255.255.255.255 scram-sha-256"),
    ];
    for (class, name, definition) in harmless {
        assert_eq!(rule("postgres", object(class, name, definition)), None, "{class} {name}");
    }
}

#[test]
fn our_guard_is_known_by_its_exact_words_only() {
    let name = format!("public.Trade.{GUARD_TRIGGER}");
    let text = format!(
        "enabled=A CREATE TRIGGER {GUARD_TRIGGER} BEFORE INSERT ON public.\"Trade\" FOR EACH ROW EXECUTE FUNCTION portcullis.refuse_while_paused() -- body: {POSTGRES_BODY}"
    );
    assert_eq!(rule("postgres", object("trigger", &name, &text)), None);
    let disabled = text.replacen("enabled=A", "enabled=D", 1);
    assert_eq!(rule("postgres", object("trigger", &name, &disabled)).unwrap().0, "db-guard-altered");
    for (from, to) in [
        ("FOR EACH ROW ", "FOR EACH ROW WHEN (false) "),
        ("BEFORE INSERT ON", "BEFORE UPDATE OF symbol ON"),
        ("BEFORE", "AFTER"),
        ("FOR EACH ROW", "FOR EACH STATEMENT"),
    ] {
        let altered = text.replacen(from, to, 1);
        assert_eq!(rule("postgres", object("trigger", &name, &altered)).unwrap().0, "db-guard-altered", "{altered}");
    }
    let truncate = format!("public.Trade.{GUARD_TRUNCATE}");
    let statement = text
        .replace(GUARD_TRIGGER, GUARD_TRUNCATE)
        .replace("BEFORE INSERT", "BEFORE TRUNCATE")
        .replace("EACH ROW", "EACH STATEMENT");
    assert_eq!(rule("postgres", object("trigger", &truncate, &statement)), None);
    // Under the other's name it would not refuse a row.
    assert_eq!(rule("postgres", object("trigger", &name, &statement)).unwrap().0, "db-guard-altered");
    let function = format!("language=plpgsql trusted=true security_definer=false config= body: {POSTGRES_BODY}");
    assert_eq!(rule("postgres", object("function", GUARD_FUNCTION, &function)), None);
    let definer = function.replace("definer=false", "definer=true");
    assert_eq!(rule("postgres", object("function", GUARD_FUNCTION, &definer)).unwrap().0, "db-guard-altered");
    let hollow = text.replace("IS NOT FALSE", "AND false");
    assert_eq!(rule("postgres", object("trigger", &name, &hollow)).unwrap().0, "db-guard-altered");

    let (name, text) = sqlite_trigger("Trade", "INSERT");
    assert_eq!(rule("sqlite", object("trigger", &format!("Trade.{name}"), &text)), None);
    let altered = text.replace("IS NOT 0", "IS 7");
    assert_eq!(rule("sqlite", object("trigger", &format!("Trade.{name}"), &altered)).unwrap().0, "db-guard-altered");
    assert_eq!(rule("sqlite", object("trigger", "Trade.spy", "CREATE TRIGGER spy")).unwrap().0, "db-trigger");
}

#[test]
fn what_policy_expects_is_no_finding() {
    let policy: DatabasePolicy =
        crate::policy::parse("database.yml", "version: 1\nexpected: { trigger: [Trade.audit] }\n").unwrap();
    let list = ObjectList {
        objects: vec![object("trigger", "Trade.audit", "x"), object("trigger", "Trade.spy", "x")],
        uncovered: Vec::new(),
    };
    let found = findings(&list, "sqlite", &policy);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].matched["remove"], "DROP TRIGGER \"spy\"");
}

#[test]
fn what_removes_a_function_can_be_pasted_whatever_its_name_is() {
    let remove = |name: &str| {
        let list = ObjectList {
            objects: vec![object("function", name, "language=sql trusted=true body: x")],
            uncovered: Vec::new(),
        };
        let found = findings(&list, "postgres", &DatabasePolicy::default());
        found[0].matched.get("remove").and_then(Value::as_str).unwrap_or("-").to_owned()
    };
    assert_eq!(remove("public.f(a integer, b text[])"), "DROP FUNCTION \"public\".\"f\"(a integer, b text[])");
    assert_eq!(remove("public.Mixed\"Case()"), "DROP FUNCTION \"public\".\"Mixed\"\"Case\"()");
    assert_eq!(remove("public.f(); DROP TABLE \"Trade\"; --()"), "-");
    let text = "enabled=D CREATE TRIGGER x";
    let list = ObjectList { objects: vec![object("trigger", "public.Trade.audit", text)], uncovered: Vec::new() };
    let found = findings(&list, "postgres", &DatabasePolicy::default());
    assert_eq!(found[0].matched["remove"], "ALTER TABLE \"public\".\"Trade\" ENABLE TRIGGER \"audit\"");
}
