//! Log files scanned on all cores: small files side by side, the blocks of a large one too; results in the order of the
//! files, whatever finished first.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::adapters::log_files::Input;
use crate::detect::logs::{Block, Blocks, Coverage, Fed, Head, Ordered, Range, Ruleset, ScanOptions, Scanned, scan};
use crate::domain::{Finding, counted};
use crate::ui::Progress;

use super::scan_resume::Done;

/// Findings that wait for an earlier file before later ones stop.
const WAITING: usize = 4_096;
/// Results on their way to the printer before scanning slows down.
const QUEUE: usize = 4;
/// Blocks between two notes of how far a file is done.
const NOTE: u64 = 256;

/// Where results go, in order, each with the number of its piece.
pub struct Outputs<'a> {
    /// Findings.
    pub finding: &'a mut dyn FnMut(usize, Finding),
    /// Events for correlations.
    pub feed: &'a mut dyn FnMut(usize, Fed),
    /// How far a piece is done, now and then and at its end.
    pub done: &'a mut dyn FnMut(usize, &Done),
}

/// A file, or a part of one.
pub struct Piece<'a> {
    /// The file.
    pub input: &'a Input,
    /// Which part; all of it if none.
    pub part: Option<(Head, Range)>,
}

impl<'a> Piece<'a> {
    /// All of a file.
    pub fn whole(input: &'a Input) -> Self {
        Self { input, part: None }
    }

    /// Bytes to read, as far as that is known.
    fn size(&self) -> u64 {
        let size = self.input.size();
        self.part.as_ref().map_or(size, |(_, range)| range.to.unwrap_or(size).saturating_sub(range.from))
    }

    fn open<'b>(&self, options: &ScanOptions, bytes: &'b AtomicU64) -> io::Result<Blocks<'b>> {
        Ok(match &self.part {
            None => Blocks::new(Counted(self.input.open()?, bytes), options),
            Some((head, range)) => Blocks::part(Counted(self.input.open_at(range.begin())?, bytes), head, range),
        })
    }
}

/// What is scanned.
pub struct Job<'a> {
    /// The rules.
    pub rules: &'a Ruleset,
    /// The files, or parts of them.
    pub pieces: &'a [Piece<'a>],
    /// The options for one file.
    pub options: &'a (dyn Fn(&Input) -> ScanOptions + Sync),
    /// How far the first files were done by an earlier run.
    pub earlier: &'a [Done],
}

enum Message {
    Opened(usize, Option<crate::detect::logs::formats::Format>),
    Scanned(usize, u64, Scanned),
    /// An earlier run had done all of the file.
    Known(usize, Box<Coverage>),
    /// Blocks in all, and why reading ended early.
    Ended(usize, u64, Option<String>),
}

/// A block that another thread may scan.
struct Task {
    file: usize,
    number: u64,
    block: Block,
    options: ScanOptions,
}

#[derive(Default)]
struct State {
    next: usize,
    tasks: VecDeque<Task>,
    readers: usize,
    idle: usize,
    /// The first file that is not done, and the findings of others that wait for it.
    current: usize,
    waiting: usize,
}

struct Pool<'a> {
    job: &'a Job<'a>,
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes read of the files as they are.
    bytes: AtomicU64,
}

/// Counts what is read.
struct Counted<'a, R>(R, &'a AtomicU64);

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Scans all files; what was covered of each, in their order.
pub fn run(job: &Job<'_>, outputs: &mut Outputs<'_>) -> Vec<Coverage> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let progress = Progress::bytes(job.pieces.iter().map(Piece::size).sum(), "scanning, 0 findings");
    let pool = Pool { job, state: Mutex::default(), changed: Condvar::new(), bytes: AtomicU64::new(0) };
    let (sender, receiver) = sync_channel(QUEUE);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (pool, sender) = (&pool, sender.clone());
            scope.spawn(move || pool.work(&sender));
        }
        drop(sender);
        let mut merge = Merge::new(job);
        let Outputs { finding, feed, done } = outputs;
        // What is printed must not end up in the bar's line.
        let mut finding = |at, found| progress.above(|| finding(at, found));
        let mut outputs = Outputs { finding: &mut finding, feed, done };
        for message in receiver {
            merge.take(message, &mut outputs);
            let now = (merge.current, merge.waiting());
            let mut state = pool.lock();
            if (state.current, state.waiting) != now {
                (state.current, state.waiting) = now;
                pool.changed.notify_all();
            }
            drop(state);
            progress.say(&format!("scanning, {}", counted(merge.found, "finding", "findings")));
            progress.advance(pool.bytes.swap(0, Ordering::Relaxed));
        }
        progress.finish();
        merge.said
    })
}

