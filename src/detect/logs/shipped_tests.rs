//! Every rule that comes with the program, on an event that it must find and on one that it must not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::formats::Format;
use super::shipped_cases::{AGENTS, CASES, REQUESTS, STATEMENTS, correlated};
use super::shipped_host::HOST;
use super::*;
use crate::domain::{Level, Source};
use crate::policy::shipped::SHIPPED;

/// The rule files by name.
fn shipped() -> Vec<(&'static str, &'static str)> {
    let is_rule = |(path, text): &&(&str, &str)| path.starts_with("logs/") && !Terms::are_in(path, text);
    SHIPPED.iter().filter(is_rule).copied().collect()
}

thread_local! {
    /// Files that were read before.
    static READ: RefCell<BTreeMap<String, Rc<Ruleset>>> = RefCell::default();
}

/// One shipped file.
fn ruleset(name: &str) -> Rc<Ruleset> {
    let read = || {
        let path = format!("logs/{name}.yml");
        let file = shipped().into_iter().find(|(is, _)| *is == path).unwrap_or_else(|| panic!("no {path}"));
        let rules = Ruleset::from_texts([file]);
        assert_eq!(rules.skipped(), [], "{name}");
        Rc::new(rules)
    };
    READ.with_borrow_mut(|known| known.entry(name.to_owned()).or_insert_with(read).clone())
}

/// Findings of one shipped file in a text.
fn found_by(name: &str, text: &str) -> Vec<crate::domain::Finding> {
    let rules = ruleset(name);
    let mut found = Vec::new();
    let coverage = scan_reader(&rules, "x", text.as_bytes(), &ScanOptions::default(), &mut |f| found.push(f));
    assert_eq!(
        (coverage.events, coverage.broken),
        (text.lines().filter(|line| !line.starts_with('\t')).count() as u64, 0),
        "{name}"
    );
    found
}

#[test]
fn every_shipped_rule_finds_its_event_and_spares_the_other() {
    let correlated = correlated();
    assert_eq!(shipped().len(), CASES.len() + correlated.len());
    let single = CASES.iter().map(|(name, yes, no)| (*name, (*yes).to_owned(), (*no).to_owned()));
    for (name, positive, negative) in single.chain(correlated) {
        assert!(!found_by(name, &positive).is_empty(), "{name} misses {positive}");
        assert_eq!(found_by(name, &negative), [], "{name} finds {negative}");
    }
}

#[test]
fn attacks_are_found_however_they_are_written_and_what_looks_like_them_is_not() {
    let line = |request: &str, agent: &str| {
        format!("192.0.2.7 - - [24/Nov/2026:01:02:03 +0000] \"GET {request} HTTP/1.1\" 200 5 \"-\" \"{agent}\"")
    };
    let mut wrong = Vec::new();
    let mut check = |name: &str, line: String, wanted: bool| {
        if found_by(name, &line).is_empty() == wanted {
            wrong.push(format!("{name} {} {line}", if wanted { "misses" } else { "finds" }));
        }
    };
    for (name, yes, no) in REQUESTS {
        yes.iter().for_each(|request| check(name, line(request, "x"), true));
        no.iter().for_each(|request| check(name, line(request, "x"), false));
    }
    let statement = |message: &str| format!("2026-11-24 01:02:03 UTC [5] LOG:  {message}");
    for (name, yes, no) in STATEMENTS {
        yes.iter().for_each(|message| check(name, statement(message), true));
        no.iter().for_each(|message| check(name, statement(message), false));
    }
    let said = |program: &str, message: &str| format!("2026-11-24T01:02:03.000004+00:00 web {program}[5]: {message}");
    for (name, program, yes, no) in HOST {
        yes.iter().for_each(|message| check(name, said(program, message), true));
        no.iter().for_each(|message| check(name, said(program, message), false));
    }
    AGENTS.0.iter().for_each(|agent| check("scanner-user-agent", line("/", agent), true));
    AGENTS.1.iter().for_each(|agent| check("scanner-user-agent", line("/", agent), false));
    assert_eq!(wrong, [] as [&str; 0]);
}

#[test]
fn who_searches_sshd_or_guesses_through_su_is_found_by_the_count() {
    let line = |n: u32, rest: &str| format!("Nov 24 01:02:{n:02} web {rest}\n");
    let lines = |count: u32, rest: &str| -> String { (0..count).map(|n| line(n, rest)).collect() };
    let found = |name: &str, log: String| found_by(name, &log).len();
    let left = |from: &str| format!("sshd[77]: Connection closed by {from} port 5 [preauth]");
    assert_eq!(found("ssh-account", lines(10, &left("1.2.3.4"))), 1);
    assert_eq!(found("ssh-account", lines(9, &left("1.2.3.4"))), 0);
    assert_eq!(found("ssh-account", lines(20, &left("10.0.1.4"))), 0);
    assert_eq!(found("ssh-account", lines(20, &left("authenticating user eve 1.2.3.4"))), 0);
    let su = "su[77]: FAILED SU (to root) eve on pts/1";
    assert_eq!([found("sudo-command", lines(6, su)), found("sudo-command", lines(5, su))], [1, 0]);
}

