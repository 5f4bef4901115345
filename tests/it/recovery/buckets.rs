//! Backups in S3, on moto: taken, listed, verified in a stream, fetched and restored; cut, changed, written over, out of reach.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use portcullis::domain::Digest;

use super::{RECOVERY, Scene, gz};
use crate::s3::{Bucket, put, put_with};
use crate::support::{Ran, finish};

/// Folder and bucket, in that order.
fn places(scene: &Scene, bucket: &Bucket) {
    let policy = format!("{RECOVERY}directory: [backups, \"s3://{}/db/\"]\n", bucket.name);
    fs::write(scene.root.path().join("policies/recovery.yml"), policy).unwrap();
}

fn run(scene: &Scene, bucket: &Bucket, words: &[&str]) -> Ran {
    finish(scene.command(words).envs(bucket.environment()))
}

fn paths(ran: &Ran) -> Vec<String> {
    let path = |backup: &serde_json::Value| {
        let backup = if backup["backup"].is_object() { &backup["backup"] } else { backup };
        backup["path"].as_str().unwrap().to_owned()
    };
    ran.of_type("backup").iter().map(path).collect()
}

/// The reason that a check of the first verdict gives, and whether it passed.
fn check(ran: &Ran, name: &str) -> (bool, String) {
    let verdict = ran.of_type("backup").remove(0);
    let checks = verdict["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {verdict}"));
    (check["passed"] == true, check["reason"].as_str().unwrap().to_owned())
}

/// What lies where backups are fetched to.
fn fetched(scene: &Scene) -> usize {
    fs::read_dir(scene.root.path().join(".portcullis/portcullis-fetched")).map_or(0, Iterator::count)
}

#[test]
fn a_backup_in_a_bucket_is_taken_listed_verified_and_restored() {
    let (Some(bucket), Some(scene)) = (Bucket::make("dumps"), Scene::new("bucket")) else { return };
    places(&scene, &bucket);
    let local = scene.write("db_backup_20261121_010000.sql.gz", &gz(scene.dump().as_bytes()));
    let to = format!("s3://{}/db", bucket.name);
    let taken = run(&scene, &bucket, &["--format", "json", "backup", "take", "--to", &to]).expect(0);
    let path = paths(&taken).remove(0);
    assert!(path.starts_with(&format!("{to}/db_backup_")), "{path}");
    assert!(check(&taken, "trades").1.contains("200 rows"), "{}", taken.stdout);
    // What begins with its name is not it, and another prefix is not ours.
    bucket.put("db/readme.txt", b"x");
    bucket.put("dbx/db_backup_20261122_010000.sql.gz", b"x");
    let listed = run(&scene, &bucket, &["--format", "json", "backup", "list"]).expect(0);
    assert_eq!(paths(&listed), [path.clone(), local]);
    let seen = run(&scene, &bucket, &["--format", "json", "backup", "verify", &path]).expect(0);
    assert!(check(&seen, "digest").1.contains("this machine signed"), "{}", seen.stdout);
    // moto knows no policies of buckets: what is not known is not called private.
    let (passed, words) = check(&seen, "permissions");
    assert!(!passed && words.starts_with("not known") && words.contains("does not say whether its policy"), "{words}");
    assert!(check(&seen, "versions").1.contains("keeps no older ones"), "{}", seen.stdout);
    assert!(check(&seen, "order").1.contains("written within"), "{}", seen.stdout);
    // The restore fetches it once, goes on after a cut, and leaves nothing.
    scene.open();
    scene.postgres.sql(
        "ALTER TABLE \"Trade\" DISABLE TRIGGER aa_portcullis_guard; DELETE FROM \"Trade\" WHERE id > 100; \
         ALTER TABLE \"Trade\" ENABLE ALWAYS TRIGGER aa_portcullis_guard",
    );
    bucket.cut("db/db_backup", 1, 1_000);
    let restored = run(&scene, &bucket, &["--format", "json", "restore", "--newest", "--yes"]).expect(0);
    assert_eq!(paths(&restored), std::slice::from_ref(&path));
    assert!(bucket.faults.ranges.load(Ordering::SeqCst) >= 1);
    assert_eq!(scene.postgres.sql("SELECT count(*) FROM \"Trade\""), "200");
    assert_eq!(fetched(&scene), 0);
    // The deployment's own script is given a file.
    let policy = scene.root.path().join("policies/recovery.yml");
    let text = fs::read_to_string(&policy).unwrap() + "restore: [sh, -c, \"cp \\\"$0\\\" got; exit 7\", \"{file}\"]\n";
    fs::write(&policy, text).unwrap();
    run(&scene, &bucket, &["restore", &path, "--yes"]).expect(5);
    let got = Digest::of(&fs::read(scene.root.path().join("got")).unwrap()).to_string();
    assert_eq!(seen.of_type("backup")[0]["backup"]["sha256"], got);
}

#[test]
fn a_fetch_goes_on_where_another_run_was_cut_off() {
    let (Some(bucket), Some(scene)) = (Bucket::make("cut"), Scene::new("fetch")) else { return };
    places(&scene, &bucket);
    let bytes = gz(scene.dump().as_bytes());
    let answer = bucket.put("db/db_backup_20261121_010000.sql.gz", &bytes);
    let tag = answer.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().trim();
    let path = format!("s3://{}/db/db_backup_20261121_010000.sql.gz", bucket.name);
    let folder = scene.root.path().join(".portcullis/portcullis-fetched");
    fs::create_dir_all(&folder).unwrap();
    let part = folder.join(format!("{}.part", Digest::of(format!("{path} {tag} ").as_bytes())));
    fs::write(part, &bytes[..bytes.len() / 2]).unwrap();
    let ran = run(&scene, &bucket, &["--format", "json", "backup", "drill", &path]).expect(0);
    assert_eq!(bucket.faults.ranges.load(Ordering::SeqCst), 1, "{}", ran.stdout);
    assert!(check(&ran, "restored").0, "{}", ran.stdout);
    assert_eq!(fetched(&scene), 0);
}

