//! Calls within definitions: defaults, checks, index expressions. They run when a dump is restored.

use super::words::Word;

/// What may stand in front of a parenthesis without being a call: keywords and types.
const NO_CALLS: [&str; 54] = [
    "key",
    "unique",
    "check",
    "in",
    "any",
    "all",
    "some",
    "and",
    "or",
    "not",
    "values",
    "from",
    "to",
    "as",
    "identity",
    "enum",
    "include",
    "with",
    "where",
    "by",
    "range",
    "list",
    "hash",
    "set",
    "default",
    "then",
    "else",
    "when",
    "case",
    "row",
    "over",
    "between",
    "like",
    "is",
    "distinct",
    "nulls",
    "collate",
    "generated",
    "exclude",
    "on",
    "using",
    "numeric",
    "decimal",
    "varchar",
    "varying",
    "character",
    "char",
    "bpchar",
    "bit",
    "timestamp",
    "timestamptz",
    "time",
    "interval",
    "float",
];

/// Functions that read nothing but their arguments, the time, a sequence or random bits.
const HARMLESS: [&str; 73] = [
    "nextval",
    "now",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "current_timestamp",
    "localtimestamp",
    "current_date",
    "current_time",
    "localtime",
    "timezone",
    "date_trunc",
    "date_part",
    "extract",
    "age",
    "make_interval",
    "to_timestamp",
    "date",
    "gen_random_uuid",
    "uuid_generate_v1",
    "uuid_generate_v4",
    "uuidv7",
    "lower",
    "upper",
    "initcap",
    "length",
    "char_length",
    "octet_length",
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "abs",
    "round",
    "trunc",
    "ceil",
    "floor",
    "sign",
    "mod",
    "power",
    "sqrt",
    "md5",
    "sha256",
    "btrim",
    "ltrim",
    "rtrim",
    "trim",
    "concat",
    "concat_ws",
    "left",
    "right",
    "substr",
    "substring",
    "replace",
    "translate",
    "reverse",
    "lpad",
    "rpad",
    "split_part",
    "strpos",
    "position",
    "starts_with",
    "encode",
    "decode",
    "to_tsvector",
    "setweight",
    "jsonb_typeof",
    "jsonb_array_length",
    "json_typeof",
    "json_array_length",
    "array_length",
    "cardinality",
    "hashtext",
];

/// Keywords behind which a name is a table's, a column list's or a method's.
const NAMES: [&str; 11] =
    ["table", "exists", "references", "on", "only", "using", "into", "of", "constraint", "index", "type"];

/// The first name in front of a parenthesis that is neither a table, a type, a keyword nor a function known to be harmless.
pub(super) fn unknown_call(words: &[Word]) -> Option<String> {
    let known = |list: &[&str], name: &str| list.iter().any(|one| one.eq_ignore_ascii_case(name));
    for at in 1..words.len() {
        if words[at] != Word::Sign('(') {
            continue;
        }
        let Some(name) = words[at - 1].name() else { continue };
        // Back over `schema.`, then the word that says what it is.
        let mut first = at - 1;
        while first >= 2 && words[first - 1] == Word::Sign('.') {
            first -= 2;
        }
        let qualified = first < at - 1;
        let names_it = first >= 1 && matches!(&words[first - 1], Word::Bare(word) if known(&NAMES, word));
        let bare = matches!(words[at - 1], Word::Bare(_));
        // `pg_catalog.lower(x)` is the function itself; a schema of the dump's own could hold another of that name.
        let trusted =
            !qualified || words[first].name().is_some_and(|schema| schema == "pg_catalog" || schema == "public");
        let harmless = (known(&HARMLESS, name) && trusted) || (bare && !qualified && known(&NO_CALLS, name));
        if !names_it && !harmless {
            return Some(name.to_owned());
        }
    }
    None
}
