//! The Sigma specification 2.1, case by case: what a rule must match and what it must not, each with its section.
//!
//! Sections are those of `sigma-rules-specification.md` (R) and `sigma-appendix-modifiers.md` (M) of SigmaHQ's
//! sigma-specification; correlations and filters have their tests beside their code.

use portcullis::detect::logs::{Ruleset, ScanOptions, scan_reader};

/// Section, detection (YAML), events that match, events that don't.
pub type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

pub const CASES: &[Row] = &[
    // Values: strings.
    (
        "R Detection, General: values are compared without regard to case",
        "{s: {f: Abc}, condition: s}",
        &[r#"{"f":"abc"}"#, r#"{"f":"ABC"}"#],
        &[r#"{"f":"abcd"}"#, r#"{"f":"xabc"}"#, r#"{"g":"abc"}"#],
    ),
    (
        "R Detection, General: also outside ASCII",
        "{s: {f: ÉTÉ}, condition: s}",
        &[r#"{"f":"été"}"#, r#"{"f":"\u00e9t\u00c9"}"#],
        &[r#"{"f":"ete"}"#],
    ),
    (
        "R Detection, Wildcards: * is any number of characters",
        "{s: {f: 'a*c'}, condition: s}",
        &[r#"{"f":"ac"}"#, r#"{"f":"a--c"}"#, r#"{"f":"a\nc"}"#],
        &[r#"{"f":"ab"}"#, r#"{"f":"xac"}"#],
    ),
    (
        "R Detection, Wildcards: ? is one character",
        "{s: {f: 'a?c'}, condition: s}",
        &[r#"{"f":"abc"}"#, r#"{"f":"aéc"}"#],
        &[r#"{"f":"ac"}"#, r#"{"f":"abbc"}"#],
    ),
    (
        "R Detection, Wildcards: several in one value",
        "{s: {f: '*a?b*c'}, condition: s}",
        &[r#"{"f":"xxa1bc"}"#, r#"{"f":"a1b...c"}"#],
        &[r#"{"f":"abc"}"#, r#"{"f":"a1bcd"}"#],
    ),
    (
        "R Detection, Escaping: a backslash before a wildcard makes it plain",
        r"{s: {f: 'a\*c'}, condition: s}",
        &[r#"{"f":"a*c"}"#],
        &[r#"{"f":"abc"}"#, r#"{"f":"a\\*c"}"#],
    ),
    ("R Detection, Escaping: of ?", r"{s: {f: 'a\?'}, condition: s}", &[r#"{"f":"a?"}"#], &[r#"{"f":"ab"}"#]),
    (
        "R Detection, Escaping: a single backslash is a backslash",
        r"{s: {f: 'C:\Windows\x'}, condition: s}",
        &[r#"{"f":"c:\\windows\\X"}"#],
        &[r#"{"f":"C:Windowsx"}"#],
    ),
    (
        "R Detection, Escaping: two are one, so a wildcard can follow",
        r"{s: {f: 'C:\\*'}, condition: s}",
        &[r#"{"f":"C:\\a"}"#, r#"{"f":"C:\\"}"#],
        &[r#"{"f":"C:a"}"#],
    ),
    (
        "R Detection, Escaping: four are two",
        r"{s: {f: '\\\\host\share'}, condition: s}",
        &[r#"{"f":"\\\\host\\share"}"#],
        &[r#"{"f":"\\host\\share"}"#],
    ),
    (
        "R Detection, Escaping: three and a wildcard are one backslash and the plain sign",
        r"{s: {f: 'a\\\*b'}, condition: s}",
        &[r#"{"f":"a\\*b"}"#],
        &[r#"{"f":"a\\xb"}"#],
    ),
    (
        "R Detection, Special values: '' is an empty value",
        "{s: {f: ''}, condition: s}",
        &[r#"{"f":""}"#],
        &[r#"{"f":null}"#, "{}", r#"{"f":" "}"#],
    ),
    (
        "R Detection, Special values: null is no value",
        "{s: {f: null}, condition: s}",
        &[r#"{"f":null}"#, "{}", r#"{"f":[]}"#],
        &[r#"{"f":""}"#, r#"{"f":0}"#, r#"{"f":false}"#],
    ),
    (
        "R Detection, Special values: null in a list",
        "{s: {f: [null, x]}, condition: s}",
        &["{}", r#"{"f":"x"}"#],
        &[r#"{"f":"y"}"#],
    ),
    (
        "R Detection, Special values: not null is any value",
        "{s: {f: null}, condition: not s}",
        &[r#"{"f":"x"}"#, r#"{"f":""}"#],
        &["{}", r#"{"f":null}"#],
    ),
    (
        "R Detection, Wildcards: * alone needs a value",
        "{s: {f: '*'}, condition: s}",
        &[r#"{"f":"x"}"#, r#"{"f":""}"#],
        &["{}", r#"{"f":null}"#],
    ),
    // Values: numbers, booleans, lists, objects.
    (
        "R Detection, Value types: a number equals its text",
        "{s: {f: 200}, condition: s}",
        &[r#"{"f":200}"#, r#"{"f":"200"}"#],
        &[r#"{"f":2000}"#, r#"{"f":20}"#],
    ),
    (
        "R Detection, Value types: booleans",
        "{s: {f: true}, condition: s}",
        &[r#"{"f":true}"#, r#"{"f":"True"}"#],
        &[r#"{"f":false}"#, r#"{"f":1}"#],
    ),
    (
        "R Detection, Value types: words of YAML 1.1 stay words",
        "{s: {f: 'no'}, condition: s}",
        &[r#"{"f":"no"}"#],
        &[r#"{"f":false}"#],
    ),
    (
        "R Detection, Value types: a leading zero is kept",
        "{s: {f: 0123}, condition: s}",
        &[r#"{"f":"0123"}"#],
        &[r#"{"f":"123"}"#],
    ),
    (
        "R Detection, Lists: one of the values",
        "{s: {f: [a, b, 3]}, condition: s}",
        &[r#"{"f":"A"}"#, r#"{"f":"b"}"#, r#"{"f":3}"#],
        &[r#"{"f":"c"}"#],
    ),
    (
        "R Detection, Lists: an event's list matches if an element does",
        "{s: {f: b}, condition: s}",
        &[r#"{"f":["a","b"]}"#],
        &[r#"{"f":["a","c"]}"#, r#"{"f":[]}"#],
    ),
    (
        "R Detection, Maps: all fields",
        "{s: {a: 1, b: 2}, condition: s}",
        &[r#"{"a":1,"b":2}"#],
        &[r#"{"a":1}"#, r#"{"a":1,"b":3}"#],
    ),
    (
        "R Detection, Lists of maps: one of the maps",
        "{s: [{a: 1, b: 2}, {c: 3}], condition: s}",
        &[r#"{"a":1,"b":2}"#, r#"{"c":3}"#],
        &[r#"{"a":1}"#, r#"{"b":2}"#],
    ),
    (
        "R Detection, Field names: a path through objects",
        "{s: {a.b.c: x}, condition: s}",
        &[r#"{"a":{"b":{"c":"x"}}}"#, r#"{"a.b.c":"x"}"#, r#"{"a":{"b.c":"x"}}"#, r#"{"a":[{"b":{"c":"x"}}]}"#],
        &[r#"{"a":{"c":"x"}}"#, r#"{"b":{"c":"x"}}"#],
    ),
    (
        "R Detection, Field names: are compared with regard to case",
        "{s: {Field: x}, condition: s}",
        &[r#"{"Field":"x"}"#],
        &[r#"{"field":"x"}"#],
    ),
    (
        "R Detection, Field names: spaces are kept",
        "{s: {'a b': x}, condition: s}",
        &[r#"{"a b":"x"}"#],
        &[r#"{"ab":"x"}"#],
    ),
    // Keywords.
    (
        "R Detection, Keywords: one in any value",
        "{k: [needle, pin], condition: k}",
        &[r#"{"a":"a Needle here"}"#, r#"{"a":{"b":["pins"]}}"#],
        &[r#"{"needle":"x"}"#, r#"{"a":"nedle"}"#],
    ),
    (
        "R Detection, Keywords: with wildcards",
        "{k: ['cat*passwd'], condition: k}",
        &[r#"{"a":"cat /etc/passwd"}"#],
        &[r#"{"a":"passwd cat"}"#],
    ),
    (
        "R Detection, Keywords: a number",
        "{k: [4711], condition: k}",
        &[r#"{"a":4711}"#, r#"{"a":"x4711y"}"#],
        &[r#"{"a":471}"#],
    ),
    (
        "R Detection, Keywords: |all needs each of them",
        "{k: {'|all': [one, two]}, condition: k}",
        &[r#"{"a":"one two"}"#, r#"{"a":"one","b":"two"}"#],
        &[r#"{"a":"one"}"#],
    ),
    ("R Detection, Keywords: a single text", "{k: needle, condition: k}", &[r#"{"a":"needle"}"#], &[r#"{"a":"x"}"#]),
    ("R Detection, Keywords: |re", "{k: {'|re': '^x[0-9]+$'}, condition: k}", &[r#"{"a":"x12"}"#], &[r#"{"a":"x"}"#]),
    // Conditions.
    ("R Condition: and", "{a: {x: 1}, b: {y: 1}, condition: a and b}", &[r#"{"x":1,"y":1}"#], &[r#"{"x":1}"#]),
    ("R Condition: or", "{a: {x: 1}, b: {y: 1}, condition: a or b}", &[r#"{"x":1}"#, r#"{"y":1}"#], &["{}"]),
    ("R Condition: not", "{a: {x: 1}, condition: not a}", &["{}", r#"{"x":2}"#], &[r#"{"x":1}"#]),
    (
        "R Condition: not binds closer than and, and closer than or",
        "{a: {x: 1}, b: {y: 1}, c: {z: 1}, condition: a or b and not c}",
        &[r#"{"x":1,"z":1}"#, r#"{"y":1}"#],
        &[r#"{"y":1,"z":1}"#],
    ),
    (
        "R Condition: brackets",
        "{a: {x: 1}, b: {y: 1}, c: {z: 1}, condition: (a or b) and not c}",
        &[r#"{"x":1}"#],
        &[r#"{"x":1,"z":1}"#],
    ),
    (
        "R Condition: nested brackets and double not",
        "{a: {x: 1}, b: {y: 1}, condition: not (not ((a) and b))}",
        &[r#"{"x":1,"y":1}"#],
        &[r#"{"x":1}"#],
    ),
    (
        "R Condition: words in capitals",
        "{a: {x: 1}, b: {y: 1}, condition: a AND NOT b}",
        &[r#"{"x":1}"#],
        &[r#"{"x":1,"y":1}"#],
    ),
    ("R Condition: 1 of them", "{a: {x: 1}, b: {y: 1}, condition: 1 of them}", &[r#"{"y":1}"#], &["{}"]),
    (
        "R Condition: all of them",
        "{a: {x: 1}, b: {y: 1}, condition: all of them}",
        &[r#"{"x":1,"y":1}"#],
        &[r#"{"y":1}"#],
    ),
    ("R Condition: any of", "{a1: {x: 1}, a2: {y: 1}, condition: any of a*}", &[r#"{"y":1}"#], &["{}"]),
    (
        "R Condition: 1 of a pattern",
        "{s_a: {x: 1}, s_b: {y: 1}, o: {z: 1}, condition: 1 of s_*}",
        &[r#"{"x":1}"#],
        &[r#"{"z":1}"#],
    ),
    (
        "R Condition: all of a pattern",
        "{s_a: {x: 1}, s_b: {y: 1}, condition: all of s_*}",
        &[r#"{"x":1,"y":1}"#],
        &[r#"{"x":1}"#],
    ),
    (
        "R Condition: a pattern with * inside",
        "{sel_a_1: {x: 1}, sel_b_2: {y: 1}, condition: 1 of sel_*_1}",
        &[r#"{"x":1}"#],
        &[r#"{"y":1}"#],
    ),
    (
        "R Condition: n of a pattern",
        "{s1: {x: 1}, s2: {y: 1}, s3: {z: 1}, condition: 2 of s*}",
        &[r#"{"x":1,"z":1}"#],
        &[r#"{"x":1}"#],
    ),
    (
        "R Condition: them leaves out names that begin with _",
        "{_a: {x: 1}, b: {y: 1}, condition: 1 of them}",
        &[r#"{"y":1}"#],
        &[r#"{"x":1}"#],
    ),
    (
        "R Condition: filters",
        "{s: {x: 1}, filter_main: {u: root}, filter_optional: {h: ci}, condition: s and not 1 of filter_*}",
        &[r#"{"x":1}"#, r#"{"x":1,"u":"bob"}"#],
        &[r#"{"x":1,"u":"root"}"#, r#"{"x":1,"h":"ci"}"#],
    ),
    (
        "R Condition: a list of conditions",
        "{a: {x: 1}, b: {y: 1}, condition: [a, b]}",
        &[r#"{"x":1}"#, r#"{"y":1}"#],
        &["{}"],
    ),
    (
        "R Condition: a selection's name may hold a word of the language",
        "{selection_and_more: {x: 1}, condition: selection_and_more}",
        &[r#"{"x":1}"#],
        &["{}"],
    ),
    // Generic modifiers.
    (
        "M Generic: contains",
        "{s: {f|contains: ab}, condition: s}",
        &[r#"{"f":"xABx"}"#, r#"{"f":"ab"}"#],
        &[r#"{"f":"a b"}"#],
    ),
    (
        "M Generic: contains with a wildcard inside",
        "{s: {f|contains: 'a*b'}, condition: s}",
        &[r#"{"f":"xa--bx"}"#],
        &[r#"{"f":"ba"}"#],
    ),
    ("M Generic: startswith", "{s: {f|startswith: ab}, condition: s}", &[r#"{"f":"abc"}"#], &[r#"{"f":"cab"}"#]),
    ("M Generic: endswith", "{s: {f|endswith: ab}, condition: s}", &[r#"{"f":"cab"}"#], &[r#"{"f":"abc"}"#]),
    (
        "M Generic: endswith of a path",
        r"{s: {f|endswith: '\cmd.exe'}, condition: s}",
        &[r#"{"f":"C:\\Windows\\CMD.exe"}"#],
        &[r#"{"f":"xcmd.exe"}"#],
    ),
    ("M Generic: all", "{s: {f|contains|all: [a, b]}, condition: s}", &[r#"{"f":"b-a"}"#], &[r#"{"f":"a"}"#]),
    (
        "M Generic: all over an event's list",
        "{s: {f|all: [a, b]}, condition: s}",
        &[r#"{"f":["b","a","c"]}"#],
        &[r#"{"f":["a"]}"#],
    ),
    (
        "M Generic: exists",
        "{s: {f|exists: true}, condition: s}",
        &[r#"{"f":1}"#, r#"{"f":null}"#, r#"{"f":""}"#],
        &["{}"],
    ),
    ("M Generic: exists, denied", "{s: {f|exists: false}, condition: s}", &["{}"], &[r#"{"f":null}"#, r#"{"f":1}"#]),
    ("M Generic: cased", "{s: {f|cased: Ab}, condition: s}", &[r#"{"f":"Ab"}"#], &[r#"{"f":"ab"}"#]),
    (
        "M Generic: cased with contains",
        "{s: {f|contains|cased: Ab}, condition: s}",
        &[r#"{"f":"xAbx"}"#],
        &[r#"{"f":"xabx"}"#],
    ),
    (
        "M Generic: cased with wildcards",
        "{s: {f|cased: 'A?c*'}, condition: s}",
        &[r#"{"f":"Abcd"}"#],
        &[r#"{"f":"abcd"}"#],
    ),
    ("M Generic: neq", "{s: {f|neq: a}, condition: s}", &[r#"{"f":"b"}"#], &[r#"{"f":"A"}"#]),
    (
        "M Generic: neq of a list is none of it",
        "{s: {f|neq: [a, b]}, condition: s}",
        &[r#"{"f":"c"}"#],
        &[r#"{"f":"a"}"#, r#"{"f":"b"}"#],
    ),
    ("M Generic: neq of a number", "{s: {f|neq: 5}, condition: s}", &[r#"{"f":6}"#], &[r#"{"f":5}"#, r#"{"f":"5"}"#]),
    // Strings.
    (
        "M String: windash",
        "{s: {f|windash|contains: ' -enc'}, condition: s}",
        &[
            r#"{"f":"ps -enc x"}"#,
            r#"{"f":"ps /enc x"}"#,
            r#"{"f":"ps \u2013enc x"}"#,
            r#"{"f":"ps \u2014enc x"}"#,
            r#"{"f":"ps \u2015enc x"}"#,
        ],
        &[r#"{"f":"ps enc x"}"#],
    ),
    (
        "M String: windash of a slash",
        "{s: {f|windash|contains: ' /f'}, condition: s}",
        &[r#"{"f":"x -f"}"#],
        &[r#"{"f":"x f"}"#],
    ),
    (
        "M Regular expression: with regard to case",
        "{s: {f|re: '^a.c$'}, condition: s}",
        &[r#"{"f":"abc"}"#],
        &[r#"{"f":"ABC"}"#, r#"{"f":"abcd"}"#],
    ),
    (
        "M Regular expression: anywhere unless anchored",
        "{s: {f|re: 'b+'}, condition: s}",
        &[r#"{"f":"abbc"}"#],
        &[r#"{"f":"ac"}"#],
    ),
    ("M Regular expression: i", "{s: {f|re|i: '^a.c$'}, condition: s}", &[r#"{"f":"ABC"}"#], &[r#"{"f":"AC"}"#]),
    (
        "M Regular expression: . is no line end",
        "{s: {f|re: 'a.b'}, condition: s}",
        &[r#"{"f":"a b"}"#],
        &[r#"{"f":"a\nb"}"#],
    ),
    ("M Regular expression: s", "{s: {f|re|s: 'a.b'}, condition: s}", &[r#"{"f":"a\nb"}"#], &[r#"{"f":"ab"}"#]),
    ("M Regular expression: m", "{s: {f|re|m: '^b$'}, condition: s}", &[r#"{"f":"a\nb\nc"}"#], &[r#"{"f":"a b c"}"#]),
    ("M Regular expression: without m", "{s: {f|re: '^b$'}, condition: s}", &[r#"{"f":"b"}"#], &[r#"{"f":"a\nb\nc"}"#]),
    (
        "M Regular expression: classes, groups, alternation, counts",
        "{s: {f|re: '^(get|post) /[a-z]{2,3}[^0-9]?$'}, condition: s}",
        &[r#"{"f":"get /abc"}"#, r#"{"f":"post /ab!"}"#],
        &[r#"{"f":"put /abc"}"#, r#"{"f":"get /a"}"#],
    ),
    (
        "M Regular expression: a list",
        "{s: {f|re: ['^a', 'z$']}, condition: s}",
        &[r#"{"f":"ab"}"#, r#"{"f":"yz"}"#],
        &[r#"{"f":"bzb"}"#],
    ),
    (
        "M Encoding: base64",
        "{s: {f|base64: admin}, condition: s}",
        &[r#"{"f":"YWRtaW4="}"#],
        &[r#"{"f":"ywrtaw4="}"#, r#"{"f":"admin"}"#],
    ),
    (
        "M Encoding: base64 with contains",
        "{s: {f|base64|contains: foobar}, condition: s}",
        &[r#"{"f":"x Zm9vYmFy y"}"#],
        &[r#"{"f":"foobar"}"#],
    ),
    (
        "M Encoding: base64offset, each of the three",
        "{s: {f|base64offset|contains: /bin/sh}, condition: s}",
        &[r#"{"f":"L2Jpbi9zaA=="}"#, r#"{"f":"eC9iaW4vc2g="}"#, r#"{"f":"eHgvYmluL3No"}"#],
        &[r#"{"f":"/bin/sh"}"#],
    ),
    (
        "M Encoding: utf16le, then base64",
        "{s: {f|utf16le|base64: cmd}, condition: s}",
        &[r#"{"f":"YwBtAGQA"}"#],
        &[r#"{"f":"Y21k"}"#],
    ),
    ("M Encoding: wide is utf16le", "{s: {f|wide|base64: cmd}, condition: s}", &[r#"{"f":"YwBtAGQA"}"#], &[]),
    (
        "M Encoding: utf16be",
        "{s: {f|utf16be|base64: cmd}, condition: s}",
        &[r#"{"f":"AGMAbQBk"}"#],
        &[r#"{"f":"YwBtAGQA"}"#],
    ),
    (
        "M Encoding: utf16 has a byte order mark",
        "{s: {f|utf16|base64: cmd}, condition: s}",
        &[r#"{"f":"//5jAG0AZAA="}"#],
        &[r#"{"f":"YwBtAGQA"}"#],
    ),
    (
        "M Encoding: wide and base64offset",
        "{s: {f|wide|base64offset|contains: ping}, condition: s}",
        &[r#"{"f":"xxcABpAG4AZw"}"#],
        &[r#"{"f":"ping"}"#],
    ),
    // Numbers.
    (
        "M Numeric: lt",
        "{s: {f|lt: 5}, condition: s}",
        &[r#"{"f":4}"#, r#"{"f":"-1"}"#, r#"{"f":4.9}"#],
        &[r#"{"f":5}"#, r#"{"f":"x"}"#, "{}"],
    ),
    ("M Numeric: lte", "{s: {f|lte: 5}, condition: s}", &[r#"{"f":5}"#], &[r#"{"f":5.1}"#]),
    ("M Numeric: gt", "{s: {f|gt: 5}, condition: s}", &[r#"{"f":5.5}"#], &[r#"{"f":5}"#]),
    ("M Numeric: gte", "{s: {f|gte: 5}, condition: s}", &[r#"{"f":"5"}"#, r#"{"f":1e3}"#], &[r#"{"f":4}"#]),
    ("M Numeric: with a fraction", "{s: {f|gt: 0.5}, condition: s}", &[r#"{"f":0.75}"#], &[r#"{"f":0.25}"#]),
    // Times.
    (
        "M Time: minute",
        "{s: {f|minute: 7}, condition: s}",
        &[r#"{"f":"2026-11-24T03:07:09Z"}"#],
        &[r#"{"f":"2026-11-24T07:03:09Z"}"#, r#"{"f":"soon"}"#],
    ),
    (
        "M Time: hour",
        "{s: {f|hour: 3}, condition: s}",
        &[r#"{"f":"2026-11-24T03:07:09Z"}"#, r#"{"f":"2026-11-24 03:07:09.5"}"#],
        &[r#"{"f":"2026-11-24T04:07:09Z"}"#],
    ),
    (
        "M Time: the hour as it stands, whatever the zone",
        "{s: {f|hour: 3}, condition: s}",
        &[r#"{"f":"2026-11-24T03:07:09+05:00"}"#],
        &[r#"{"f":"2026-11-23T22:07:09Z"}"#],
    ),
    (
        "M Time: day",
        "{s: {f|day: 24}, condition: s}",
        &[r#"{"f":"2026-11-24T03:07:09Z"}"#],
        &[r#"{"f":"2026-11-25T03:07:09Z"}"#],
    ),
    (
        "M Time: week",
        "{s: {f|week: 48}, condition: s}",
        &[r#"{"f":"2026-11-24T03:07:09Z"}"#],
        &[r#"{"f":"2026-11-17T03:07:09Z"}"#],
    ),
    (
        "M Time: month",
        "{s: {f|month: 11}, condition: s}",
        &[r#"{"f":"2026-11-24T03:07:09Z"}"#],
        &[r#"{"f":"2026-12-24T03:07:09Z"}"#],
    ),
    (
        "M Time: year",
        "{s: {f|year: 2026}, condition: s}",
        &[r#"{"f":"2026-11-24T03:07:09Z"}"#],
        &[r#"{"f":"2025-11-24T03:07:09Z"}"#],
    ),
    (
        "M Time: with a comparison",
        "{s: {f|hour|gte: 22}, condition: s}",
        &[r#"{"f":"2026-11-24T22:07:09Z"}"#, r#"{"f":"2026-11-24T23:07:09Z"}"#],
        &[r#"{"f":"2026-11-24T21:59:59Z"}"#],
    ),
    (
        "M Time: a list",
        "{s: {f|hour: [1, 2]}, condition: s}",
        &[r#"{"f":"2026-11-24T02:07:09Z"}"#],
        &[r#"{"f":"2026-11-24T03:07:09Z"}"#],
    ),
    // Addresses.
    (
        "M IP: cidr of version 4",
        "{s: {f|cidr: 10.0.0.0/8}, condition: s}",
        &[r#"{"f":"10.1.2.3"}"#],
        &[r#"{"f":"11.1.2.3"}"#, r#"{"f":"10.1"}"#, r#"{"f":"x10.1.2.3"}"#],
    ),
    (
        "M IP: cidr of version 6",
        "{s: {f|cidr: '2001:db8::/32'}, condition: s}",
        &[r#"{"f":"2001:DB8:1::1"}"#],
        &[r#"{"f":"2001:db9::1"}"#, r#"{"f":"10.0.0.1"}"#],
    ),
    (
        "M IP: a list of networks",
        "{s: {f|cidr: [192.168.0.0/16, 172.16.0.0/12]}, condition: s}",
        &[r#"{"f":"172.31.0.1"}"#, r#"{"f":["8.8.8.8","192.168.1.1"]}"#],
        &[r#"{"f":"172.32.0.1"}"#],
    ),
    (
        "M IP: not in a network",
        "{s: {f|cidr: 10.0.0.0/8}, condition: not s}",
        &[r#"{"f":"8.8.8.8"}"#],
        &[r#"{"f":"10.8.8.8"}"#],
    ),
    // Specific.
    (
        "M Specific: fieldref",
        "{s: {f|fieldref: g}, condition: s}",
        &[r#"{"f":"a","g":"A"}"#, r#"{"f":5,"g":"5"}"#],
        &[r#"{"f":"a","g":"b"}"#, r#"{"f":"a"}"#],
    ),
    (
        "M Specific: fieldref with neq",
        "{s: {f|fieldref|neq: g}, condition: s}",
        &[r#"{"f":"a","g":"b"}"#],
        &[r#"{"f":"a","g":"a"}"#],
    ),
    (
        "M Specific: fieldref with startswith",
        "{s: {f|fieldref|startswith: g}, condition: s}",
        &[r#"{"f":"abc","g":"ab"}"#],
        &[r#"{"f":"abc","g":"bc"}"#],
    ),
    (
        "M Specific: fieldref with endswith and contains",
        "{s: {f|fieldref|endswith: g, f|fieldref|contains: h}, condition: s}",
        &[r#"{"f":"abc","g":"bc","h":"b"}"#],
        &[r#"{"f":"abc","g":"ab","h":"b"}"#],
    ),
];

/// Rules that must not be run, and a part of the reason.
pub const REFUSED: &[(&str, &str, &str)] = &[
    ("M Specific: a placeholder without a value is refused", "{s: {f|expand: '%admins%'}, condition: s}", "expand"),
    ("M: an unknown modifier", "{s: {f|nonsense: x}, condition: s}", "unknown modifier"),
    ("M Regular expression: what is not supported", "{s: {f|re: '(?=a)b'}, condition: s}", "regular expression"),
    ("M IP: no network", "{s: {f|cidr: 10.0.0}, condition: s}", "not a network"),
    ("M Generic: exists needs a boolean", "{s: {f|exists: maybe}, condition: s}", "true or false"),
    ("M Numeric: no number", "{s: {f|gt: x}, condition: s}", "not a number"),
    ("M Time: no number", "{s: {f|hour: x}, condition: s}", "whole number"),
    ("M Encoding: wildcards can't be encoded", "{s: {f|base64: 'a*'}, condition: s}", "wildcards"),
    ("R Condition: an unknown selection", "{s: {f: x}, condition: t}", "doesn't define"),
    ("R Condition: a pattern that fits nothing", "{s: {f: x}, condition: 1 of t*}", "fits no selection"),
    ("R Condition: brackets that are not closed", "{s: {f: x}, condition: (s}", "not closed"),
    ("R Condition: missing", "{s: {f: x}}", "no condition"),
    ("R Condition: aggregations of Sigma 1", "{s: {f: x}, condition: s | count() > 5}", "aggregations"),
    ("R Detection: an empty list", "{s: {f: []}, condition: s}", "empty list"),
    ("R Detection: an empty selection", "{s: {}, condition: s}", "is empty"),
    ("R Detection: a map as a value", "{s: {f: {a: 1}}, condition: s}", "expected"),
];

fn rule(detection: &str) -> Ruleset {
    let text = format!("title: t\nid: t\ndetection: {detection}\n");
    Ruleset::from_texts([("t.yml", text.as_str())])
}

fn matches(rules: &Ruleset, event: &str, prefilter: bool) -> bool {
    let mut found = 0;
    let options = ScanOptions { prefilter, ..ScanOptions::default() };
    let coverage = scan_reader(rules, "t.json", event.as_bytes(), &options, &mut |_| found += 1);
    assert_eq!((coverage.events, coverage.broken), (1, 0), "{event}");
    found > 0
}

#[test]
fn every_case_of_the_specification_holds() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (section, detection, yes, no) in CASES {
        let rules = rule(detection);
        assert_eq!(rules.skipped(), [], "{section}");
        for (event, want) in yes.iter().map(|event| (event, true)).chain(no.iter().map(|event| (event, false))) {
            for prefilter in [true, false] {
                if matches(&rules, event, prefilter) != want {
                    wrong.push(format!("{section}: {detection} on {event} should be {want} (filtered: {prefilter})"));
                }
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 150, "{count} cases");
}

#[test]
fn what_cannot_be_run_is_named_with_file_line_and_reason() {
    for (section, detection, want) in REFUSED {
        let rules = rule(detection);
        assert_eq!(rules.rules().len(), 0, "{section}");
        let skipped = &rules.skipped()[0];
        assert!(skipped.reason.starts_with("t.yml:") && skipped.reason.contains(want), "{section}: {}", skipped.reason);
    }
}