#[test]
fn what_is_written_over_or_open_to_all_is_told() {
    let (Some(bucket), Some(scene)) = (Bucket::make("versions"), Scene::new("versions")) else { return };
    places(&scene, &bucket);
    let versioning =
        b"<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
    put(&bucket.moto, &format!("/{}?versioning", bucket.name), versioning);
    let key = "db/db_backup_20261121_010000.sql.gz";
    let path = format!("s3://{}/{key}", bucket.name);
    let dump = scene.dump();
    bucket.put(key, &gz(dump.as_bytes()));
    let ran = run(&scene, &bucket, &["--format", "json", "backup", "verify", &path]).expect(0);
    assert_eq!(check(&ran, "versions"), (true, "written once".into()));
    bucket.put(key, &gz(dump.replace("VWCE", "EVIL").as_bytes()));
    put_with(&bucket.moto, &format!("/{}/{key}?acl", bucket.name), "x-amz-acl: public-read\r\n", b"");
    let ran = run(&scene, &bucket, &["--format", "json", "backup", "verify", &path]).expect(1);
    assert!(check(&ran, "versions").1.starts_with("written 2 times"), "{}", ran.stdout);
    assert_eq!(check(&ran, "permissions"), (false, "everybody can read it".into()));
    assert!(check(&ran, "digest").1.contains("not the file"), "{}", ran.stdout);
}

#[test]
fn a_bucket_out_of_reach_is_named_and_the_folder_still_serves() {
    let (Some(bucket), Some(scene)) = (Bucket::make("away"), Scene::new("away")) else { return };
    places(&scene, &bucket);
    let local = scene.write("db_backup_20261121_010000.sql.gz", &gz(scene.dump().as_bytes()));
    let away = |words: &[&str]| {
        let mut command = scene.command(words);
        finish(command.envs(bucket.environment()).env("AWS_ENDPOINT_URL", "http://127.0.0.1:1"))
    };
    let ran = away(&["--format", "json", "backup", "list"]).expect(5);
    assert_eq!(paths(&ran), std::slice::from_ref(&local));
    assert!(ran.stderr.contains("could not be looked at"), "{}", ran.stderr);
    scene.open();
    let ran = away(&["--format", "json", "restore", "--newest", "--yes"]).expect(0);
    assert_eq!(paths(&ran), [format!("s3://{}/db/", bucket.name), local]);
    assert!(!check(&ran, "place").0, "{}", ran.stdout);
    let doctor = away(&["--format", "json", "doctor"]);
    let item = doctor.of_type("doctor").into_iter().find(|item| item["check"] == "backups").unwrap();
    assert_eq!(item["ready"], false, "{item}");
}

#[test]
fn a_large_backup_goes_up_in_parts_and_every_format_is_read_from_there() {
    let (Some(bucket), Some(scene)) = (Bucket::make("parts"), Scene::new("parts")) else { return };
    scene.postgres.sql(
        "CREATE TABLE filler (id int PRIMARY KEY, text text); \
         INSERT INTO filler SELECT i, md5(i::text) || md5((-i)::text) FROM generate_series(1, 270000) i",
    );
    let policy = format!("{RECOVERY}directory: \"s3://{}\"\npattern: db_backup_*.sql\n", bucket.name);
    fs::write(scene.root.path().join("policies/recovery.yml"), policy).unwrap();
    let taken = run(&scene, &bucket, &["--format", "json", "backup", "take"]).expect(0);
    let bytes = taken.of_type("backup")[0]["backup"]["bytes"].as_u64().unwrap();
    assert!(bytes > 17 << 20, "{bytes}");
    scene.postgres.sql("DROP TABLE filler");
    let file = |name: &str| scene.root.path().join(name).display().to_string();
    let dump = |words: &[&str]| {
        let output = Command::new("pg_dump").args(["-d", &scene.postgres.url]).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    dump(&["-Fc", "-f", &file("custom")]);
    dump(&["-Fd", "-f", &file("folder")]);
    bucket.put("db_backup_20261121_010000.sql", &fs::read(file("custom")).unwrap());
    for entry in fs::read_dir(file("folder")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        bucket.put(&format!("db_backup_20261121_020000.sql/{name}"), &fs::read(entry.path()).unwrap());
    }
    for name in ["db_backup_20261121_010000.sql", "db_backup_20261121_020000.sql"] {
        let ran = run(&scene, &bucket, &["--format", "json", "backup", "drill", name]).expect(0);
        assert_eq!(paths(&ran), [format!("s3://{}/{name}", bucket.name)]);
        assert!(check(&ran, "restored").1.contains("as its text says"), "{}", ran.stdout);
        assert!(ran.of_type("backup")[0]["backup"]["sha256"].is_string(), "{}", ran.stdout);
    }
    assert!(!Path::new(&file(".portcullis/portcullis-fetched")).is_dir() || fetched(&scene) == 0);
}
