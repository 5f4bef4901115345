//! Questions about what was found. Asked on a terminal only; Enter takes what is shown.

use std::io::{self, BufRead, IsTerminal, Write};

use super::look::Seen;
use super::{Approver, approver, read_approver};
use crate::cli::{Context, Exit, Failure};
use crate::domain::TableName;
use crate::ui::{Format, clean};

/// How often a question is put again after an answer that can't be taken.
const TRIES: u32 = 3;

/// Whether a person can be asked.
pub(super) fn can_ask(ctx: &Context) -> bool {
    !ctx.yes && ctx.printer.format() == Format::Text && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// One question; an empty answer is `shown`. What can't be taken is said and asked again.
fn ask<T>(question: &str, shown: &str, take: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    let failed = |error: io::Error| Failure::from_error(Exit::Failed, "failed to ask a question", &error);
    for _ in 0..TRIES {
        let mut err = io::stderr().lock();
        write!(err, "{question} [{}]: ", clean(shown)).and_then(|()| err.flush()).map_err(failed)?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer).map_err(failed)? == 0 {
            return Err(Failure::new(
                Exit::Usage,
                "the terminal was closed before all was answered; nothing was written",
            )
            .hint("run init again, or with --yes to take what was found"));
        }
        let answer = answer.trim();
        match take(if answer.is_empty() { shown } else { answer }) {
            Ok(taken) => return Ok(taken),
            Err(why) => writeln!(err, "  {}", clean(&why)).map_err(failed)?,
        }
    }
    Err(Failure::new(Exit::Usage, "no answer could be taken; nothing was written")
        .hint("run init again, or with --yes to take what was found"))
}

/// A table by its name, or by schema and name.
pub(super) fn table(text: &str, seen: &Seen) -> Result<TableName, String> {
    let (schema, name) = text.split_once('.').unwrap_or((&seen.usual_schema, text));
    let unquoted = |word: &str| word.trim().trim_matches('"').to_owned();
    let table = TableName { schema: unquoted(schema), name: unquoted(name) };
    if table.name.is_empty() {
        return Err("write the table's name".into());
    }
    if seen.all_tables.is_empty() || seen.all_tables.contains(&table) {
        return Ok(table);
    }
    let names: Vec<_> = seen.all_tables.iter().take(12).map(ToString::to_string).collect();
    Err(format!("there is no {table}; there are: {}", names.join(", ")))
}

/// Folder and pattern of backups.
fn backups(text: &str) -> Result<(String, String), String> {
    let (folder, pattern) = text.rsplit_once('/').ok_or("write FOLDER/PATTERN, as backups/db_backup_*.sql.gz")?;
    if folder.is_empty() || !pattern.contains('*') {
        return Err("write FOLDER/PATTERN, with a * in the pattern".into());
    }
    Ok((folder.to_owned(), pattern.to_owned()))
}

fn health(text: &str) -> Result<String, String> {
    let fits = text.starts_with("http://") || text.starts_with("https://");
    if fits { Ok(text.to_owned()) } else { Err("write an address that begins with http:// or https://".into()) }
}

/// Lets a person mend what was found. `wanted` says which policies will be written: nothing is asked for others.
pub(super) fn ask_all(
    ctx: &Context,
    seen: &mut Seen,
    approvers: &mut Vec<Approver>,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    ctx.printer.note("\nEnter takes what stands in brackets.");
    if wanted("pause.yml") {
        let shown = seen.tables.first().map_or_else(|| "Trade".to_owned(), ToString::to_string);
        if seen.tables.len() > 1 {
            let others: Vec<_> = seen.tables.iter().skip(1).take(6).map(ToString::to_string).collect();
            ctx.printer.note(format!("  others that could hold trades: {}", clean(&others.join(", "))));
        }
        let chosen = ask("Table with the trades", &shown, |text| table(text, seen))?;
        seen.choose(&chosen);
    }
    if wanted("credentials.yml")
        && let Some(shown) = seen.found.back_end.clone()
    {
        let services = seen.found.services.clone();
        let known = |text: &str| {
            let found = services.iter().find(|name| *name == text);
            found.cloned().ok_or_else(|| format!("there is no service {text}; there are: {}", services.join(", ")))
        };
        seen.found.back_end = Some(ask("Service that is the back end", &shown, known)?);
        let shown = seen.found.health.clone().unwrap_or_else(|| crate::policy::starter::HEALTH.to_owned());
        seen.found.health = Some(ask("Its health address", &shown, health)?);
    }
    if wanted("recovery.yml") {
        let shown = seen.found.backups.clone().unwrap_or(("backups".into(), "db_backup_*.sql.gz".into()));
        seen.found.backups = Some(ask("Backups", &format!("{}/{}", shown.0, shown.1), backups)?);
    }
    if wanted("monitoring.yml") {
        let shown = if seen.found.logs.is_empty() { "none".to_owned() } else { seen.found.logs.join(" ") };
        let logs = ask("Logs to watch, with spaces between", &shown, |text| Ok::<_, String>(text.to_owned()))?;
        seen.found.logs = logs.split_whitespace().filter(|word| *word != "none").map(String::from).collect();
    }
    while wanted("resume.yml") {
        let question = if approvers.is_empty() { "An approver, NAME=KEYFILE.pub:ROLE" } else { "One more approver" };
        let one = ask(question, "no more", |text| match text {
            "no more" => Ok(None),
            text => {
                let one = approver(text)?;
                read_approver(&one).map_err(|failure| failure.message)?;
                Ok(Some(one))
            }
        })?;
        match one {
            Some(one) => approvers.push(one),
            None => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }

    #[test]
    fn a_table_is_taken_only_if_it_is_there() {
        let mut seen = Seen { usual_schema: "public".into(), ..Seen::default() };
        assert_eq!(table("Trade", &seen), Ok(name("public", "Trade")));
        seen.all_tables = vec![name("public", "Trade"), name("desk", "fills")];
        assert_eq!(table("desk.\"fills\"", &seen), Ok(name("desk", "fills")));
        assert_eq!(
            table("trades", &seen).unwrap_err(),
            "there is no public.trades; there are: public.Trade, desk.fills"
        );
        assert!(table("", &seen).is_err());
    }

    #[test]
    fn what_can_not_be_meant_is_asked_again() {
        assert_eq!(backups("dumps/a*.sql"), Ok(("dumps".into(), "a*.sql".into())));
        for wrong in ["a*.sql", "dumps/", "dumps/a.sql", "/a*"] {
            assert!(backups(wrong).is_err(), "{wrong}");
        }
        assert!(health("localhost:3001").is_err() && health("https://x/health").is_ok());
    }
}
