//! A regular expression that is compiled when it is first asked.
//!
//! Of a hundred rules a log meets a few. All their expressions together take thirty megabytes, those few next to nothing.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

/// Largest compiled size of one regular expression, in bytes.
const LIMIT: usize = 4 << 20;

#[derive(Debug, Clone)]
pub(super) struct Expression {
    source: String,
    /// Nothing, once it is known, for one that can't be compiled: [`Expression::new`] gives none of these.
    compiled: OnceLock<Option<Regex>>,
}

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source).size_limit(LIMIT).build()
}

impl Expression {
    /// Fails for what is no regular expression, or becomes too large.
    pub(super) fn new(source: String) -> Result<Self, String> {
        match compile(&source) {
            Ok(_) => Ok(Self { source, compiled: OnceLock::new() }),
            Err(error) => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or("invalid").trim().trim_start_matches("error: ");
                Err(format!("regular expression can't be used: {reason}"))
            }
        }
    }

    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.source
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.source).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_refused_before_it_is_asked() {
        let fits = Expression::new("^a.c$".to_owned()).unwrap();
        assert!(fits.compiled.get().is_none() && fits.is_match("abc") && !fits.is_match("ac"));
        assert_eq!(fits.as_str(), "^a.c$");
        assert!(Expression::new("(".to_owned()).unwrap_err().contains("can't be used"));
        assert!(Expression::new("(?:\\w{1000}){1000}".to_owned()).unwrap_err().contains("size"));
    }
}
