//! What scans of logs look for: Sigma rules and lists of indicators, read from folders and files.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::log_terms;
use super::scan_output::SkippedRule;
use super::{Context, Exit, Failure};
use crate::adapters::log_files::{self, Input};
use crate::detect::indicators::{Indicators, ListFile, Reader};
use crate::detect::logs::{Ruleset, Terms};
use crate::domain::{Digest, DigestContext};
use crate::policy::shipped::SHIPPED;
use crate::settings::POLICIES;

/// Largest rule file that is read, in bytes.
const MAX_RULE_FILE: u64 = 4 << 20;
/// Largest list of indicators that is read, in bytes.
const MAX_LIST: u64 = 512 << 20;
/// Endings of the lists that are read from a folder.
const LISTS: [&str; 7] = ["txt", "csv", "tsv", "json", "stix", "ioc", "list"];

/// Arguments that say what is looked for.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SoughtArgs {
    /// Sigma rules: folders or files [default: logs/ below the policies; where there are none, those of the program]
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
    /// Lists of indicators (plain, CSV, STIX 2.1, MISP): folders or files [default: indicators/ below the policies, if it is
    /// there]
    #[arg(long, value_name = "PATH")]
    indicators: Vec<PathBuf>,
}

/// What is looked for.
pub struct Sought {
    /// Rules, and indicators with them.
    pub rules: Ruleset,
    /// Rules that are not run.
    pub skipped: Vec<SkippedRule>,
    /// Indicators that are not looked for.
    pub refused: Vec<SkippedRule>,
    /// The lists that were read.
    pub lists: Vec<ListFile>,
    /// A digest of all texts.
    pub digest: Digest,
}

/// The lists of indicators of the policies.
pub fn indicators(ctx: &Context) -> Result<Indicators, Failure> {
    SoughtArgs::default().lists(ctx, &mut |_| ())
}

impl SoughtArgs {
    /// Reads rules and lists; fails if there is nothing to look for.
    pub fn read(&self, ctx: &Context) -> Result<Sought, Failure> {
        let mut digest = DigestContext::new();
        let mut add = |text: &[u8]| {
            digest.update(&(text.len() as u64).to_be_bytes());
            digest.update(text);
        };
        let indicators = self.lists(ctx, &mut add)?;
        let (rules, skipped, names) = self.rules(ctx, &mut add)?;
        if rules.rules().is_empty() && (indicators.is_empty() || !self.rules.is_empty()) {
            let failure = Failure::new(Exit::Usage, format!("no rule could be read from {}", names.join(", ")));
            let reasons = skipped.iter().take(10);
            let failure = reasons.fold(failure, |failure, skipped| failure.cause(crate::ui::clean(&skipped.reason)));
            return Err(
                failure.hint("name a folder of Sigma rules with --rules DIR, or write ours with: portcullis init")
            );
        }
        let refused = indicators.refused().iter().map(|refused| SkippedRule {
            rule: format!("{}:{}", refused.file, refused.line),
            reason: refused.reason.clone(),
        });
        let (refused, lists) = (refused.collect(), indicators.files().to_vec());
        Ok(Sought { rules: rules.with_indicators(indicators), skipped, refused, lists, digest: digest.finish() })
    }

    /// The lists. One that was named must be there.
    fn lists(&self, ctx: &Context, add: &mut dyn FnMut(&[u8])) -> Result<Indicators, Failure> {
        let default = ctx.root.join(&ctx.settings.policies).join("indicators");
        let given = if !self.indicators.is_empty() {
            self.indicators.clone()
        } else if default.is_dir() {
            vec![default]
        } else {
            Vec::new()
        };
        let names: Vec<String> = given.iter().map(|path| path.display().to_string()).collect();
        let (inputs, unreadable) = log_files::expand(&names);
        let mut reader = Reader::default();
        for path in unreadable {
            if names.contains(&path.path) {
                let failure = Failure::new(Exit::Usage, format!("failed to read indicators from {}", path.path));
                return Err(failure.cause(path.reason).hint("name a list or a folder of lists with --indicators PATH"));
            }
            reader.unreadable(&path.path, &path.reason);
        }
        for input in &inputs {
            let Input::File { path, .. } = input else { continue };
            if !given.contains(path) && !has_ending(path, &LISTS) {
                continue;
            }
            let mut digest = DigestContext::new();
            let read = input
                .open()
                .and_then(|list| reader.read_from(&input.name(), Told { list, left: MAX_LIST, digest: &mut digest }));
            if let Err(error) = read {
                reader.unreadable(&input.name(), &error.to_string());
            }
            add(digest.finish().to_string().as_bytes());
        }
        Ok(reader.finish())
    }