#[test]
fn an_office_that_mistypes_all_day_is_no_guess_of_one_users_password() {
    let refused = |n: u32, user: &str| sshd_line(n, &format!("Failed password for {user} from 1.2.3.4"));
    let accepted = |user: &str| sshd_line(23, &format!("Accepted password for {user} from 1.2.3.4"));
    let medium = |log: &str| found_by("ssh-brute-force", log).iter().any(|found| found.rule.level >= Level::Medium);
    let many: String = (0..20).map(|n| refused(n, &format!("user{}", n % 4))).collect();
    assert!(!medium(&(many + &accepted("user1"))));
    let one: String = (0..10).map(|n| refused(n, "eve")).collect();
    assert!(medium(&(one.clone() + &accepted("eve"))));
    assert!(!medium(&(one + &accepted("bob"))));
}

/// What sshd says at an hour of the day.
fn sshd_line(hour: u32, message: &str) -> String {
    format!("Nov 24 {hour:02}:02:03 web sshd[77]: {message} port 5 ssh2\n")
}

/// A line of an access log, `n` seconds after one o'clock.
fn request(n: usize, ip: &str, said: &str, status: u16) -> String {
    format!("{ip} - - [24/Nov/2026:01:{:02}:{:02} +0000] \"{said}\" {status} 162 \"-\" \"x\"\n", n / 60, n % 60)
}

/// Titles of what a file finds.
pub(super) fn titles(name: &str, log: &str) -> Vec<String> {
    found_by(name, log).into_iter().map(|found| found.rule.title).collect()
}

#[test]
fn a_log_in_after_many_refused_over_the_web_is_found() {
    let refused =
        |ip: &str| -> String { (0..10).map(|n| request(n, ip, "POST /api/auth/login HTTP/1.1", 401)).collect() };
    let let_in = |ip: &str| request(20, ip, "POST /api/auth/login HTTP/1.1", 200);
    let guessed = "Passwords guessed over the web";
    let found = titles("web-login-guessing", &(refused("192.0.2.7") + &let_in("192.0.2.7")));
    assert_eq!(found, [guessed, "Log-in over the web after many refused ones"]);
    assert_eq!(titles("web-login-guessing", &(refused("192.0.2.7") + &let_in("192.0.2.8"))), [guessed]);
    // A balancer.
    assert_eq!(titles("web-login-guessing", &(refused("10.0.1.4") + &let_in("10.0.1.4"))), [guessed]);
    // An old token of a client that asks for something else.
    let other: String = (0..50).map(|n| request(n, "192.0.2.7", "GET /api/balance HTTP/1.1", 401)).collect();
    assert_eq!(titles("web-login-guessing", &other), [] as [&str; 0]);
    let from = |count: usize| -> String {
        (0..count).map(|n| request(n, &format!("192.0.2.{n}"), "POST /login HTTP/1.1", 401)).collect()
    };
    assert_eq!(titles("web-login-guessing", &from(30)), ["Passwords guessed over the web from many addresses"]);
    assert_eq!(titles("web-login-guessing", &from(29)), [] as [&str; 0]);
}

#[test]
fn passwords_in_headers_and_those_of_wordpress_are_guessed_too() {
    let many = |said: &str, status: u16| -> String { (0..10).map(|n| request(n, "192.0.2.7", said, status)).collect() };
    let guessed = "Passwords guessed over the web";
    let after = "Log-in over the web after many refused ones";
    let found = |log: String| titles("web-login-guessing", &log);
    let admin = "GET /admin/ HTTP/1.1";
    // A page that asks again and again until its user comes back is no guess that was right.
    assert_eq!(found(many(admin, 401) + &request(20, "192.0.2.7", admin, 200)), [guessed]);
    assert_eq!(found(many(admin, 200)), [] as [&str; 0]);
    let press = "POST /wp-login.php HTTP/1.1";
    assert_eq!(found(many(press, 200)), [guessed]);
    assert_eq!(found(many(press, 200) + &request(20, "192.0.2.7", press, 302)), [guessed, after]);
}

#[test]
fn a_user_whom_many_addresses_guess_seldom_is_named() {
    let refused = |n: u32, user: &str| {
        format!("Nov 24 {n:02}:02:03 web sshd[77]: Failed password for {user} from 192.0.2.{n} port 5 ssh2\n")
    };
    let log = |count: u32, user: &str| -> String { (0..count).map(|n| refused(n, user)).collect() };
    assert_eq!(titles("ssh-brute-force", &log(15, "eve")), ["One user guessed over SSH from many addresses in a day"]);
    assert_eq!(titles("ssh-brute-force", &log(14, "eve")), [] as [&str; 0]);
    assert_eq!(titles("ssh-brute-force", &log(15, "root")), [] as [&str; 0]);
    assert_eq!(titles("ssh-brute-force", &log(15, "invalid user eve")), [] as [&str; 0]);
}

