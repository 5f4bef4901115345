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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Both ways to be cut off at an effect.
fn points(effects: u64) -> Vec<String> {
    (1..=effects).flat_map(|n| [format!("halt-before={n}"), format!("halt-after={n}")]).collect()
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
        assert!(pairs > 1000);
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
    for point in points(second) {
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