impl Pool<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, sender: &SyncSender<Message>) {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                drop(state);
                self.scan(&task, sender);
            } else if state.next < self.job.pieces.len() && (state.readers == 0 || state.waiting < WAITING) {
                let file = state.next;
                state.next += 1;
                state.readers += 1;
                drop(state);
                self.read(file, sender);
                self.lock().readers -= 1;
                self.changed.notify_all();
            } else if state.readers == 0 && state.next >= self.job.pieces.len() {
                return;
            } else {
                state = self.wait(state);
                continue;
            }
            state = self.lock();
        }
    }

    fn wait<'s>(&self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.idle += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state
    }

    fn scan(&self, task: &Task, sender: &SyncSender<Message>) {
        let scanned = scan(self.job.rules, &task.block, &task.options);
        // The receiver outlives the workers.
        let _ = sender.send(Message::Scanned(task.file, task.number, scanned));
    }

    /// Holds a later file back while too much waits for the current one, and helps with that.
    fn hold_back(&self, file: usize, sender: &SyncSender<Message>) {
        let mut state = self.lock();
        while state.current != file && state.waiting >= WAITING {
            if let Some(task) = state.tasks.pop_front() {
                drop(state);
                self.scan(&task, sender);
                state = self.lock();
            } else {
                state = self.wait(state);
            }
        }
    }

    /// Cuts a file into blocks and scans those that nobody else is free for.
    fn read(&self, file: usize, sender: &SyncSender<Message>) {
        let piece = &self.job.pieces[file];
        let earlier = self.job.earlier.get(file);
        if let Some(done) = earlier.filter(|done| done.whole) {
            let _ = sender.send(Message::Known(file, Box::new(done.coverage.clone())));
            return;
        }
        let skip = earlier.map_or(0, |done| done.blocks);
        let options = (self.job.options)(piece.input);
        let mut blocks = match piece.open(&options, &self.bytes) {
            Ok(blocks) => blocks,
            Err(error) => {
                let _ = sender.send(Message::Ended(file, 0, Some(error.to_string())));
                return;
            }
        };
        let _ = sender.send(Message::Opened(file, blocks.format()));
        let mut number = 0;
        while let Some(block) = blocks.next_block() {
            if number < skip {
                number += 1;
                continue;
            }
            self.hold_back(file, sender);
            let task = Task { file, number, block, options: options.clone() };
            number += 1;
            let mut state = self.lock();
            // Two for each free thread: the next is at hand when one is done.
            if state.idle > 0 && state.tasks.len() < 2 * state.idle {
                state.tasks.push_back(task);
                drop(state);
                self.changed.notify_one();
            } else {
                drop(state);
                self.scan(&task, sender);
            }
        }
        let _ = sender.send(Message::Ended(file, number, blocks.failed().map(str::to_owned)));
    }
}

/// One file's results, as far as they are there.
#[derive(Default)]
struct Partial {
    ordered: Option<Ordered>,
    next: u64,
    later: HashMap<u64, Scanned>,
    findings: usize,
    ended: Option<(u64, Option<String>)>,
    /// Blocks up to which it was noted how far the file is done.
    noted: u64,
    known: Option<Coverage>,
}

/// Puts results in order.
struct Merge<'a> {
    job: &'a Job<'a>,
    partial: HashMap<usize, Partial>,
    current: usize,
    said: Vec<Coverage>,
    found: u64,
}

