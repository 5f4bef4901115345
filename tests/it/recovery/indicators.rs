//! Indicators in the text of backups: shown by a verification, and a reason against a clean one as far as policy says.

use std::fs;

use super::{RECOVERY, Scene, gz};
use crate::support::Ran;

const LIST: &str = "203.0.113.7 # drop server\n# level: medium\nrobot-trader/9\n";

/// The check of each verdict, by whether it passed, is only a hint, and its reason.
fn seen(ran: &Ran) -> Vec<(bool, bool, String)> {
    let of = |verdict: &serde_json::Value| {
        let checks = verdict["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == "indicators")?;
        let is = |key: &str| check[key] == true;
        Some((is("passed"), is("advisory"), check["reason"].as_str().unwrap().to_owned()))
    };
    ran.of_type("backup").iter().filter_map(of).collect()
}

#[test]
fn a_backup_with_an_indicator_is_clean_as_far_as_policy_says() {
    let Some(scene) = Scene::new("indicators") else { return };
    fs::create_dir(scene.root.path().join("policies/indicators")).unwrap();
    fs::write(scene.root.path().join("policies/indicators/list.txt"), LIST).unwrap();
    for (hour, note) in [("01", ""), ("02", "by robot-trader/9, twice"), ("03", "from 203.0.113.7:443")] {
        if !note.is_empty() {
            scene.postgres.sql(&format!("UPDATE \"Trade\" SET note = '{note}' WHERE id = 3"));
        }
        scene.write(&format!("db_backup_20261121_{hour}0000.sql.gz"), &gz(scene.dump().as_bytes()));
    }
    // Looked at for themselves they are good, and what stands in them is told.
    let ran = scene.run(&["--format", "json", "backup", "verify"]).expect(0);
    let told = seen(&ran);
    assert_eq!(told.len(), 3, "{}", ran.stdout);
    assert!(told[0].2.starts_with("203.0.113.7 (high, "), "{}", told[0].2);
    assert!(told[0].2.contains("list.txt:1) stands in `Trade`, `note`, line "), "{}", told[0].2);
    assert_eq!((told[0].0, told[0].1, told[1].0, told[1].1, told[2].0), (false, true, false, true, true));
    // The clean one is the newest below the limit.
    scene.open();
    for (limit, refused, chosen) in [("", 1, "02"), ("indicators: medium\n", 2, "01"), ("indicators: never\n", 0, "03")]
    {
        fs::write(scene.root.path().join("policies/recovery.yml"), format!("{RECOVERY}{limit}")).unwrap();
        let ran = scene.run(&["--format", "json", "restore", "--clean", "--plan"]).expect(0);
        let verdicts = ran.of_type("backup");
        assert_eq!(verdicts.len(), refused + 1, "{limit}: {}", ran.stdout);
        let path = verdicts.last().unwrap()["backup"]["path"].as_str().unwrap();
        assert!(path.contains(&format!("_{chosen}0000")), "{limit}: {path}");
        assert!(seen(&ran)[..refused].iter().all(|(passed, advisory, _)| !passed && !advisory), "{limit}");
    }
    // A backup that is passed over for its time is named too.
    let ran = scene.run(&["--format", "json", "restore", "--newest", "--before", "2026-11-21T01:30:00Z", "--plan"]);
    let verdicts = ran.expect(0).of_type("backup");
    let refused = |verdict: &serde_json::Value| verdict["checks"][0]["check"] == "before";
    assert_eq!(verdicts.iter().map(refused).collect::<Vec<_>>(), [true, true, false], "{verdicts:?}");
    // Without a server's programs on this machine its text is what there is, and that is said.
    let policy = format!("{RECOVERY}postgres_bin: /nowhere\n");
    fs::write(scene.root.path().join("policies/recovery.yml"), policy).unwrap();
    let ran = scene.run(&["--format", "json", "restore", "--clean", "--plan"]).expect(0);
    assert!(ran.stdout.contains("judged by its text alone"), "{}", ran.stdout);
}
