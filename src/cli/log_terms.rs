//! What rules are read with: log sources and placeholders of the policies folder.

use std::io::ErrorKind;

use super::{Context, Exit, Failure};
use crate::detect::logs::{PLACEHOLDERS, Placeholders, SOURCES, Sources, Terms};
use crate::policy::PolicyError;
use crate::policy::shipped::SHIPPED;

/// Reads them; `add` hears of each text that says something else than what comes with the program: a machine without a
/// policies folder scans with the same terms. A file that is missing says nothing, one that can't be read is a failure.
pub fn read(ctx: &Context, add: &mut dyn FnMut(&[u8])) -> Result<Terms, Failure> {
    let mut terms = Terms::default();
    if let Some((file, text)) = text(ctx, SOURCES, add)? {
        terms.sources = Sources::with_own(&file, &text).map_err(|error| unreadable("log sources", &error))?;
    }
    if let Some((file, text)) = text(ctx, PLACEHOLDERS, add)? {
        terms.placeholders = Placeholders::read(&file, &text).map_err(|error| unreadable("placeholders", &error))?;
    }
    Ok(terms)
}

fn unreadable(what: &str, error: &PolicyError) -> Failure {
    Failure::from_error(Exit::Usage, format!("failed to read the {what}"), error)
        .hint("mend the place that is named; docs/POLICIES.md describes the file")
}

/// Path and text of a file that says something of its own.
fn text(ctx: &Context, file: &str, add: &mut dyn FnMut(&[u8])) -> Result<Option<(String, String)>, Failure> {
    let path = ctx.root.join(&ctx.settings.policies).join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) if SHIPPED.contains(&(file, text.as_str())) => Ok(None),
        Ok(text) => {
            add(text.as_bytes());
            Ok(Some((path.display().to_string(), text)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::from_error(Exit::Usage, format!("failed to read {}", path.display()), &error)),
    }
}
