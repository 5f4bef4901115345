#!/usr/bin/env bash
# Mutants of the gate and the ledger: each changed in one place, each must make a test fail (cargo-mutants, installed if missing).
# The pure rooms are copied into three small crates below target/mutants, so that a mutant is built in seconds and tested by the
# tests of its own room alone; nothing here is changed. What is left out, and why, is said in tests/mutants.toml.
# First argument: `ledger` or `gate`. The others are passed on, for instance: tests/mutants.sh gate --shard 1/4
set -euo pipefail
cd "$(dirname "$0")/.."
room=${1:?ledger or gate}
shift
copy=${PORTCULLIS_MUTANTS_DIR:-target/mutants}
command -v cargo-mutants >/dev/null 2>&1 || cargo install cargo-mutants --locked
python3 - "$copy" "$room" <<'PYTHON'
import os, re, shutil, sys, tomllib

copy, room = sys.argv[1:]
manifest = tomllib.load(open("Cargo.toml", "rb"))


def used(rooms, kind):
    """Which crates the rooms name."""
    text = "".join(open(f"{root}/{name}").read() for room in rooms for root, _, names in os.walk(f"src/{room}") for name in names)
    return [name for name in manifest[kind] if re.search(rf"\b{name.replace('-', '_')}\b::", text)]


def place(crate, rooms, uses):
    folder = f"{copy}/{crate}"
    os.makedirs(folder + "/src", exist_ok=True)
    for name in rooms:
        shutil.rmtree(f"{folder}/src/{name}", ignore_errors=True)
        shutil.copytree(f"src/{name}", f"{folder}/src/{name}")
    lines = ["#![allow(missing_docs)]\n"]
    lines += [f"pub mod {name};\n" for name in rooms] + [f"pub use {other}_room::{{{names}}};\n" for other, names in uses]
    open(folder + "/src/lib.rs", "w").write("".join(lines))

    def table(names, kind):
        out = ""
        for name in names:
            value = manifest[kind][name]
            if isinstance(value, str):
                value = {"version": value}
            words = [f"version = {value['version']!r}"]
            if "default-features" in value:
                words.append("default-features = false")
            if "features" in value:
                words.append(f"features = {value['features']!r}")
            out += f"{name} = {{ {', '.join(words)} }}\n"
        return out

    open(folder + "/Cargo.toml", "w").write(
        f'[package]\nname = "{crate}_room"\nversion = "0.1.0"\nedition = "2024"\n[lib]\ndoctest = false\n[dependencies]\n'
        + table(used(rooms, "dependencies"), "dependencies")
        + "".join(f'{other}_room = {{ path = "../{other}" }}\n' for other, _ in uses)
        + "[dev-dependencies]\n"
        + table(used(rooms, "dev-dependencies") if crate != "base" else [], "dev-dependencies")
    )
    return folder


folder = place("base", ["domain", "policy"], [])
shutil.rmtree(folder + "/policies", ignore_errors=True)
shutil.copytree("policies", folder + "/policies")
shutil.copy(".env.example", folder)
for root, _, names in os.walk(folder + "/src"):
    for name in names:
        # Tests of these rooms know rooms that are not here.
        path = f"{root}/{name}"
        text = open(path).read()
        found = re.search(r"(?m)^#\[cfg\(test\)\]", text)
        text = text[: found.start()] if found else text
        open(path, "w").write(text.replace("pub(crate)", "pub"))
base = [("base", "domain, policy")]
place("ledger", ["ledger"], base)
folder = place("gate", ["gate"], base + [("ledger", "ledger")])
# The model tests the whole gate, and takes long: what only it would notice is a hole in the other tests.
path = folder + "/src/gate/mod.rs"
text = open(path).read()
open(path, "w").write(text.replace("#[cfg(test)]\nmod model_tests;\n", ""))
# What is not changed is built once, and well: most of a run is its tests.
levels = {"base_room": 2, '"*"': 2, "ledger_room": 2 if room == "gate" else 0}
open(copy + "/Cargo.toml", "w").write(
    '[workspace]\nresolver = "3"\nmembers = ["base", "ledger", "gate"]\n'
    + "[profile.dev]\ndebug = 0\n"
    + "".join(f"[profile.dev.package.{name}]\nopt-level = {level}\n" for name, level in levels.items())
)
shutil.copy("Cargo.lock", copy)
# The first test that fails is enough.
runner = os.path.abspath(copy + "/first-failure")
open(runner, "w").write(
    """#!/usr/bin/env python3
import subprocess, sys
tests = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
for line in tests.stdout:
    sys.stdout.buffer.write(line)
    if line.startswith(b"test ") and line.endswith(b" FAILED\\n"):
        tests.kill()
sys.exit(101 if tests.wait() else 0)
"""
)
os.chmod(runner, 0o755)
os.makedirs(copy + "/.cargo", exist_ok=True)
open(copy + "/.cargo/config.toml", "w").write(f"[target.'cfg(all())']\nrunner = {runner!r}\n")
PYTHON
config=$PWD/tests/mutants.toml
cd "$copy"
exec cargo mutants --in-place --no-shuffle --baseline skip --timeout 40 --config "$config" --package "${room}_room" \
  --file "$room/src/$room/*.rs" "$@"
