//! Rows of every common type, ordinary and odd, come back as they were: those of big tables are sent in COPY's binary format.

use std::process::Command;

use super::{Scene, gz};

/// More than three blocks of rows, with what the binary format is not used for strewn in.
const TABLE: &str = r#"
CREATE TABLE "Wide" (id bigint PRIMARY KEY, small smallint, plain integer, flag boolean, word varchar(40), fixed character(8), side "Side",
  amount numeric(28,10), free numeric, at timestamp(3), zoned timestamptz, day date, tag uuid, doc jsonb, raw json, note text, bytes bytea);
INSERT INTO "Wide" SELECT i, i % 30000 - 15000, i * 37 - 500000, i % 3 = 0, 'w' || i, 'f' || i % 7, CASE i % 2 WHEN 0 THEN 'BUY' ELSE 'SELL' END::"Side",
  (i - 9000) * 1234567.0000089 / (1 + i % 13), CASE i % 4 WHEN 0 THEN i * 1e30 WHEN 1 THEN i / 7e9 ELSE -i END,
  '1850-01-01'::timestamp + i * interval '3 days 7 minutes 1.037 seconds', '1970-01-01'::timestamptz + i * interval '1 day 1 microsecond',
  '0900-01-01'::date + i * 11, md5(i::text)::uuid, jsonb_build_object('n', i, 't', E'a"b\\c\n'), json_build_array(i, 'x'),
  CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'tab\there\nline\\N\r\b\f\v' WHEN 3 THEN 'naïve – ünïcödé 🦀' ELSE repeat('y', i % 90) END,
  NULL FROM generate_series(1, 20000) i;
UPDATE "Wide" SET free = 'NaN', at = 'infinity', zoned = '-infinity', day = '0044-03-15 BC' WHERE id IN (7, 9000);
UPDATE "Wide" SET small = NULL, plain = NULL, flag = NULL, word = NULL, side = NULL, amount = NULL, at = NULL, tag = NULL, doc = NULL WHERE id % 100 = 0;
CREATE TABLE "Plain" AS SELECT * FROM "Wide";
ALTER TABLE "Plain" DROP COLUMN bytes;
"#;

#[test]
fn rows_of_every_type_come_back_as_they_were() {
    let Some(scene) = Scene::new("types") else { return };
    scene.postgres.sql(TABLE);
    scene.open();
    let rows = || {
        let url = &scene.postgres.url;
        let output =
            Command::new("pg_dump").args(["--data-only", "-t", "\"Wide\"", "-t", "\"Plain\"", "-d", url]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let own = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        // Two connections fill a table: its rows come to lie in another order.
        let mut lines: Vec<String> = text.lines().filter(own).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = rows();
    assert!(before.len() > 40_000, "{}", before.len());
    let backup = scene.write("db_backup_20261121_010000.sql.gz", &gz(scene.dump().as_bytes()));
    scene.postgres.sql("DELETE FROM \"Plain\"; UPDATE \"Wide\" SET note = 'x'");
    scene.run(&["restore", &backup, "--yes"]).expect(0);
    let after = rows();
    let first = before.iter().zip(&after).find(|(one, other)| one != other);
    assert!(before == after, "{first:?}");
}
