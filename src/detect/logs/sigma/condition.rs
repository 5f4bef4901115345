//! The condition language: `and`, `or`, `not`, parentheses, `N of PATTERN`.

/// Most tokens of one condition.
const MAX_TOKENS: usize = 2_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;

/// A condition over selections, named by their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Selection(usize),
    AtLeast(usize, Vec<usize>),
}

impl Expr {
    /// The same over selections that come `by` places later.
    pub(super) fn shifted(&self, by: usize) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|part| part.shifted(by)).collect();
        match self {
            Self::And(parts) => Self::And(all(parts)),
            Self::Or(parts) => Self::Or(all(parts)),
            Self::Not(part) => Self::Not(Box::new(part.shifted(by))),
            Self::Selection(index) => Self::Selection(index + by),
            Self::AtLeast(least, chosen) => Self::AtLeast(*least, chosen.iter().map(|index| index + by).collect()),
        }
    }
}

/// Reads a condition over the selections of these names.
pub(super) fn parse(text: &str, names: &[String]) -> Result<Expr, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, names, depth: 0 };
    let expr = parser.or()?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(format!("unexpected `{token}` in the condition")),
    }
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        match c {
            '|' => return Err("aggregations (`|` in a condition) are not evaluated by this version".into()),
            c if c.is_whitespace() || matches!(c, '(' | ')') => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
                if !c.is_whitespace() {
                    out.push(c.to_string());
                }
            }
            c => word.push(c),
        }
        if out.len() > MAX_TOKENS {
            return Err(format!("the condition has more than {MAX_TOKENS} words"));
        }
    }
    Ok(out)
}

struct Parser<'a> {
    tokens: &'a [String],
    at: usize,
    names: &'a [String],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn or(&mut self) -> Result<Expr, String> {
        let mut parts = vec![self.and()?];
        while self.next_is("or") {
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    fn and(&mut self) -> Result<Expr, String> {
        let mut parts = vec![self.not()?];
        while self.next_is("and") {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    fn not(&mut self) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("the condition is nested deeper than {MAX_DEPTH}"));
        }
        let expr = if self.next_is("not") { Expr::Not(Box::new(self.not()?)) } else { self.atom()? };
        self.depth -= 1;
        Ok(expr)
    }

    fn atom(&mut self) -> Result<Expr, String> {
        if self.next_is("(") {
            let expr = self.or()?;
            return if self.next_is(")") {
                Ok(expr)
            } else {
                Err("a parenthesis of the condition is not closed".into())
            };
        }
        let word = self.peek().ok_or("the condition ends too early")?;
        self.at += 1;
        if self.next_is("of") {
            return self.quantifier(word);
        }
        match self.names.iter().position(|name| name == word) {
            Some(index) => Ok(Expr::Selection(index)),
            None => Err(format!("the condition names `{word}`, which the detection doesn't define")),
        }
    }

    fn quantifier(&mut self, count: &str) -> Result<Expr, String> {
        let pattern = self.peek().ok_or("the condition ends after `of`")?;
        self.at += 1;
        let chosen: Vec<usize> = (0..self.names.len())
            .filter(|index| {
                let name = &self.names[*index];
                if pattern.eq_ignore_ascii_case("them") { !name.starts_with('_') } else { glob(pattern, name) }
            })
            .collect();
        if chosen.is_empty() {
            return Err(format!("`{count} of {pattern}` fits no selection"));
        }
        let least = match count.to_ascii_lowercase().as_str() {
            "all" => chosen.len(),
            "any" => 1,
            number => match number.parse::<usize>() {
                Ok(number) if number > 0 => number,
                _ => return Err(format!("`{count} of` needs a number above 0, `all` or `any`")),
            },
        };
        Ok(Expr::AtLeast(least, chosen))
    }
}

/// Whether `name` fits a pattern with `*`.
fn glob(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Vec<String> {
        ["selection_a", "selection_b", "filter", "_hidden"].map(String::from).to_vec()
    }

    #[test]
    fn precedence_and_quantifiers() {
        let expr = parse("selection_a or selection_b and not filter", &names()).unwrap();
        let not = Expr::Not(Box::new(Expr::Selection(2)));
        assert_eq!(expr, Expr::Or(vec![Expr::Selection(0), Expr::And(vec![Expr::Selection(1), not])]));
        assert_eq!(parse("all of selection_*", &names()).unwrap(), Expr::AtLeast(2, vec![0, 1]));
        assert_eq!(parse("1 of them", &names()).unwrap(), Expr::AtLeast(1, vec![0, 1, 2]));
        assert_eq!(parse("2 of *_*", &names()).unwrap(), Expr::AtLeast(2, vec![0, 1, 3]));
    }

    #[test]
    fn faults_say_what_is_wrong() {
        for (text, want) in [
            ("nothing", "doesn't define"),
            ("(filter", "not closed"),
            ("filter and", "ends too early"),
            ("filter filter", "unexpected"),
            ("1 of x*", "fits no selection"),
            ("0 of them", "above 0"),
            ("filter | count() > 3", "aggregations"),
        ] {
            assert!(parse(text, &names()).unwrap_err().contains(want), "{text}");
        }
        assert!(parse(&"(".repeat(500), &names()).unwrap_err().contains("deeper"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(and|or|not|of|1|all|them|filter|\\(|\\)|\\*| ){0,30}") {
            let _ = parse(&text, &names());
        }
    }
}