    /// The rules, those that are not run, and the folders that were looked into.
    fn rules(
        &self,
        ctx: &Context,
        add: &mut dyn FnMut(&[u8]),
    ) -> Result<(Ruleset, Vec<SkippedRule>, Vec<String>), Failure> {
        let policies = ctx.root.join(&ctx.settings.policies);
        // Whoever only has logs has no policies: an investigator's machine, a job of an array. A folder that was named must be there.
        if self.rules.is_empty() && ctx.settings.policies == Path::new(POLICIES) && !policies.exists() {
            ctx.printer
                .note(format!("there is no {}: the rules that come with the program are used", policies.display()));
            return Ok(shipped(add));
        }
        let default = [policies.join("logs")];
        let folders = if self.rules.is_empty() { &default[..] } else { &self.rules[..] };
        let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let (inputs, unreadable) = log_files::expand(&names);
        let is_rule = |path: &Path| has_ending(path, &["yml", "yaml"]);
        let mut skipped: Vec<SkippedRule> = unreadable
            .into_iter()
            .filter(|path| is_rule(Path::new(&path.path)) || names.contains(&path.path))
            .map(|path| SkippedRule { reason: format!("{}: {}", path.path, path.reason), rule: path.path })
            .collect();
        let mut texts = Vec::new();
        for input in &inputs {
            let Input::File { path, .. } = input else { continue };
            if !folders.contains(path) && !is_rule(path) {
                continue;
            }
            let read = read_bytes(input, MAX_RULE_FILE)
                .and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
            match read {
                // Terms are read below, from the policies alone.
                Ok(text) if Terms::are_in(&input.name(), &text) => {}
                Ok(text) => {
                    add(text.as_bytes());
                    texts.push((input.name(), text));
                }
                Err(reason) => {
                    skipped.push(SkippedRule { rule: input.name(), reason: format!("{}: {reason}", input.name()) });
                }
            }
        }
        let terms = log_terms::read(ctx, add)?;
        let rules = Ruleset::with_terms(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())), terms);
        skipped.extend(rules.skipped().iter().map(|s| SkippedRule { rule: s.rule.clone(), reason: s.reason.clone() }));
        Ok((rules, skipped, names))
    }
}

/// The rules that come with the program.
fn shipped(add: &mut dyn FnMut(&[u8])) -> (Ruleset, Vec<SkippedRule>, Vec<String>) {
    let is_rule = |(file, text): &&(&str, &str)| file.starts_with("logs/") && !Terms::are_in(file, text);
    let texts: Vec<(&str, &str)> = SHIPPED.iter().filter(is_rule).copied().collect();
    for (_, text) in &texts {
        add(text.as_bytes());
    }
    (Ruleset::from_texts(texts), Vec::new(), vec!["the program".to_owned()])
}

/// A list of which a digest is made as it is read.
struct Told<'a, R> {
    list: R,
    left: u64,
    digest: &'a mut DigestContext,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.list.read(into)?;
        self.digest.update(&into[..read]);
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| io::Error::other(format!("larger than {MAX_LIST} bytes")))?;
        Ok(read)
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|is| endings.iter().any(|ending| is.eq_ignore_ascii_case(ending)))
}

fn read_bytes(input: &Input, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let reader = input.open().map_err(|error| error.to_string())?;
    let read = reader.take(most + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if read as u64 > most {
        return Err(format!("larger than {most} bytes"));
    }
    Ok(bytes)
}
