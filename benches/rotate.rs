//! A lockdown of 100 credentials (60 in Secrets Manager, 20 PostgreSQL roles, 20 API keys) against a script that does the same
//! rotate-and-prove work with boto3 and psycopg on 8 threads, on a private PostgreSQL server and moto; then under a limit of 50
//! writes a second. Every run is checked by asking the servers. Ends with 1 if anything was not contained.
//!
//! `cargo bench --bench rotate`; `ROTATE_ROUNDS` (5) and `ROTATE_SHARE` (100 percent of the credentials) make it shorter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "../tests/it/proxy/mod.rs"]
#[allow(dead_code, unused_imports)]
mod proxy;
#[path = "rotate/scene.rs"]
mod scene;
#[path = "rotate/servers.rs"]
mod servers;

use std::process::ExitCode;

use scene::{Ran, Scene, Size};
use servers::Servers;

/// Writes a second that a region of Secrets Manager allows, and how many at once.
const LIMIT: f64 = 50.0;
const BURST: f64 = 5.0;
/// Bars: wall time against the script's, against the limit's floor, and MB.
const BARS: [f64; 3] = [1.0, 1.15, 64.0];

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Adds what is wrong about a run, by its exit code and by the servers.
async fn judge(who: &str, scene: &Scene<'_>, ran: &Ran, wrong: &mut Vec<String>) {
    if ran.code != Some(0) {
        let steps = ran.said.lines().filter(|line| !line.contains("\"outcome\":\"done\""));
        wrong.push(format!("{who} ended with {:?}: {}", ran.code, steps.collect::<Vec<_>>().join("\n")));
    }
    wrong.extend(scene.wrong().await.into_iter().map(|what| format!("{who}: {what}")));
}

/// The seconds that the script says it took, without its imports.
fn inner(ran: &Ran) -> f64 {
    let said: serde_json::Value = serde_json::from_str(ran.said.lines().next().unwrap_or_default()).unwrap_or_default();
    said["seconds"].as_f64().unwrap_or(f64::NAN)
}

async fn measure(servers: &Servers) -> ExitCode {
    let share = number("ROTATE_SHARE", 100);
    let rounds = number("ROTATE_ROUNDS", 5);
    let size: Size = [60 * share / 100, 20 * share / 100, 20 * share / 100];
    let (mut ours, mut theirs, mut theirs_inner, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
    let mut wrong = Vec::new();
    for round in 0..rounds {
        // Each goes first in turn.
        for turn in 0..2 {
            let lockdown = (round + turn) % 2 == 0;
            let scene = Scene::new(servers, &format!("r{round}{}", if lockdown { "a" } else { "b" }), size).await;
            let ran = if lockdown { scene.lockdown(&servers.aws) } else { scene.script() };
            judge(if lockdown { "lockdown" } else { "script" }, &scene, &ran, &mut wrong).await;
            if lockdown {
                if let Ok(f) = std::env::var("ROTATE_KEEP") {
                    std::fs::write(f, &ran.said).unwrap();
                }
                ours.push(ran.wall);
                memory = memory.max(ran.memory);
            } else {
                theirs.push(ran.wall);
                theirs_inner.push(inner(&ran));
            }
        }
    }
    let proxy = proxy::aws::AwsProxy::start(&servers.aws);
    let scene = Scene::new(servers, "unpaced", size).await;
    let ran = scene.lockdown(&proxy.url);
    judge("lockdown through the proxy", &scene, &ran, &mut wrong).await;
    let (through, requests) = (ran.wall, proxy.counts());
    let mut limited = Vec::new();
    let mut throttled = 0;
    for round in 0..rounds.min(3) {
        proxy.limit_writes(LIMIT, BURST);
        let scene = Scene::new(servers, &format!("l{round}"), size).await;
        let before = proxy.counts();
        let ran = scene.lockdown(&proxy.url);
        judge("lockdown under the limit", &scene, &ran, &mut wrong).await;
        let counts = proxy.counts();
        throttled = throttled.max(counts.throttled - before.throttled);
        memory = memory.max(ran.memory);
        let writes = u32::try_from(counts.writes - before.writes).unwrap();
        limited.push((ran.wall, f64::from(writes) / LIMIT));
    }
    let (wall, script) = (median(&mut ours), median(&mut theirs));
    let mut over: Vec<f64> = limited.iter().map(|(wall, floor)| wall / floor).collect();
    let figures = [wall / script, median(&mut over), memory];
    println!("{:<58}{:>9.2}   {:.2?}", "lockdown (s, median)", wall, ours);
    println!("{:<58}{:>9.2}   {:.2?}", "script, 8 threads (s, median)", script, theirs);
    println!("{:<58}{:>9.2}", "script without its imports (s, median)", median(&mut theirs_inner));
    println!("{:<58}{:>9.2}", "lockdown through the proxy, no limit (s)", through);
    println!("{:<58}{:>9}", "requests to Secrets Manager of one lockdown", requests.requests);
    println!("{:<58}{:>9}", "of these writes", requests.writes);
    println!("{:<58}{:>9}   {:.2?}", "refused under the limit (most), (wall, floor)", throttled, limited);
    let names = ["lockdown / script", "50 writes/s: wall / (writes / 50), median", "peak memory (MB)"];
    println!("{:<58}{:>9}{:>9}", "", "measured", "bar");
    for ((name, figure), bar) in names.iter().zip(figures).zip(BARS) {
        println!("{name:<58}{figure:>9.2}{bar:>9.2}{}", if figure <= bar { "" } else { "   over the bar" });
    }
    for what in wrong.iter().take(20) {
        println!("WRONG: {what}");
    }
    println!("{:<58}{:>9}{:>9}", "not contained", wrong.len(), 0);
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    // `cargo test --benches` only asks whether it can be built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let servers = Servers::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&servers))
}