#[test]
fn what_is_tried_one_after_the_other_is_found() {
    let many = |count: usize, ip: &str, path: &str, status: u16| -> String {
        (0..count).map(|n| request(n, ip, &format!("GET {path}{n} HTTP/1.1"), status)).collect()
    };
    let tried = |log: &str| titles("web-enumeration", log).len();
    assert_eq!(tried(&many(15, "192.0.2.7", "/api/users/81", 403)), 1);
    assert_eq!(tried(&many(50, "192.0.2.7", "/api/users/81", 200)), 0);
    assert_eq!(tried(&many(50, "192.0.2.7", "/api/users/81", 401)), 0);
    assert_eq!(tried(&many(50, "10.0.0.7", "/api/keys/81", 200)), 0);
    assert_eq!(tried(&many(50, "192.0.2.7", "/old/page-", 404)), 0);
    let list = [
        "admin", "backup", "cgi-bin", "config", "console", "panel", "portal", "private", "secret", "staging", "upload",
        "setup",
    ];
    let searched = |count: usize, ip: fn(usize) -> String| -> String {
        list[..count]
            .iter()
            .enumerate()
            .map(|(n, word)| request(n, &ip(n), &format!("GET /{word} HTTP/1.1"), 404))
            .collect()
    };
    let one = |_: usize| "192.0.2.7".to_owned();
    assert_eq!(titles("web-enumeration", &searched(12, one)), ["Web server searched by a list of words"]);
    assert_eq!(tried(&searched(11, one)), 0);
    assert_eq!(tried(&searched(12, |n| format!("192.0.2.{n}"))), 0);
}

#[test]
fn requests_of_odd_forms_are_found() {
    let wrong: Vec<String> = [
        ("web-method-odd", "PROPFIND / HTTP/1.1", 405, 1),
        ("web-method-odd", "PROPFIND /dav/ HTTP/1.1", 207, 0),
        ("web-method-odd", "PUT /uploads/x.jsp HTTP/1.1", 201, 1),
        ("web-method-odd", "DELETE /api/orders/7 HTTP/1.1", 204, 0),
        ("web-method-odd", "CONNECT 198.51.100.2:443 HTTP/1.1", 400, 1),
        ("web-method-odd", r"\x16\x03\x01\x00\xEE\x01\x00", 400, 1),
        ("web-method-odd", r"\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=Administr", 400, 1),
        ("web-method-odd", "SSH-2.0-Go", 400, 1),
        ("web-method-odd", "GET /ssh-2.0 HTTP/1.1", 404, 0),
        ("header-injection-probe", r"GET / HTTP/1.1\x0D\x0ATransfer-Encoding: chunked", 400, 1),
        ("mass-export", "GET /api/export?format=csv HTTP/1.1", 200, 0),
        ("admin-endpoint", "GET /admin/users HTTP/1.1", 200, 1),
    ]
    .into_iter()
    .filter(|(name, said, status, wanted)| found_by(name, &request(1, "192.0.2.7", said, *status)).len() != *wanted)
    .map(|(name, said, ..)| format!("{name}: {said}"))
    .collect();
    assert_eq!(wrong, [] as [&str; 0]);
    let large = request(1, "192.0.2.7", "GET /api/export?format=csv HTTP/1.1", 200).replace(" 162 ", " 50000000 ");
    assert_eq!(titles("mass-export", &large), ["Large export given"]);
    assert_eq!(
        titles("mass-export", &large.replace("/api/export?format=csv", "/download/app.tar.gz")),
        [] as [&str; 0]
    );
    let inside = found_by("admin-endpoint", &request(1, "10.0.7.3", "GET /admin/users HTTP/1.1", 200));
    assert_eq!(inside.iter().map(|found| found.rule.level).collect::<Vec<_>>(), [Level::Low]);
    let referer = request(1, "192.0.2.7", "GET / HTTP/1.1", 200).replace("\"-\"", "\"https://a.example/' OR 1=1-- -\"");
    assert_eq!(titles("header-content-probe", &referer), ["Injection in a header"]);
}

#[test]
fn a_password_of_the_database_that_is_let_in_after_many_guesses_is_found() {
    let of = |n: usize, host: &str, user: &str, said: &str| {
        format!("2026-11-24 01:02:{n:02}.004 UTC [{n}] {user}@shop {host} {said}\n")
    };
    let refused = |host: &str| -> String {
        (0..10)
            .map(|n| of(n, host, "postgres", "FATAL:  password authentication failed for user \"postgres\""))
            .collect()
    };
    let let_in = |user: &str| of(30, "", user, &format!("LOG:  connection authorized: user={user} database=shop"));
    let low = "Database let its administrator in while his password was guessed".to_owned();
    let titles = |log: String| titles("database-password-guessing", &log);
    assert!(titles(refused("") + &let_in("postgres")).contains(&low));
    assert!(!titles(refused("") + &let_in("admin")).contains(&low));
    let json = |n: usize, host: &str, severity: &str, said: &str| {
        format!(
            "{{\"timestamp\":\"2026-11-24 01:02:{n:02}.004 UTC\",\"user\":\"postgres\",\"dbname\":\"shop\",\"pid\":{n},\
             \"remote_host\":\"{host}\",\"error_severity\":\"{severity}\",\"message\":\"{said}\"}}\n"
        )
    };
    let guessed: String =
        (0..10).map(|n| json(n, "192.0.2.7", "FATAL", "password authentication failed for user postgres")).collect();
    let after = |host: &str| json(30, host, "LOG", "connection authorized: user=postgres database=shop");
    let high = "Database let its administrator in after many refused passwords".to_owned();
    assert!(titles(guessed.clone() + &after("192.0.2.7")).contains(&high));
    assert!(!titles(guessed + &after("10.0.0.5")).contains(&high));
    let kept_out: String = (0..5)
        .map(|n| {
            of(
                n,
                "",
                "postgres",
                "FATAL:  no pg_hba.conf entry for host \"192.0.2.7\", user \"postgres\", database \"shop\"",
            )
        })
        .collect();
    assert_eq!(titles(kept_out), ["Database knocked at from an address that may not"]);
}