impl<'a> Merge<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        Self { job, partial: HashMap::new(), current: 0, said: Vec::new(), found: 0 }
    }

    /// Findings that wait for an earlier file.
    fn waiting(&self) -> usize {
        self.partial.iter().filter(|(file, _)| **file != self.current).map(|(_, partial)| partial.findings).sum()
    }

    fn take(&mut self, message: Message, outputs: &mut Outputs<'_>) {
        match message {
            Message::Opened(file, format) => {
                let name = self.job.pieces[file].input.name();
                let earlier = self.job.earlier.get(file);
                let partial = self.partial.entry(file).or_default();
                partial.ordered = Some(match earlier {
                    Some(done) => Ordered::resumed(&name, done.coverage.clone()),
                    None => Ordered::new(&name, format),
                });
                partial.next = earlier.map_or(0, |done| done.blocks);
                partial.noted = partial.next;
            }
            Message::Known(file, coverage) => {
                self.partial.entry(file).or_default().known = Some(*coverage);
            }
            Message::Scanned(file, number, scanned) => {
                let partial = self.partial.entry(file).or_default();
                partial.findings += scanned.findings();
                partial.later.insert(number, scanned);
            }
            Message::Ended(file, blocks, failed) => {
                self.partial.entry(file).or_default().ended = Some((blocks, failed));
            }
        }
        while self.flush(outputs) {}
    }

    /// Gives what the current file has in order; whether the file is done.
    fn flush(&mut self, outputs: &mut Outputs<'_>) -> bool {
        let Some(partial) = self.partial.get_mut(&self.current) else { return false };
        let mut found = 0;
        while let Some(scanned) = partial.later.remove(&partial.next) {
            partial.next += 1;
            partial.findings -= scanned.findings();
            if let Some(ordered) = &mut partial.ordered {
                let (at, finding, feed) = (self.current, &mut outputs.finding, &mut outputs.feed);
                let mut count = |one: Finding| {
                    found += 1;
                    finding(at, one);
                };
                ordered.take(self.job.rules, scanned, &mut count, &mut |fed| feed(at, fed));
            }
        }
        self.found += found;
        let (blocks, known) = (partial.next, partial.known.take());
        if let Some((ordered, true)) = partial.ordered.as_ref().map(|ordered| (ordered, blocks >= partial.noted + NOTE))
        {
            partial.noted = blocks;
            (outputs.done)(self.current, &Done { blocks, coverage: ordered.coverage().clone(), whole: false });
        }
        let coverage = if let Some(known) = known {
            known
        } else {
            let Some((_, failed)) = partial.ended.take_if(|(all, _)| *all == blocks) else { return false };
            let coverage = match partial.ordered.take() {
                Some(ordered) => ordered.finish(failed.as_deref()),
                None => Coverage { unreadable: failed, ..Coverage::default() },
            };
            (outputs.done)(self.current, &Done { blocks, coverage: coverage.clone(), whole: true });
            coverage
        };
        self.said.push(coverage);
        self.partial.remove(&self.current);
        self.current += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Source;

    const RULES: &str = "title: r\nid: r\ndetection:\n  s:\n    event: needle\n  condition: s\n";

    #[test]
    fn results_come_in_the_order_of_files_and_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for file in 0..12_u32 {
            let path = folder.path().join(format!("{file:02}.log"));
            // Files of many blocks and of one; every seventh event is one that is looked for.
            let lines = if file % 5 == 0 { 40_000 } else { 50 };
            let event = |n: u32| if n.is_multiple_of(7) { "needle" } else { "hay" };
            let mut text = String::new();
            for n in 0..lines {
                text.push_str(&format!("{{\"event\":\"{}\",\"n\":{n}}}\n", event(n)));
            }
            std::fs::write(&path, text).unwrap();
            names.push(path.display().to_string());
        }
        let (inputs, unreadable) = crate::adapters::log_files::expand(&names);
        assert!(unreadable.is_empty());
        let rules = Ruleset::from_texts([("r.yml", RULES)]);
        let pieces: Vec<Piece<'_>> = inputs.iter().map(Piece::whole).collect();
        let job = Job { rules: &rules, pieces: &pieces, options: &|_| ScanOptions::default(), earlier: &[] };
        let mut places = Vec::new();
        let mut note = |_, finding: Finding| {
            let Source::File { path, record, line, .. } = finding.source else { panic!("not a file") };
            assert_eq!((record % 7, line), (0, Some(record + 1)));
            places.push((path, record));
        };
        let mut noted = Vec::new();
        let mut outputs =
            Outputs { finding: &mut note, feed: &mut |_, _| {}, done: &mut |at, done| noted.push((at, done.clone())) };
        let said = run(&job, &mut outputs);
        assert!(places.is_sorted());
        assert_eq!(places.len(), 3 * 5_715 + 9 * 8);
        assert_eq!(said.iter().map(|c| c.events).sum::<u64>(), 3 * 40_000 + 9 * 50);
        assert_eq!(noted.iter().filter(|(_, done)| done.whole).count(), inputs.len());

        // As if the run had been interrupted within the sixth file.
        let mut earlier: Vec<Done> =
            said[..5].iter().map(|c| Done { coverage: c.clone(), whole: true, blocks: 9 }).collect();
        let options = ScanOptions::default();
        let mut blocks = Blocks::new(inputs[5].open().unwrap(), &options);
        let mut ordered = Ordered::new(&inputs[5].name(), blocks.format());
        let mut before = places.iter().filter(|(path, _)| *path < inputs[5].name()).count();
        for _ in 0..2 {
            let scanned = scan(&rules, &blocks.next_block().unwrap(), &options);
            ordered.take(&rules, scanned, &mut |_| before += 1, &mut |_| {});
        }
        earlier.push(Done { blocks: 2, coverage: ordered.coverage().clone(), whole: false });
        let mut rest = Vec::new();
        let mut note = |_, finding: Finding| {
            let Source::File { path, record, .. } = finding.source else { panic!("not a file") };
            rest.push((path, record));
        };
        let job = Job { earlier: &earlier, ..job };
        let again = run(&job, &mut Outputs { finding: &mut note, feed: &mut |_, _| {}, done: &mut |_, _| {} });
        assert_eq!(rest, places[before..]);
        assert_eq!(again, said);
    }
}
