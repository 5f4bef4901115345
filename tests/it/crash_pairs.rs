//! Lockdowns on the small deployment, cut off at every effect, and cut off again at every effect of the next run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::invariants::When;
use crate::small::{End, Small};

/// Runs at once: each waits (between the tries of a proof) more than it computes.
const AT_ONCE: usize = 64;
/// One of so many pairs is tried, unless all are asked for.
const STRIDE: usize = 6;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Every effect to be cut off before; before the next one is after this one.
fn points(effects: u64) -> Vec<String> {
    (1..=effects).map(|n| format!("halt-before={n}")).collect()
}

async fn effects(small: &Small, from: &std::path::Path) -> u64 {
    let copy = Small::copy_of(from);
    let number = copy.path().join("effects");
    let end = small.lockdown(copy.path(), &format!("count={}", number.display())).await;
    assert_eq!(end, End::Well);
    std::fs::read_to_string(number).unwrap().parse().unwrap()
}

#[test]
fn cut_off_twice_anywhere_it_ends_the_same() {
    let small = Arc::new(Small::new());
    let began = Instant::now();
    runtime().block_on(async {
        let first = effects(&small, &small.pristine).await;
        let (pairs, places) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(AT_ONCE)));
        let mut flying = JoinSet::new();
        for point in points(first) {
            let (small, pairs, places) = (Arc::clone(&small), Arc::clone(&pairs), Arc::clone(&places));
            flying.spawn(async move { after_first(small, point, pairs, places).await });
        }
        let mut wrong = Vec::new();
        while let Some(joined) = flying.join_next().await {
            wrong.extend(joined.unwrap());
        }
        let pairs = pairs.load(Ordering::SeqCst);
        println!("{first} effects, {pairs} pairs, {:.1} s", began.elapsed().as_secs_f64());
        assert!(wrong.is_empty(), "{} of {pairs}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
        assert!(pairs > 400, "{pairs}");
    });
}

async fn after_first(small: Arc<Small>, first: String, pairs: Arc<AtomicUsize>, places: Arc<Semaphore>) -> Vec<String> {
    let place = Arc::clone(&places).acquire_owned().await.unwrap();
    let once = Small::copy_of(&small.pristine);
    let mut wrong = Vec::new();
    let end = small.lockdown(once.path(), &first).await;
    assert_ne!(end, End::Well, "{first}");
    wrong.extend(small.violations(once.path(), When::Between).await.into_iter().map(|why| format!("{first}: {why}")));
    let second = effects(&small, once.path()).await;
    drop(place);
    let mut flying = JoinSet::new();
    // All pairs take minutes. Otherwise each N is met by another sixth of all M, so that each N and each M is met.
    let all = std::env::var_os("PORTCULLIS_TEST_ALL_PAIRS").is_some();
    let offset: usize = first.rsplit('=').next().unwrap().parse().unwrap();
    for (_, point) in points(second).into_iter().enumerate().filter(|(m, _)| all || (m + offset).is_multiple_of(STRIDE))
    {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let twice = Small::copy_of(once.path());
        let (small, first) = (Arc::clone(&small), first.clone());
        pairs.fetch_add(1, Ordering::SeqCst);
        flying.spawn(async move {
            let mut wrong = Vec::new();
            let end = small.lockdown(twice.path(), &point).await;
            if end != End::Well {
                wrong.extend(small.violations(twice.path(), When::Between).await);
                wrong.extend(small.finish(twice.path()).await);
            }
            drop(place);
            wrong.into_iter().map(|why| format!("{first}, {point}: {why}")).collect::<Vec<_>>()
        });
    }
    while let Some(joined) = flying.join_next().await {
        wrong.extend(joined.unwrap());
    }
    wrong
}

/// Every point on its own copy, many at once: what is wrong, with the point's name.
async fn each(small: &Arc<Small>, points: Vec<String>) -> Vec<String> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut flying = JoinSet::new();
    for point in points {
        let (small, places) = (Arc::clone(small), Arc::clone(&places));
        flying.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let copy = Small::copy_of(&small.pristine);
            small.lockdown(copy.path(), &point).await;
            let mut wrong = small.violations(copy.path(), When::Between).await;
            wrong.extend(small.finish(copy.path()).await);
            wrong.into_iter().map(|why| format!("{point}: {why}")).collect::<Vec<_>>()
        });
    }
    let mut wrong = Vec::new();
    while let Some(joined) = flying.join_next().await {
        wrong.extend(joined.unwrap());
    }
    wrong
}

#[test]
fn a_reply_lost_anywhere_changes_nothing_in_the_end() {
    let small = Arc::new(Small::new());
    runtime().block_on(async {
        let effects = effects(&small, &small.pristine).await;
        // Lost, and the run goes on; lost, and the process dies before the next effect; dies right after the effect.
        let lost = (1..=effects).flat_map(|n| {
            let next = n + 1;
            [format!("lose-reply={n}"), format!("lose-reply={n},halt-before={next}"), format!("halt-after={n}")]
        });
        let points: Vec<String> = lost.collect();
        let number = points.len();
        let wrong = each(&small, points).await;
        println!("{effects} effects, {number} points of lost replies");
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    });
}

#[test]
fn a_ledger_torn_at_any_byte_of_its_last_entries_goes_on() {
    let small = Arc::new(Small::new());
    runtime().block_on(async {
        // In the middle of the work: the checkpoint covers only the beginning.
        let torn = Small::copy_of(&small.pristine);
        let middle = effects(&small, &small.pristine).await / 2;
        small.lockdown(torn.path(), &format!("halt-before={middle}")).await;
        let case = crate::support::case_folder(torn.path()).strip_prefix(torn.path()).unwrap().join("ledger.jsonl");
        let whole = std::fs::read(torn.path().join(&case)).unwrap();
        let starts: Vec<usize> = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
        let from = starts[starts.len() - 4];
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut flying = JoinSet::new();
        for length in from..whole.len() {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let copy = Small::copy_of(torn.path());
            std::fs::write(copy.path().join(&case), &whole[..length]).unwrap();
            let (small, whole_line) = (Arc::clone(&small), starts.contains(&length));
            flying.spawn(async move {
                let mut wrong = small.finish(copy.path()).await;
                let aside = crate::support::case_folder(copy.path()).join("quarantine").is_dir();
                if aside == whole_line {
                    wrong.push(format!("put aside: {aside}"));
                }
                drop(place);
                wrong.into_iter().map(|why| format!("{length}: {why}")).collect::<Vec<_>>()
            });
        }
        let mut wrong = Vec::new();
        while let Some(joined) = flying.join_next().await {
            wrong.extend(joined.unwrap());
        }
        println!("{} lengths", whole.len() - from);
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    });
}