#[test]
fn tables_of_a_copy_to_work_on_may_be_dropped() {
    let dropped =
        |base: &str| format!("2026-11-24 01:02:03.004 UTC [5] app@{base} LOG:  statement: DROP TABLE public.trades\n");
    for (base, wanted) in [("shop", 1), ("latest", 1), ("devices", 1), ("staging", 0), ("shop_test", 0), ("ci-7", 0)] {
        assert_eq!(found_by("database-data-destroyed", &dropped(base)).len(), wanted, "{base}");
    }
}

#[test]
fn requests_in_the_error_log_of_nginx_are_read() {
    let line = |said: &str, request: &str| {
        format!(
            "2026/11/24 01:02:03 [error] 7#7: *5 {said}, client: 192.0.2.7, server: _, request: \"GET {request} HTTP/1.1\", \
             host: \"shop.example\"\n"
        )
    };
    let attacks = [
        ("sensitive-file-probe", "open() \"/srv/.git/config\" failed (2: No such file or directory)", "/.git/config"),
        ("path-traversal-probe", "access forbidden by rule", "/x?f=../../etc/passwd"),
        ("sql-injection-probe", "limiting requests, excess: 20.1 by zone \"api\"", "/x?id=1%27%20or%201=1--"),
        ("code-injection-probe", "upstream prematurely closed connection", "/x?h=1%3Bid"),
    ];
    for (name, said, request) in attacks {
        assert_eq!(found_by(name, &line(said, request)).len(), 1, "{name}");
        assert_eq!(found_by(name, &line(said, "/api/orders?page=2")), [], "{name}");
    }
    let missing = "open() \"/srv/phpmyadmin\" failed (2: No such file or directory)";
    assert_eq!(found_by("admin-page-probe", &line(missing, "/phpmyadmin/index.php")).len(), 1);
    let timeout = "upstream timed out (110: Connection timed out)";
    assert_eq!(found_by("admin-page-probe", &line(timeout, "/wp-admin/post.php")), []);
    let rules = Ruleset::from_texts(shipped());
    let usual = [
        line("connect() failed (111: Connection refused) while connecting to upstream", "/api/orders?page=2"),
        line("client intended to send too large body: 10485761 bytes", "/api/files"),
        "2026/11/24 01:02:03 [notice] 1#1: signal process started\n".to_owned(),
        "2026/11/24 01:02:03 [info] 7#7: *9 SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) \
         while SSL handshaking, client: 192.0.2.7, server: 0.0.0.0:443\n"
            .to_owned(),
        "2026/11/24 01:02:03 [info] 7#7: *9 client sent invalid method while reading client request line, client: 192.0.2.7, \
         server: _, request: \"\\x16\\x03\\x01\"\n"
            .to_owned(),
    ]
    .concat();
    let mut found = Vec::new();
    let coverage = scan_reader(&rules, "x", usual.as_bytes(), &ScanOptions::default(), &mut |f| found.push(f));
    assert_eq!((coverage.events, coverage.broken, found), (5, 0, Vec::new()));
}

#[test]
fn files_that_a_page_names_and_readers_of_the_web_are_no_search() {
    let asked = |referer: &str, agent: &str, status: u16| -> String {
        let line = |n: usize| {
            format!(
                "192.0.2.7 - - [24/Nov/2026:01:02:{n:02} +0000] \"GET /f{n}.zip HTTP/1.1\" {status} 5 \"{referer}\" \"{agent}\"\n"
            )
        };
        (0..30).map(line).collect()
    };
    let titles =
        |log: &str| -> Vec<String> { found_by("web-scan", log).into_iter().map(|found| found.rule.title).collect() };
    let many = asked("-", "Mozilla/5.0", 404);
    assert_eq!(titles(&many).iter().filter(|title| *title == "Web server searched for files").count(), 1);
    let nineteen: String = many.split_inclusive('\n').take(19).collect();
    assert_eq!(titles(&nineteen), ["File of another system looked for"; 19]);
    assert_eq!(found_by("web-scan", &asked("https://shop.example/downloads", "Mozilla/5.0", 404)), []);
    assert_eq!(found_by("web-scan", &asked("-", "Mozilla/5.0 (compatible; Googlebot/2.1)", 404)), []);
    assert_eq!(found_by("web-scan", &asked("-", "Mozilla/5.0", 200)), []);
}

