use super::Dialect;

#[test]
fn names_and_texts_of_others_stay_names_and_texts() {
    for (text, spark, postgresql) in [
        ("acc_1", "'acc_1'", "'acc_1'"),
        ("a'b", "decode(X'612762', 'UTF-8')", "convert_from(decode('612762', 'hex'), 'UTF8')"),
        ("a\\", "decode(X'615c', 'UTF-8')", "convert_from(decode('615c', 'hex'), 'UTF8')"),
        ("ü", "decode(X'c3bc', 'UTF-8')", "convert_from(decode('c3bc', 'hex'), 'UTF8')"),
    ] {
        assert_eq!(Dialect::Spark.text_literal(text), spark);
        assert_eq!(Dialect::Postgresql.text_literal(text), postgresql);
    }
    assert_eq!(Dialect::Spark.identifier("a`; DROP"), "`a``; DROP`");
    assert_eq!(Dialect::Postgresql.identifier("a\"; DROP"), "\"a\"\"; DROP\"");
}

/// What whole numbers become must not depend on how an engine rounds those below zero.
#[test]
fn days_begin_at_midnight_before_1970_too() {
    let divided = Dialect::Postgresql.divide("-1", 86_400_000);
    assert_eq!(divided, "CAST(((-1) - (((-1) % 86400000 + 86400000) % 86400000)) / 86400000 AS BIGINT)");
}
