//! The words of PostgreSQL's log in the languages that `lc_messages` can name: what a line is, and what stands before a statement.

/// What begins a line, in English.
const ENGLISH: [&str; 18] = [
    "LOG",
    "ERROR",
    "FATAL",
    "PANIC",
    "WARNING",
    "NOTICE",
    "INFO",
    "DEBUG",
    "DEBUG1",
    "DEBUG2",
    "DEBUG3",
    "DEBUG4",
    "DEBUG5",
    "DETAIL",
    "HINT",
    "STATEMENT",
    "CONTEXT",
    "QUERY",
];

/// What begins a line in other languages, but for the words that are English there too.
#[rustfmt::skip]
const OTHERS: [&str; 106] = [
    // German, Spanish, French, Italian, Polish, Portuguese, Swedish
    "FEHLER", "PANIK", "WARNUNG", "HINWEIS", "TIPP", "ANFRAGE", "ZUSAMMENHANG",
    "DETALLE", "CONSULTA", "CONTEXTO",
    "ERREUR", "ATTENTION", "DÉTAIL", "ASTUCE", "REQUÊTE", "CONTEXTE",
    "ERRORE", "FATALE", "PANICO", "ATTENZIONE", "NOTIFICA", "DETTAGLI", "SUGGERIMENTO", "CONTESTO",
    "DZIENNIK", "BŁĄD", "KATASTROFALNY", "PANIKA", "OSTRZEŻENIE", "UWAGA", "SZCZEGÓŁY", "PODPOWIEDŹ", "ZAPYTANIE", "KONTEKST",
    "ERRO", "PÂNICO", "AVISO", "NOTA", "DETALHE", "DICA",
    "LOGG", "FEL", "FATALT", "VARNING", "NOTIS", "DETALJ", "TIPS", "FRÅGA", "KONTEXT",
    // Russian, Ukrainian
    "СООБЩЕНИЕ", "ОШИБКА", "ВАЖНО", "ПАНИКА", "ПРЕДУПРЕЖДЕНИЕ", "ЗАМЕЧАНИЕ", "ИНФОРМАЦИЯ", "ОТЛАДКА", "ПОДРОБНОСТИ", "ПОДСКАЗКА",
    "ЗАПРОС", "КОНТЕКСТ",
    "ЗАПИСУВАННЯ", "ПОМИЛКА", "ФАТАЛЬНО", "ПАНІКА", "ПОПЕРЕДЖЕННЯ", "ПОВІДОМЛЕННЯ", "ІНФОРМАЦІЯ", "НАЛАГОДЖЕННЯ", "ВІДОМОСТІ",
    "УКАЗІВКА", "ЗАПИТ",
    // Georgian
    "ჟურნალი", "შეცდომა", "ფატალური", "პანიკა", "გაფრთხილება", "ინფორმაცია", "დეტალები", "მინიშნება", "მოთხოვნა", "კონტექსტი",
    // Japanese, Korean, Chinese
    "詳細", "ヒント", "問い合わせ", "文脈",
    "로그", "오류", "치명적오류", "손상", "경고", "알림", "정보", "상세정보", "힌트", "내용",
    "日志", "错误", "致命错误", "警告", "详情",
    "日誌", "錯誤", "致命錯誤", "詳情", "上下文",
];

/// What begins the line that quotes the statement of an error.
const STATEMENT: [&str; 15] = [
    "STATEMENT",
    "ANWEISUNG",
    "SENTENCIA",
    "INSTRUCTION",
    "ISTRUZIONE",
    "WYRAŻENIE",
    "COMANDO",
    "SATS",
    "ОПЕРАТОР",
    "ІНСТРУКЦІЯ",
    "ოპერატორი",
    "文",
    "명령 구문",
    "语句",
    "陳述式",
];

/// What stands before a statement in a message, with or without how long it took.
const SAID: [&str; 17] = [
    "statement: ",
    "Query Text: ",
    "Anweisung: ",
    "sentencia: ",
    "instruction : ",
    "istruzione: ",
    "wyrażenie: ",
    "comando: ",
    "sats: ",
    "оператор: ",
    "ოპერატორი: ",
    "გამოსახულება: ",
    "文: ",
    "명령 구문: ",
    "语句: ",
    "陳述式: ",
    "parameters: ",
];

/// What stands before the name of a prepared statement and a colon.
const EXECUTED: [&str; 15] = [
    "execute ",
    "Ausführen ",
    "ejecutar ",
    "exécute ",
    "esecuzione di ",
    "wykonanie ",
    "executar ",
    "kör ",
    "выполнение ",
    "виконувати ",
    "გაშვება ",
    "実行 ",
    "쿼리실행 ",
    "执行 ",
    "執行 ",
];

/// The word with which a line's text before a colon ends, if lines begin with it, and where it begins. In other languages than
/// English a blank may stand before the colon, and two stand behind it (`wide`).
pub(super) fn kind(before: &str, wide: bool) -> Option<(usize, &str)> {
    let start = before.bytes().rposition(|b| !b.is_ascii_uppercase() && !b.is_ascii_digit()).map_or(0, |at| at + 1);
    if ENGLISH.iter().any(|word| before.get(start..) == Some(word)) {
        return Some((start, &before[start..]));
    }
    let before = before.strip_suffix(' ').unwrap_or(before);
    let known = |word: &&&str| before.ends_with(**word);
    let word = STATEMENT.iter().chain(&OTHERS).filter(|_| wide).filter(known).max_by_key(|word| word.len())?;
    let start = before.len() - word.len();
    let apart = before[..start].chars().next_back().is_none_or(|char| !char.is_alphanumeric());
    apart.then_some((start, &before[start..]))
}