#[test]
fn traces_of_an_application_in_the_error_log_of_nginx_hide_no_request() {
    let record = |request: &str| {
        let trace = "#1 /srv/app/vendor/index.php(3): run()\n".repeat(9);
        format!(
            "2026/11/24 01:02:03 [error] 7#7: *5 FastCGI sent in stderr: \"PHP message: PHP Fatal error: no such order\nStack \
             trace:\n{trace}  thrown in /srv/app/a.php on line 3\" while reading response header from upstream, client: \
             192.0.2.7, server: _, request: \"GET {request} HTTP/1.1\", upstream: \"fastcgi://unix:/run/php.sock:\"\n"
        )
    };
    let log = [record("/api/orders"), record("/x?f=../../etc/passwd"), record("/api/orders?page=2")].concat();
    let rules = Ruleset::from_texts(shipped());
    for prefilter in [true, false] {
        let options = ScanOptions { prefilter, ..ScanOptions::default() };
        let mut found = Vec::new();
        let coverage = scan_reader(&rules, "x", log.as_bytes(), &options, &mut |f| found.push(f));
        assert_eq!((coverage.events, coverage.broken, coverage.format), (3, 0, Some(Format::NginxError)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].rule.title, "Path traversal probe");
        let Source::File { record: 1, line: Some(13), offset, .. } = &found[0].source else { panic!("{:?}", found[0]) };
        assert_eq!(*offset, Some(record("/api/orders").len() as u64));
        assert_eq!(found[0].event["c-ip"], "192.0.2.7");
    }
}

#[test]
fn postgresql_refuses_in_many_words() {
    let said = [
        "password authentication failed for user \"app\"",
        "PAM authentication failed for user \"app\"",
        "no pg_hba.conf entry for host \"1.2.3.4\", user \"app\", database \"shop\", no encryption",
        "role \"admin\" does not exist",
    ];
    let line = |n: usize| format!("2026-11-24 01:02:{n:02} UTC [5] FATAL:  {}\n", said[n % said.len()]);
    let log: String = (0..20).map(line).collect();
    assert_eq!(
        titles("database-password-guessing", &log),
        ["Passwords of the database guessed", "Database knocked at from an address that may not"]
    );
    let german =
        "2026-11-24 01:02:03 UTC [5] FATAL:  Passwort-Authentifizierung für Benutzer »app« fehlgeschlagen\n".repeat(10);
    assert_eq!(found_by("database-password-guessing", &german).len(), 1);
    for other in [
        "FATAL:  ユーザー\"app\"のパスワード認証に失敗しました",
        "치명적오류:  사용자 \"app\"의 password 인증을 실패했습니다",
        "ПОДРОБНОСТИ:  Подключение соответствует строке 97 в pg_hba.conf: \"host all all all scram-sha-256\"",
        "ВІДОМОСТІ:  З'єднання відповідає рядку 97 в pg_hba.conf: \"host all all all scram-sha-256\"",
    ] {
        let log = format!("2026-11-24 01:02:03 UTC [5] {other}\n").repeat(10);
        assert_eq!(titles("database-password-guessing", &log), ["Passwords of the database guessed"], "{other}");
    }
    let russian = "{\"timestamp\":\"2026-11-24 01:02:03 UTC\",\"error_severity\":\"FATAL\",\"message\":\"пользователь \\\"app\\\" не прошёл \
                   проверку подлинности (по паролю)\",\"detail\":\"Подключение соответствует строке 97 в pg_hba.conf\"}\n";
    assert_eq!(titles("database-password-guessing", &russian.repeat(10)), ["Passwords of the database guessed"]);
    assert_eq!(found_by("database-password-guessing", &log.replace("FATAL", "ERROR").replace("authentic", "")), []);
}

#[test]
fn sshd_refuses_in_many_words() {
    let said = [
        "Failed none for invalid user eve from 1.2.3.4",
        "Failed keyboard-interactive/pam for root from 1.2.3.4",
        "Invalid user eve from 1.2.3.4",
        "error: maximum authentication attempts exceeded for root from 1.2.3.4",
        "message repeated 3 times: [ Failed password for root from 1.2.3.4",
        "error: PAM: Authentication failure for root from 1.2.3.4",
        "Connection closed by authenticating user root 1.2.3.4",
        "Connection reset by authenticating user root 1.2.3.4",
        "User root from 1.2.3.4 not allowed because not listed in AllowUsers;",
        "Disconnected from authenticating user root 1.2.3.4",
    ];
    let let_in = "Nov 24 01:01:00 web sshd[77]: Accepted publickey for eve from 1.2.3.4 port 5 ssh2\n";
    let line = |(n, said): (usize, &&str)| format!("Nov 24 01:00:{n:02} web sshd-session[7]: {said} port 5 ssh2\n");
    let log: String = said.iter().enumerate().map(line).collect();
    let titles = |log: &str| -> Vec<String> {
        found_by("ssh-brute-force", log).into_iter().map(|found| found.rule.title).collect()
    };
    assert_eq!(titles(&log), ["Passwords guessed over SSH"]);
    let both = ["Passwords guessed over SSH", "Log-in over SSH after many refused ones"];
    assert_eq!(titles(&(log.clone() + let_in)), both);
    let old = "Jun 14 15:16:01 combo sshd(pam_unix)[7]: authentication failure; logname= uid=0 tty=NODEVssh ruser= rhost=1.2.3.4 \n";
    assert_eq!(titles(&old.repeat(10)), ["Passwords guessed over SSH"]);
    let fewer: String = log.split_inclusive('\n').skip(1).collect();
    assert_eq!(found_by("ssh-brute-force", &(fewer + let_in)), []);
    let keys = "Nov 24 01:00:00 web sshd[7]: Failed publickey for eve from 1.2.3.4 port 5 ssh2\n".repeat(20);
    assert_eq!(found_by("ssh-brute-force", &(keys + let_in)), []);
    let dropbear = "Nov 24 01:00:00 web dropbear[7]: Bad password attempt for 'root' from 1.2.3.4:5\n".repeat(10);
    assert_eq!(titles(&dropbear), ["Passwords guessed over SSH"]);
    let freebsd = "Nov 24 01:00:00 web sshd[7]: error: PAM: Authentication error for root from 1.2.3.4\n".repeat(10);
    assert_eq!(titles(&freebsd), ["Passwords guessed over SSH"]);
    let dropped =
        "Nov 24 01:00:00 web sshd[7]: drop connection #3 from [1.2.3.4]:5 on [192.0.2.7]:22 past MaxStartups\n"
            .repeat(10);
    assert_eq!(titles(&dropped), ["Passwords guessed over SSH"]);
    let by_pam = "Nov 24 01:02:03 web sshd[77]: Accepted keyboard-interactive/pam for root from 1.2.3.4 port 5 ssh2";
    assert_eq!(found_by("ssh-root-password", by_pam).len(), 1);
    assert_eq!(found_by("ssh-root-password", &by_pam.replace("for root", "for rooter")), []);
}

