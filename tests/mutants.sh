#!/usr/bin/env bash
# Mutants of the gate and the ledger: each changed in one place, each must make a test fail (cargo-mutants, installed if missing).
# The pure rooms are copied into a crate of their own below target/, so that a mutant is built in seconds; nothing here is changed.
# Arguments are passed on, for instance: tests/mutants.sh --file src/gate/quorum.rs --shard 1/4
set -euo pipefail
cd "$(dirname "$0")/.."
copy=target/mutants
command -v cargo-mutants >/dev/null 2>&1 || cargo install cargo-mutants --locked
rm -rf "$copy/src" "$copy/policies"
mkdir -p "$copy/src"
cp -r src/domain src/policy src/ledger src/gate "$copy/src/"
cp -r policies .env.example Cargo.lock "$copy/"
printf '#![allow(missing_docs)]\npub mod domain;\npub mod gate;\npub mod ledger;\npub mod policy;\n' >"$copy/src/lib.rs"
python3 - "$copy" <<'PYTHON'
import glob, re, sys
copy = sys.argv[1]
# Tests of the other two rooms know rooms that are not here.
for path in glob.glob(copy + "/src/policy/*.rs") + glob.glob(copy + "/src/domain/*.rs"):
    text = open(path).read()
    found = re.search(r"(?m)^#\[cfg\(test\)\]", text)
    if found:
        open(path, "w").write(text[: found.start()])
text = open("Cargo.toml").read()
left_out = r"(?ms)^\[(\[bin\]|\[test\]|\[bench\]|lib)\].*?(?=^\[|\Z)"
text = re.sub(left_out, "", text).replace("autotests = false\n", "")
open(copy + "/Cargo.toml", "w").write(text + "\n[workspace]\n")
PYTHON
cd "$copy"
# The model is a test of the whole gate, and slow: what only it would notice is a hole in the others.
exec cargo mutants --in-place --no-shuffle --timeout 120 --file 'src/gate/*.rs' --file 'src/ledger/*.rs' \
  --exclude 'src/gate/*tests.rs' --exclude src/gate/fixture.rs --exclude src/gate/testing.rs "$@" -- --lib -- --skip model_tests
