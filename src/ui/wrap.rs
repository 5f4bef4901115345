//! Lines for a terminal's width: broken at blanks, and what follows stands below the column that was broken.

/// Narrowest width that lines are broken for.
const NARROWEST: usize = 40;

/// The text with lines that are wider than `width` broken. Commands to be copied stay whole; escapes take no room.
pub fn wrap(text: &str, width: usize) -> String {
    if width < NARROWEST {
        return text.to_owned();
    }
    let lines: Vec<String> = text.split('\n').map(|line| wrap_line(line, width)).collect();
    lines.join("\n")
}

/// Characters that are seen: colours are not.
fn seen(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            // Ours are `ESC [ ... m`.
            while letters.next().is_some_and(|letter| letter != 'm') {}
        } else {
            out.push(letter);
        }
    }
    out
}

fn is_command(line: &str) -> bool {
    ["portcullis ", "ssh-keygen ", "$ "].iter().any(|start| line.trim_start().starts_with(start))
}

/// Where what follows stands: below the last column that begins in the left half.
fn indent(line: &str, width: usize) -> usize {
    let letters: Vec<char> = line.chars().collect();
    let column = |at: usize| letters[at] != ' ' && letters[at - 1] == ' ' && letters[at - 2] == ' ';
    let end = letters.len().min(width / 2 + 1);
    (2..end).rev().find(|at| column(*at)).unwrap_or(2)
}

fn wrap_line(line: &str, width: usize) -> String {
    let plain = seen(line);
    if plain.chars().count() <= width || is_command(&plain) {
        return line.to_owned();
    }
    let indent = indent(&plain, width);
    let mut out = String::with_capacity(line.len() + 16);
    let (mut used, mut fresh) = (0, true);
    for (number, word) in line.split(' ').enumerate() {
        let room = seen(word).chars().count();
        let blank = usize::from(number > 0);
        if used + blank + room > width && !fresh && room > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            out.push_str(word);
            used = indent + room;
            continue;
        }
        if blank > 0 {
            out.push(' ');
        }
        out.push_str(word);
        used += blank + room;
        fresh = fresh && room == 0;
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_broken_stands_below_its_column() {
        let line = "  \x1b[32mengaged\x1b[0m   guard   the flag is set and every right on the table was taken away";
        let want = "  \x1b[32mengaged\x1b[0m   guard   the flag is set and every\n                    right on the table was taken\n                    away";
        assert_eq!(wrap(line, 48), want);
        let command = "  portcullis lockdown --reason TEXT --compromised ID --compromised ANOTHER --yes";
        assert_eq!(wrap(command, 40), command, "to be copied");
        assert_eq!(wrap("short", 80), "short");
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_lines_fit(words in prop::collection::vec("[a-z]{1,12}", 0..40), width in 40_usize..100) {
            let text = words.join(" ");
            let wrapped = wrap(&text, width);
            prop_assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), words);
            prop_assert!(wrapped.lines().all(|line| line.chars().count() <= width), "{}", wrapped);
        }
    }
}