#[test]
fn sshd_is_guessed_at_length_from_many_places_and_in_few_lines() {
    let titles = |log: &str| -> Vec<String> {
        found_by("ssh-brute-force", log).into_iter().map(|found| found.rule.title).collect()
    };
    let line =
        |hour: usize, minute: usize, said: &str| format!("Nov 24 {hour:02}:{minute:02}:00 web sshd[7]: {said}\n");
    let refused = |ip: usize| format!("Failed password for root from 192.0.2.{ip} port 5 ssh2");
    let slow = |count: usize| -> String { (0..count).map(|n| line(n / 2, n % 2 * 30, &refused(7))).collect() };
    assert_eq!(titles(&slow(30)), ["Passwords guessed over SSH at length"]);
    assert_eq!(titles(&slow(29)), [] as [&str; 0]);
    let places = |count: usize| -> String { (0..count).map(|n| line(1, n * 3, &refused(n))).collect() };
    assert_eq!(titles(&places(10)), ["One user guessed over SSH from many addresses"]);
    assert_eq!(titles(&places(9)), [] as [&str; 0]);
    let again = "message repeated 4 times: [ Failed password for root from 192.0.2.7 port 5 ssh2]";
    let few = |count: usize| -> String { (0..count).map(|n| line(1, n, again)).collect() };
    assert_eq!(titles(&few(3)), ["Passwords guessed over SSH, said in few lines"]);
    assert_eq!(titles(&few(2)), [] as [&str; 0]);
}

#[test]
fn who_knocks_at_sshd_is_known_by_address_in_every_form_of_the_log() {
    let knock = |from: &str| format!("Did not receive identification string from {from} port 5");
    let forms: [&dyn Fn(&str) -> String; 3] = [
        &|said| format!("Nov 24 01:00:00 web sshd[7]: {said}\n"),
        &|said| format!("<38>1 2026-11-24T01:00:00Z web sshd 7 - - {said}\n"),
        &|said| {
            format!(
                "{{\"__REALTIME_TIMESTAMP\":\"1795482000000000\",\"SYSLOG_IDENTIFIER\":\"sshd\",\"MESSAGE\":\"{said}\"}}\n"
            )
        },
    ];
    for form in forms {
        assert_eq!(found_by("ssh-scan", &form(&knock("1.2.3.4")).repeat(3)).len(), 1);
        let apart: String = (1..9).map(|n| form(&knock(&format!("1.2.3.{n}")))).collect();
        assert_eq!(found_by("ssh-scan", &apart), []);
        assert_eq!(found_by("ssh-scan", &form(&knock("10.0.0.5")).repeat(9)), []);
    }
}

#[test]
fn a_password_guessed_over_hours_is_found_when_it_is_accepted() {
    let line =
        |hour: u32, said: &str| format!("Nov 24 {hour:02}:00:00 web sshd[7]: {said} from 192.0.2.7 port 5 ssh2\n");
    let refused = |count: u32| (0..count).map(|hour| line(hour, "Failed password for root")).collect::<String>();
    let titles = |log: String| -> Vec<String> {
        found_by("ssh-brute-force", &log).into_iter().map(|found| found.rule.title).collect()
    };
    let accepted = line(12, "Accepted password for root");
    assert_eq!(
        titles(refused(10) + &accepted),
        [
            "Password accepted over SSH after many refused in a day",
            "Password of a user accepted over SSH after many refused in a day"
        ]
    );
    assert_eq!(titles(refused(9) + &accepted), [] as [&str; 0]);
    assert_eq!(titles((refused(10) + &accepted).replace("192.0.2.7", "10.0.0.7")), [] as [&str; 0]);
    assert_eq!(titles(refused(10) + &line(12, "Accepted publickey for root")), [] as [&str; 0]);
}

