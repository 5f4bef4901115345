use proptest::prelude::*;

use super::*;

fn row(phase: Phase, target: &str, stand: Stand) -> Row {
    Row { id: StepId::new("x").unwrap(), phase, target: target.into(), stand }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A lockdown of eight credentials at some moment of it.
fn lockdown(moment: u64) -> Table {
    let ended = |outcome, ms_spent| Stand::Ended(outcome, ms(ms_spent));
    let at = |began: u64, spent: u64, outcome| match moment {
        now if now < began => Stand::Waiting,
        now if now < began + spent => Stand::Running(ms(began)),
        _ => ended(outcome, spent),
    };
    let mut rows = vec![
        row(Phase::Pause, "guard on Trade", at(0, 31, Outcome::Done)),
        row(Phase::Pause, "switch flag", at(0, 4, Outcome::Already)),
        row(Phase::Pause, "canary trade refused", at(31, 10, Outcome::Done)),
        row(Phase::Evidence, "database", at(0, 900, Outcome::Done)),
        row(Phase::Evidence, "stores", at(0, 30_000, Outcome::Failed)),
    ];
    for number in 0..8_u64 {
        let name = format!("credential-{number}");
        let fate = if number == 2 { Outcome::Failed } else { Outcome::Done };
        let after = if number == 2 { Outcome::Skipped } else { Outcome::Done };
        rows.push(row(Phase::Rotate, &format!("{name} new value sealed"), at(50, 20, Outcome::Done)));
        rows.push(row(
            Phase::Rotate,
            &format!("{name} in Secrets Manager prod/{name}"),
            at(100 + number * 300, 2_000, fate),
        ));
        rows.push(row(Phase::Rotate, &format!("{name} old value refused"), at(2_500 + number * 300, 800, after)));
    }
    rows.push(row(Phase::Rotate, "exchange by hand", at(50, 1, Outcome::Manual)));
    Table {
        title: "lockdown  inc-20261124T030000Z-71dc".into(),
        objective: Some(Duration::from_mins(15)),
        before: ms(1_200),
        rows,
    }
}

const PLAIN: Frame = Frame { width: 80, height: 24, color: false };

fn picture(table: &Table, now: Duration, frame: Frame) -> String {
    render(table, now, frame).join("\n")
}

#[test]
fn frames_of_a_lockdown() {
    for moment in [0, 35, 1_500, 3_400, 40_000] {
        insta::assert_snapshot!(format!("at_{moment}_ms"), picture(&lockdown(moment), ms(moment), PLAIN));
    }
}

#[test]
fn a_small_terminal_keeps_what_matters() {
    let frame = Frame { width: 44, height: 9, color: false };
    insta::assert_snapshot!("small", picture(&lockdown(3_400), ms(3_400), frame));
}

#[test]
fn colours_carry_meaning_and_no_width() {
    let (table, now) = (lockdown(3_400), ms(3_400));
    let colored = picture(&table, now, Frame { color: true, ..PLAIN });
    let bare = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap().replace_all(&colored, "").into_owned();
    assert_eq!(bare, picture(&table, now, PLAIN));
    assert!(colored.contains("\x1b[31;1mFAILED"), "{colored}");
}

fn any_stand() -> impl Strategy<Value = Stand> {
    use Outcome::{Already, Done, Failed, Manual, Skipped, Unknown};
    prop_oneof![
        Just(Stand::Waiting),
        (0..100_000_u64).prop_map(|since| Stand::Running(ms(since))),
        (prop::sample::select(vec![Done, Already, Failed, Unknown, Manual, Skipped]), 0..9_000_000_u64)
            .prop_map(|(outcome, spent)| Stand::Ended(outcome, ms(spent))),
    ]
}

proptest! {
    #[test]
    fn no_frame_is_larger_than_its_terminal(
        rows in prop::collection::vec((prop::sample::select(PHASES.to_vec()), any::<String>(), any_stand()), 0..60),
        title in any::<String>(), width in 20..200_usize, height in 2..60_usize, now in 0..9_000_000_u64,
    ) {
        let rows: Vec<_> = rows.iter().map(|(phase, target, stand)| row(*phase, target, *stand)).collect();
        let failed = rows.iter().filter(|row| state(row.stand).2 == 0).count();
        let table = Table { title, objective: Some(Duration::from_mins(15)), before: Duration::ZERO, rows };
        let lines = render(&table, ms(now), Frame { width, height, color: false });
        prop_assert!(lines.len() < height.max(2));
        // Forty columns hold the clock and the counts; narrower ones may cut them.
        prop_assert!(width < 40 || lines.iter().all(|line| line.chars().count() < width), "{lines:#?}");
        prop_assert!(lines.iter().all(|line| !line.chars().any(char::is_control)));
        let shown = lines.iter().filter(|line| line.contains("FAILED") || line.contains("UNKNOWN")).count();
        prop_assert!(shown >= failed.min(height.saturating_sub(7)));
    }
}
