//! Names as lists of words, and what abbreviations and German words stand for.

use crate::domain::Table;

/// Abbreviations and words of another language, each with the usual word. Whole words only.
const MEANINGS: &[(&str, &str)] = &[
    ("acc", "account"),
    ("acct", "account"),
    ("addr", "address"),
    ("adresse", "address"),
    ("aktiv", "active"),
    ("aktualisiert", "updated"),
    ("am", "at"),
    ("amt", "amount"),
    ("angelegt", "created"),
    ("anzahl", "quantity"),
    ("auftrag", "order"),
    ("auftraege", "orders"),
    ("aufträge", "orders"),
    ("auftragswert", "ordervalue"),
    ("ausfuehrung", "execution"),
    ("ausfuehrungen", "executions"),
    ("ausführung", "execution"),
    ("ausführungen", "executions"),
    ("ausgefuehrt", "executed"),
    ("ausgeführt", "executed"),
    ("avg", "average"),
    ("benutzer", "user"),
    ("berechtigungen", "permissions"),
    ("betrag", "amount"),
    ("bis", "until"),
    ("cap", "limit"),
    ("ccy", "currency"),
    ("close", "closed"),
    ("comm", "commission"),
    ("create", "created"),
    ("crt", "created"),
    ("cust", "customer"),
    ("depot", "account"),
    ("depots", "accounts"),
    ("dt", "at"),
    ("dtm", "at"),
    ("dttm", "at"),
    ("empfaenger", "recipient"),
    ("empfänger", "recipient"),
    ("erstellt", "created"),
    ("exec", "executed"),
    ("exp", "expires"),
    ("expire", "expires"),
    ("gebuehr", "fee"),
    ("gebuehren", "fees"),
    ("gebühr", "fee"),
    ("gebühren", "fees"),
    ("geaendert", "updated"),
    ("geändert", "updated"),
    ("gegenpartei", "counterparty"),
    ("geschaeft", "deal"),
    ("geschaefte", "deals"),
    ("geschäft", "deal"),
    ("geschäfte", "deals"),
    ("geschlossen", "closed"),
    ("gesperrt", "blocked"),
    ("gueltig", "valid"),
    ("gültig", "valid"),
    ("handel", "trade"),
    ("instr", "instrument"),
    ("kaeufer", "buyer"),
    ("käufer", "buyer"),
    ("konten", "accounts"),
    ("konto", "account"),
    ("kunde", "customer"),
    ("kunden", "customers"),
    ("kurs", "price"),
    ("lmt", "limit"),
    ("menge", "quantity"),
    ("modify", "modified"),
    ("nutzer", "user"),
    ("ord", "order"),
    ("pos", "position"),
    ("preis", "price"),
    ("provision", "commission"),
    ("px", "price"),
    ("qty", "quantity"),
    ("rechte", "permissions"),
    ("revoke", "revoked"),
    ("richtung", "side"),
    ("schluessel", "key"),
    ("schlüssel", "key"),
    ("sitzung", "session"),
    ("sitzungen", "sessions"),
    ("src", "source"),
    ("stat", "status"),
    ("stk", "quantity"),
    ("stueck", "quantity"),
    ("stück", "quantity"),
    ("stueckzahl", "quantity"),
    ("stückzahl", "quantity"),
    ("sym", "symbol"),
    ("tageslimit", "dailylimit"),
    ("trd", "trade"),
    ("tx", "trade"),
    ("txn", "trade"),
    ("upd", "updated"),
    ("update", "updated"),
    ("val", "value"),
    ("verkaeufer", "seller"),
    ("verkäufer", "seller"),
    ("waehrung", "currency"),
    ("währung", "currency"),
    ("wert", "value"),
    ("wertpapier", "security"),
    ("wertpapiere", "securities"),
    ("widerrufen", "revoked"),
    ("zeit", "time"),
    ("zeitpunkt", "time"),
    ("ziel", "destination"),
    ("zustand", "status"),
];

/// The words of a column's name, in lower case.
pub fn words_of(column: &str) -> Vec<String> {
    words(column)
}

/// Lower-case words of a name in `camelCase`, `PascalCase`, `snake_case` or `kebab-case`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = ' ';
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            last = ' ';
            continue;
        }
        let starts = last == ' ' || (letter.is_uppercase() && !last.is_uppercase());
        match found.last_mut() {
            Some(word) if !starts => word.extend(letter.to_lowercase()),
            _ => found.push(letter.to_lowercase().collect()),
        }
        last = letter;
    }
    found
}

/// The usual word for each.
pub(super) fn usual(words: &[String]) -> Vec<String> {
    let meaning = |word: &String| match MEANINGS.iter().find(|(one, _)| one == word) {
        Some((_, what)) => (*what).to_owned(),
        None => word.clone(),
    };
    words.iter().map(meaning).collect()
}

/// The word with which most names of a table's columns begin, as in `trd_id`, `trd_qty`: it says nothing of a column.
pub(super) fn common_prefix(table: &Table) -> Option<String> {
    let firsts: Vec<String> = table
        .columns
        .iter()
        .filter_map(|column| Some(words(&column.name)).filter(|words| words.len() > 1)?.into_iter().next())
        .collect();
    let count = |word: &String| firsts.iter().filter(|one| *one == word).count();
    let most = firsts.iter().max_by_key(|word| count(word))?;
    let all = table.columns.len();
    (all >= 3 && count(most) * 5 >= all * 4).then(|| most.clone())
}

/// A column's words without the prefix that all have.
pub(super) fn without(mut words: Vec<String>, prefix: Option<&str>) -> Vec<String> {
    if words.len() > 1 && words.first().map(String::as_str) == prefix {
        words.remove(0);
    }
    words
}

/// Whether a table is called by one of these names, or by one of them after other words: `tbl_trade_history`, `p2p_trades`.
pub(super) fn ends_with(name: &str, names: &[&str]) -> bool {
    let (plain, usual) = (words(name), usual(&words(name)));
    [plain, usual]
        .iter()
        .any(|words| (0..words.len()).rev().take(3).any(|start| names.contains(&words[start..].concat().as_str())))
}

/// How many places of a whole number are behind the point, as a column's name says it: `fee_cents`, `qty_e8`, `amountWei`.
pub fn decimal_places(column: &str) -> i64 {
    let words = words(column);
    let Some(last) = words.last() else { return 0 };
    match last.as_str() {
        "cents" | "cent" | "pence" | "paise" | "minor" => 2,
        "millis" | "mills" => 3,
        "micros" | "micro" => 6,
        "sats" | "sat" | "satoshi" | "satoshis" => 8,
        "gwei" | "nanos" | "lamports" => 9,
        "wei" => 18,
        other => {
            let power = other.strip_prefix('e').and_then(|digits| digits.parse().ok());
            power.filter(|power| (1..=30).contains(power)).unwrap_or(0)
        }
    }
}