#[test]
fn what_ansible_runs_as_root_is_no_shell() {
    let line =
        |command: &str| format!("Nov 24 01:02:03 web sudo: ci : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND={command}\n");
    let ansible = "/bin/sh -c echo BECOME-SUCCESS-bvzdfxmhkqtjcbrjzqyndzmtrflmkzyw ; /usr/bin/python3";
    assert_eq!(found_by("sudo-root-shell", &line(ansible)), []);
    assert_eq!(found_by("sudo-root-shell", &line("/bin/sh -c id")).len(), 1);
}

#[test]
fn a_hidden_file_that_is_served_is_worse() {
    let line = |status: u16| {
        format!("192.0.2.7 - - [24/Nov/2026:01:02:03 +0000] \"GET /.git/config HTTP/1.1\" {status} 5 \"-\" \"x\"")
    };
    let levels = |status| -> Vec<Level> {
        found_by("sensitive-file-probe", &line(status)).into_iter().map(|found| found.rule.level).collect()
    };
    assert_eq!(levels(404), [Level::Low]);
    assert!(levels(200).contains(&Level::High));
}

#[test]
fn a_guessed_password_is_worse_than_guessing() {
    let (_, text, _) = correlated().into_iter().find(|(name, ..)| *name == "ssh-brute-force").unwrap();
    let found = found_by("ssh-brute-force", &text);
    let last = found.last().unwrap();
    assert_eq!((last.rule.level, &last.matched["src_ip"]), (Level::Critical, &"1.2.3.4".into()));
}

/// A rule that nothing in raw bytes can rule out makes every event of every log be parsed.
#[test]
fn the_shipped_rules_are_quick() {
    let rules = Ruleset::from_texts(shipped());
    assert_eq!(rules.skipped(), []);
    for format in Format::ALL {
        let slow: Vec<&str> = rules.unfiltered(format).map(|rule| rule.file.as_str()).collect();
        assert_eq!(slow, [] as [&str; 0], "{format:?}");
    }
}

/// A rule whose filter lets every request through makes a scan many times slower.
#[test]
fn ordinary_requests_are_not_parsed() {
    let rules = Ruleset::from_texts(shipped());
    for request in ["/api/v1/orders/ock?page=3", "/groups/5", "/static/app.js", "/search?q=black+shoes", "/login", "/"]
    {
        let line = format!("192.0.2.7 - - [24/Nov/2026:01:02:03 +0000] \"GET {request} HTTP/1.1\" 200 5 \"-\" \"x\"\n");
        let coverage = scan_reader(&rules, "x", line.as_bytes(), &ScanOptions::default(), &mut |_| {});
        assert_eq!((coverage.events, coverage.parsed), (1, 0), "{request}");
    }
}

#[test]
fn ordinary_statements_are_not_parsed() {
    let rules = Ruleset::from_texts(shipped());
    for said in [
        "execute <unnamed>: SELECT \"public\".\"User\".\"id\" FROM \"public\".\"User\" WHERE (\"public\".\"User\".\"id\" = $1 AND 1=1)",
        "execute s1: INSERT INTO \"public\".\"Trade\" (\"id\", \"price\") VALUES ($1, $2)",
        "duration: 0.512 ms  statement: SELECT * FROM orders WHERE open ORDER BY price DESC LIMIT 20",
        "statement: BEGIN",
        "connection authorized: user=app database=shop",
        "disconnection: session time: 0:00:01.001 user=app database=shop host=10.0.0.5 port=5000",
    ] {
        let line = format!("2026-11-24 01:02:03 UTC [5] app@shop LOG:  {said}\n");
        let coverage = scan_reader(&rules, "x", line.as_bytes(), &ScanOptions::default(), &mut |_| {});
        assert_eq!((coverage.events, coverage.parsed), (1, 0), "{said}");
    }
}

#[test]
fn the_shipped_rules_say_what_they_are() {
    for (path, text) in shipped() {
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        assert!(ids.clone().count() > 0 && ids.clone().all(|id| id.len() == 36), "{path}");
        for document in text.split("\n---\n") {
            for part in ["title: ", "description: ", "level: ", "  - attack.t1", "falsepositives:"] {
                assert!(document.contains(part), "{path} has no {part}");
            }
        }
    }
}

/// The highest level of what a file finds.
fn highest(name: &str, log: &str) -> Option<Level> {
    found_by(name, log).into_iter().map(|found| found.rule.level).max()
}