/// Whether such a word says that a statement is quoted.
pub(super) fn quotes_statement(kind: &str) -> bool {
    STATEMENT.contains(&kind)
}

/// Where the statement begins that a message tells of; `log` says whether statements are told as they are executed.
pub(super) fn statement_at(message: &str, log: bool) -> Option<usize> {
    let said = || SAID.iter().filter_map(|word| message.find(word).map(|at| at + word.len())).min();
    let executed = || {
        let after = EXECUTED.iter().find_map(|word| message.find(word).map(|at| at + word.len()))?;
        message[after..].find(": ").map(|colon| after + colon + 2)
    };
    said().or_else(|| executed().filter(|_| log))
}

/// The statement that a message begins with, behind how long it took; all of it where it begins with none.
pub(in crate::detect::logs) fn told(message: &str) -> &str {
    if let Some(statement) = audited(message) {
        return statement;
    }
    // No statement begins with letters, a colon and a number.
    let number = |text: &str| text.trim_start().bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let letters = |text: &str| text.trim_end().chars().all(char::is_alphabetic);
    let took = |text: &str| text.split_once(':').is_some_and(|(name, time)| letters(name) && number(time));
    let behind = message.split_once(" ms").filter(|(before, _)| took(before)).map(|(_, rest)| rest);
    let rest = behind.map_or(message, |rest| rest.trim_start_matches([' ', ',']));
    let said = SAID.iter().find_map(|word| rest.strip_prefix(word));
    let executed = || {
        let after = EXECUTED.iter().find_map(|word| rest.strip_prefix(word))?;
        after.split_once(": ").filter(|(name, _)| !name.contains(['\'', ';'])).map(|(_, statement)| statement)
    };
    said.or_else(executed).unwrap_or(message)
}

/// The statement of an entry of pgaudit's, as it stands there:
/// `AUDIT: SESSION,1,1,READ,SELECT,TABLE,public.t,"select 1",<not logged>`.
pub(super) fn audited(message: &str) -> Option<&str> {
    /// Fields before the statement.
    const BEFORE: usize = 7;
    let mut rest = message.strip_prefix("AUDIT: ")?;
    for _ in 0..BEFORE {
        rest = rest[quoted(rest).map_or(0, |(_, end)| end)..].split_once(',')?.1;
    }
    // What follows it has no such end; some double no quotes inside.
    let whole = |inner: &'_ str| inner.rfind("\",").or_else(|| inner.rfind('"')).unwrap_or(inner.len());
    Some(rest.strip_prefix('"').map_or_else(|| rest.split(',').next().unwrap_or(rest), |inner| &inner[..whole(inner)]))
}

/// What stands between the quotes with which a text begins, and where it goes on behind them. Inside, quotes are doubled.
fn quoted(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix('"')?;
    let mut at = 0;
    while let Some(quote) = inner[at..].find('"') {
        at += quote;
        if !inner[at + 1..].starts_with('"') {
            return Some((&inner[..at], at + 2));
        }
        at += 2;
    }
    Some((inner, text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_language_are_told() {
        for (before, wide, word) in [
            ("[5] LOG", false, Some("LOG")),
            ("[5] FEHLER", true, Some("FEHLER")),
            ("[5] FEHLER", false, None),
            ("[5] INSTRUCTION ", true, Some("INSTRUCTION")),
            ("[5] ОПЕРАТОР", true, Some("ОПЕРАТОР")),
            ("[5] 致命错误", true, Some("致命错误")),
            ("[5] GROSSFEHLER", true, None),
            ("[5] fehler", true, None),
        ] {
            assert_eq!(kind(before, wide).map(|(_, word)| word), word, "{before}");
        }
    }

    #[test]
    fn statements_are_found_behind_the_words_of_every_language() {
        for message in [
            "statement: copy t",
            "Dauer: 1.2 ms  Anweisung: copy t",
            "durée : 1.2 ms, instruction : copy t",
            "execute S_1: copy t",
            "выполнение <unnamed>: copy t",
            "duration: 3 ms  plan:\nQuery Text: copy t",
        ] {
            assert_eq!(statement_at(message, true).map(|at| &message[at..]), Some("copy t"), "{message}");
        }
        assert_eq!(statement_at("could not execute x: no", false), None);
        for message in
            ["statement: copy t", "duration: 1.2 ms  execute S_1: copy t", "durée : 1.2 ms, instruction : copy t"]
        {
            assert_eq!(told(message), "copy t");
        }
        for statement in [
            "drop table t -- statement: x",
            "execute p('a: b')",
            "select ' ms  statement: x'",
            "drop table t--: 1 ms statement: x",
        ] {
            assert_eq!(told(statement), statement);
        }
        assert_eq!(
            audited("AUDIT: OBJECT,1,1,READ,SELECT,TABLE,\"a,\"\"b\",\"copy \"\"t\"\"\",<none>"),
            Some("copy \"\"t\"\"")
        );
        assert_eq!(audited("AUDIT: SESSION,3,1,ROLE,GRANT,,,grant x to y,<none>"), Some("grant x to y"));
        assert_eq!(audited("AUDIT: SESSION,3,1,READ,SELECT,,,\"from \"User\"\",<none>"), Some("from \"User\""));
        assert_eq!(audited("AUDIT: SESSION"), None);
    }
}
