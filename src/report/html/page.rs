use std::fmt::{Display, Write as _};

use crate::domain::clean;

/// Longest text of one cell, in characters; the whole is in the case folder.
const CELL: usize = 600;

/// HTML under construction. Text gets in through [`Page::text`] alone, which escapes it: nothing from outside can become markup.
#[derive(Debug, Default)]
pub struct Page(String);

/// Text with everything escaped that HTML gives a meaning, in elements and in quoted attributes, and with deceiving
/// characters shown as escapes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The text, cut to what a cell holds.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Page {
    /// Markup of ours.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text of anybody's.
    pub fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.0.push_str(&escape(&cut(text.as_ref())));
        self
    }

    /// A number of ours.
    pub fn number(&mut self, number: impl Display + Copy + Into<f64>) -> &mut Self {
        let _ = write!(self.0, "{number}");
        self
    }

    /// A count.
    pub fn count(&mut self, count: u64) -> &mut Self {
        let _ = write!(self.0, "{count}");
        self
    }

    /// A text in an element with a class of ours.
    pub fn styled(&mut self, class: &'static str, text: impl AsRef<str>) -> &mut Self {
        self.raw("<span class=\"").raw(class).raw("\">").text(text).raw("</span>")
    }

    /// A section's headline; the id is what the contents link to.
    pub fn section(&mut self, id: &'static str, title: &'static str) -> &mut Self {
        self.raw("<h2 id=\"").raw(id).raw("\">").raw(title).raw("</h2>\n")
    }

    /// A table that scrolls by itself where it is wider than the page, reachable by keyboard.
    pub fn table(&mut self, caption: &str, head: &[&'static str], rows: impl FnOnce(&mut Rows<'_>)) -> &mut Self {
        self.raw("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"")
            .text(caption)
            .raw("\"><table><caption>");
        self.text(caption).raw("</caption><thead><tr>");
        for title in head {
            self.raw("<th scope=\"col\">").raw(title).raw("</th>");
        }
        self.raw("</tr></thead><tbody>\n");
        let mut added = Rows { page: self, rows: 0 };
        rows(&mut added);
        let none = added.rows == 0;
        if none {
            let _ = write!(self.0, "<tr><td colspan=\"{}\">None.</td></tr>", head.len());
        }
        self.raw("</tbody></table></div>\n")
    }

    /// The whole.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Rows of a table.
pub struct Rows<'a> {
    page: &'a mut Page,
    rows: usize,
}

impl Rows<'_> {
    /// Adds a row.
    pub fn row(&mut self, cells: &[Cell<'_>]) {
        self.rows += 1;
        self.page.raw("<tr>");
        for cell in cells {
            self.page.raw("<td>");
            match cell {
                Cell::Text(text) => self.page.text(text),
                Cell::Mono(text) => self.page.raw("<code>").text(text).raw("</code>"),
                Cell::Time(text) => self.page.styled("time", text),
                Cell::Count(count) => self.page.count(*count),
                Cell::Styled(class, text) => self.page.styled(class, text),
            };
            self.page.raw("</td>");
        }
        self.page.raw("</tr>\n");
    }
}

/// A cell.
pub enum Cell<'a> {
    /// Words.
    Text(&'a str),
    /// A name, a path, a digest.
    Mono(&'a str),
    /// A time, which is not broken over lines.
    Time(&'a str),
    /// A number.
    Count(u64),
    /// Words with a class of ours.
    Styled(&'static str, &'a str),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in any::<String>()) {
            let out = escape(&text);
            prop_assert!(!out.contains(['<', '>', '"', '\'']));
            prop_assert!(!out.chars().any(char::is_control));
        }
    }
}