#[test]
fn what_migrations_do_is_noted_and_what_an_intruder_does_is_said_aloud() {
    let level = |statement: &str| {
        highest("database-persistence", &format!("2026-11-24 01:02:03 UTC [5] LOG:  statement: {statement}"))
    };
    for noted in [
        "CREATE USER metrics WITH PASSWORD 'x'",
        "CREATE TRIGGER audit AFTER UPDATE ON trades FOR EACH ROW EXECUTE FUNCTION audit_trade()",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO a VALUES (1); END $$",
        "CREATE FUNCTION f() RETURNS void SECURITY DEFINER LANGUAGE sql AS $$ SELECT 1 $$; GRANT EXECUTE ON FUNCTION f TO app",
    ] {
        assert_eq!(level(noted), Some(Level::Low), "{noted}");
    }
    for loud in [
        "CREATE FUNCTION su(cmd text) RETURNS void AS $$ BEGIN EXECUTE cmd; END $$ LANGUAGE plpgsql SECURITY DEFINER",
        "CREATE FUNCTION f() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE a SUPERUSER; END $$",
        "ALTER FUNCTION fee(text) SECURITY DEFINER",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION x()",
        "GRANT pg_execute_server_program TO app",
    ] {
        assert_eq!(level(loud), Some(Level::High), "{loud}");
    }
    assert_eq!(level("CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN END $$ LANGUAGE plpgsql"), None);
    let german = "2026-11-24 01:02:03 UTC [5] LOG:  Anweisung: CREATE ROLE evil LOGIN";
    assert_eq!(highest("database-persistence", german), Some(Level::Low));
}

#[test]
fn who_makes_a_user_through_sudo_is_told_less_loudly_than_who_raises_one() {
    let level = |command: &str| {
        let said = "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/";
        highest("sudo-command", &format!("{said}{command}"))
    };
    assert_eq!(level("useradd -m bob"), Some(Level::Medium));
    assert_eq!(level("visudo"), Some(Level::Medium));
    assert_eq!(level("useradd -o -u 0 bob"), Some(Level::High));
    assert_eq!(level("useradd -m -G sudo bob"), Some(Level::High));
    assert_eq!(level("usermod -aG sudo bob"), Some(Level::High));
}

#[test]
fn statements_without_syntax_and_log_ins_without_end_are_found_by_the_count() {
    let statement = |user: &str, n: u32| {
        format!("2026-11-24 01:02:{n:02} UTC [5] {user}@shop ERROR:  syntax error at or near \"'\" at character 9\n")
    };
    let found = |log: String| found_by("database-injection-error", &log).len();
    assert_eq!(found((0..10).map(|n| statement("app", n)).collect()), 1);
    assert_eq!(found((0..9).map(|n| statement("app", n)).collect()), 0);
    let several: String = (0..10).map(|n| statement(if n % 2 == 0 { "app" } else { "jobs" }, n)).collect();
    assert_eq!(found(several), 0);
    let line = |n: u32, message: &str| format!("Nov 24 01:02:{n:02} web sshd[77]: {message}\n");
    let unfinished = |count: u32| -> String {
        (0..count).map(|n| line(n, "fatal: Timeout before authentication for 1.2.3.4 port 5")).collect()
    };
    assert_eq!(titles("ssh-scan", &unfinished(20)), ["Many log-ins over SSH never finished"]);
    assert_eq!(titles("ssh-scan", &unfinished(19)), [] as [&str; 0]);
    let more = |count: u32, said: &str| -> String {
        let rest = "more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4  user=root";
        (0..count).map(|n| line(n, &format!("PAM {said} {rest}"))).collect()
    };
    assert_eq!(titles("ssh-brute-force", &more(3, "5")), ["Passwords guessed over SSH in few connections"]);
    assert_eq!(titles("ssh-brute-force", &more(2, "5")), [] as [&str; 0]);
    assert_eq!(titles("ssh-brute-force", &more(3, "1")), [] as [&str; 0]);
    let ended = "error: maximum authentication attempts exceeded for root from";
    let of = |from: fn(u32) -> u32| -> String {
        (0..3).map(|n| line(n, &format!("{ended} 1.2.3.{} port 5 ssh2 [preauth]", from(n)))).collect()
    };
    assert_eq!(titles("ssh-brute-force", &of(|_| 4)), ["Passwords guessed over SSH in few connections"]);
    assert_eq!(titles("ssh-brute-force", &of(|n| n)), [] as [&str; 0]);
}

#[test]
fn files_that_are_moved_about_over_the_web_are_found_where_that_is_refused() {
    let found = |said: &str, status: u16| found_by("web-method-odd", &request(0, "192.0.2.7", said, status)).len();
    assert_eq!([found("MOVE /a.txt HTTP/1.1", 405), found("COPY /a.txt HTTP/1.1", 403)], [1, 1]);
    assert_eq!([found("MOVE /dav/a.txt HTTP/1.1", 201), found("GET /move HTTP/1.1", 404)], [0, 0]);
}

#[test]
fn a_large_export_is_found_by_its_size_wherever_the_log_has_it() {
    let request = |size: &str| {
        format!("{{\"remote_addr\":\"192.0.2.7\",\"method\":\"GET\",\"path\":\"/api/export\",\"status\":200,{size}}}")
    };
    let found = |size: &str| titles("mass-export", &request(size));
    for size in [
        r#""body_bytes_sent":50000000"#,
        r#""body_bytes_sent":"50000000""#,
        r#""size":50000000"#,
        r#""http":{"response":{"body":{"bytes":50000000}}}"#,
        r#""res":{"headers":{"content-length":"50000000"}}"#,
    ] {
        assert_eq!(found(size), ["Large export given"], "{size}");
    }
    assert_eq!(found(r#""body_bytes_sent":49999999"#), [] as [&str; 0]);
    assert_eq!(found(r#""received_bytes":50000000"#), [] as [&str; 0]);
}
