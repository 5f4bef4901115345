//! What rules are read with: log sources and placeholders of the policies folder.

use std::io::ErrorKind;

use super::{Context, Exit, Failure};
use crate::detect::logs::{PLACEHOLDERS, Placeholders, SOURCES, Sources, Terms};
use crate::policy::PolicyError;

/// Reads them; `add` hears of each text. A file that is missing says nothing, one that can't be read is a failure.
pub fn read(ctx: &Context, add: &mut dyn FnMut(&[u8])) -> Result<Terms, Failure> {
    let mut terms = Terms::default();
    if let Some((file, text)) = text(ctx, SOURCES)? {
        add(text.as_bytes());
        terms.sources = Sources::with_own(&file, &text).map_err(|error| unreadable("log sources", &error))?;
    }
    if let Some((file, text)) = text(ctx, PLACEHOLDERS)? {
        add(text.as_bytes());
        terms.placeholders = Placeholders::read(&file, &text).map_err(|error| unreadable("placeholders", &error))?;
    }
    Ok(terms)
}

fn unreadable(what: &str, error: &PolicyError) -> Failure {
    Failure::from_error(Exit::Usage, format!("failed to read the {what}"), error)
        .hint("mend the place that is named; docs/POLICIES.md describes the file")
}

fn text(ctx: &Context, file: &str) -> Result<Option<(String, String)>, Failure> {
    let path = ctx.root.join(&ctx.settings.policies).join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path.display().to_string(), text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::from_error(Exit::Usage, format!("failed to read {}", path.display()), &error)),
    }
}
