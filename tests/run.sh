#!/usr/bin/env bash
# The whole test suite by one command, on a new machine too: installs what is missing (Debian packages, a Python venv
# under target/ for the AWS peers), starts private servers on loopback, runs the tests and the linters, stops what it
# started by pid. Arguments are passed on to the test runner (a filter, for instance).
#   PORTCULLIS_TEST_SKIP_LINT=1   leaves clippy, rustfmt and the doc tests out
#   PORTCULLIS_SHARED_DATA=DIR    rules and logs of others, which are checked too
#   PORTCULLIS_TEST_ALL_PAIRS=1   a lockdown that is cut off twice is tried at each pair of places, not at one in six (minutes)
#   PORTCULLIS_TEST_EVERY_BYTE=1  a finished case is damaged at every byte (minutes)
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
mkdir -p target/peers
log() { printf '== %s\n' "$*"; }
die() { printf 'tests/run.sh: %s\n' "$*" >&2; exit 1; }

# --- what must be there -------------------------------------------------------------------------------------------
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
have() { command -v "$1" >/dev/null 2>&1; }
pg_bin=
find_pg() {
  pg_bin=$(for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/initdb" ] && printf '%s\n' "$dir"; done | sort -V | tail -n 1)
  if [ -z "$pg_bin" ] && have initdb; then pg_bin=$(dirname "$(command -v initdb)"); fi
  [ -n "$pg_bin" ]
}
missing=()
have cc || missing+=(gcc libc6-dev)
have ssh-keygen || missing+=(openssh-client)
have openssl || missing+=(openssl)
have python3 || missing+=(python3)
have python3 && python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
find_pg || missing+=(postgresql)
have psql || missing+=(postgresql-client)
have curl || missing+=(curl)
have chromium || have google-chrome || missing+=(chromium)
have redis-server || missing+=(redis-server)
[ -x /usr/sbin/pgbouncer ] || have pgbouncer || missing+=(pgbouncer)
if [ ${#missing[@]} -gt 0 ]; then
  log "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >target/peers/apt.log 2>&1 \
    || die "apt-get failed; see target/peers/apt.log"
  find_pg || die "PostgreSQL was installed, but initdb can't be found"
fi
have cargo || die "cargo is missing: install Rust 1.95 or newer"

venv=target/peers/venv
have_module() { "$venv/bin/python" -c "import $1" 2>/dev/null; }
if [ ! -x "$venv/bin/moto_server" ] || [ ! -x "$venv/bin/ministack" ] || ! have_module securesystemslib || ! have_module in_toto_attestation; then
  log "installing the AWS peers into $venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install -q 'moto[server]==5.2.1' 'ministack==1.5.33' 'securesystemslib[crypto]==1.6.0' 'in-toto-attestation==0.9.3' jsonschema >target/peers/pip.log 2>&1 \
    || die "pip failed; see target/peers/pip.log"
fi

# Parsers that other programs read exports with.
if ! "$venv/bin/python" -c 'import stix2validator, py_ocsf_models' 2>/dev/null; then
  log "installing the validators of exports into $venv"
  "$venv/bin/pip" install -q 'stix2-validator==3.2.0' 'py-ocsf-models==0.10.0' >>target/peers/pip.log 2>&1 \
    || die "pip failed; see target/peers/pip.log"
fi
# A driver of the browser that is installed, and axe-core's checks of accessibility.
if ! "$venv/bin/python" -c 'import playwright, axe_playwright_python' 2>/dev/null; then
  log "installing the browser's driver into $venv"
  "$venv/bin/pip" install -q 'playwright==1.65.2' 'axe-playwright-python==0.1.8' >>target/peers/pip.log 2>&1 || die "pip failed; see target/peers/pip.log"
fi
# OpenSSH's own software FIDO provider, with which ssh-keygen makes hardware keys. Unpacked, not installed: the package wants a
# server of its own.
sk_provider=target/peers/openssh-tests/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so
if [ ! -e "$sk_provider" ] && have apt-get && have dpkg; then
  log "unpacking openssh-tests"
  (mkdir -p target/peers/openssh-tests && cd target/peers && apt-get download openssh-tests >apt-download.log 2>&1 \
    && dpkg -x openssh-tests_*.deb openssh-tests && rm -f openssh-tests_*.deb) || log "openssh-tests can't be had: see target/peers/apt-download.log"
fi

# Slurm for one host: 4 MB of packages, unpacked, not installed, since they would start services. Its libraries are those of x86-64.
slurm=target/peers/slurm
if [ ! -x "$slurm/usr/sbin/slurmd-wlm" ] && have apt-get && have dpkg && [ "$(uname -m)" = x86_64 ]; then
  log "unpacking Slurm"
  (mkdir -p "$slurm" && cd "$slurm" && apt-get download slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge libmunge2 libhwloc15 libnuma1 >../slurm-download.log 2>&1 \
    && for deb in ./*.deb; do dpkg -x "$deb" . || exit 1; done; rm -f ./*.deb) || log "Slurm can't be had: see target/peers/slurm-download.log"
fi

# journalctl and a program that writes journal files: 5 MB of packages, unpacked, not installed. Their libraries are those of x86-64.
journal=target/peers/journal
if [ ! -x "$journal/lib/systemd/systemd-journal-remote" ] && have apt-get && have dpkg && [ "$(uname -m)" = x86_64 ]; then
  log "unpacking systemd's journal"
  (mkdir -p "$journal" && cd "$journal" && apt-get download systemd systemd-journal-remote libsystemd-shared libmicrohttpd12 >../journal-download.log 2>&1 \
    && for deb in ./*.deb; do dpkg -x "$deb" . || exit 1; done; rm -f ./*.deb) || log "systemd's journal can't be had: see target/peers/journal-download.log"
fi

# Compose's plugin (v2), which Debian has from 13 on: one package of a later Debian, unpacked for the Docker client of the tests alone.
compose=target/peers/compose
if have docker && have apt-get && have dpkg && ! docker compose version >/dev/null 2>&1 && [ ! -x "$compose/cli-plugins/docker-compose" ]; then
  log "unpacking Compose's plugin"
  apt_root=$root/$compose/apt
  mkdir -p "$apt_root/lists/partial" "$apt_root/cache/archives/partial" "$compose/cli-plugins"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n' >"$apt_root/sources.list"
  later=(-o "Dir::Etc::sourcelist=$apt_root/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$apt_root/lists" -o "Dir::Cache=$apt_root/cache" -o Acquire::Languages=none)
  (cd "$compose" && apt-get "${later[@]}" -qq update >../compose-download.log 2>&1 && apt-get "${later[@]}" download docker-compose >>../compose-download.log 2>&1 \
    && dpkg -x docker-compose_*.deb apt/deb && cp apt/deb/usr/libexec/docker/cli-plugins/docker-compose cli-plugins/) || log "Compose's plugin can't be had: see target/peers/compose-download.log"
  rm -rf "$apt_root" "$compose"/docker-compose_*.deb
fi

# --- private servers ----------------------------------------------------------------------------------------------
work=$(mktemp -d /tmp/portcullis-peers.XXXXXX)
chmod 755 "$work"
pids=()
stop_all() {
  status=$?
  for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null || true; done
  if [ -f "$work/pg/postmaster.pid" ]; then
    kill -INT "$(head -n 1 "$work/pg/postmaster.pid")" 2>/dev/null || true
    for _ in $(seq 50); do [ -f "$work/pg/postmaster.pid" ] || break; sleep 0.1; done
  fi
  rm -rf "$work"
  exit "$status"
}
trap stop_all EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# PostgreSQL refuses to run as root: drop to a user that owns nothing of ours.
as_pg() { "$@"; }
if [ "$(id -u)" = 0 ]; then
  pg_user=postgres
  id "$pg_user" >/dev/null 2>&1 || { pg_user=portcullis-test; id "$pg_user" >/dev/null 2>&1 || useradd --system --no-create-home "$pg_user"; }
  install -d -o "$pg_user" "$work/pg" "$work/sock"
  as_pg() { runuser -u "$pg_user" -- "$@"; }
else
  mkdir -p "$work/pg" "$work/sock"
fi
pg_port=$(free_port)
password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
install -m 644 /dev/null "$work/pw"
printf '%s\n' "$password" >"$work/pw"
log "PostgreSQL ($("$pg_bin/postgres" --version)) on 127.0.0.1:$pg_port"
(cd "$work" && as_pg "$pg_bin/initdb" -D "$work/pg" -U postgres --pwfile="$work/pw" --auth=scram-sha-256 -E UTF8 --locale=C -N >"$work/initdb.log" 2>&1) \
  || { cat "$work/initdb.log" >&2; die "initdb failed"; }
(cd "$work" && as_pg "$pg_bin/pg_ctl" -D "$work/pg" -w -t 60 -l "$work/pg/server.log" \
  -o "-c listen_addresses=127.0.0.1 -c port=$pg_port -c unix_socket_directories=$work/sock -c max_connections=200 -c log_statement=all -c log_min_duration_statement=0 -c fsync=off" start >"$work/pg_ctl.log" 2>&1) \
  || { cat "$work/pg_ctl.log" "$work/pg/server.log" >&2; die "PostgreSQL did not start"; }

wait_port() {
  for _ in $(seq 150); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  return 1
}
moto_port=$(free_port)
"$venv/bin/moto_server" -H 127.0.0.1 -p "$moto_port" >"$work/moto.log" 2>&1 &
pids+=($!)
ministack_port=$(free_port)
(cd "$work" && GATEWAY_PORT=$ministack_port PORT=$ministack_port AUTH=false exec "$root/$venv/bin/ministack") >"$work/ministack.log" 2>&1 &
pids+=($!)
redis_port=$(free_port)
redis_password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
# The password comes by standard input: arguments can be read by others.
printf 'bind 127.0.0.1\nport %s\nrequirepass %s\nsave ""\nappendonly no\ndir %s\n' "$redis_port" "$redis_password" "$work" \
  | redis-server - >"$work/redis.log" 2>&1 &
pids+=($!)
wait_port "$redis_port" || { cat "$work/redis.log" >&2; die "redis-server did not start"; }
wait_port "$moto_port" || { cat "$work/moto.log" >&2; die "moto_server did not start"; }
wait_port "$ministack_port" || { cat "$work/ministack.log" >&2; die "ministack did not start"; }
log "moto on 127.0.0.1:$moto_port, ministack on 127.0.0.1:$ministack_port, Redis on 127.0.0.1:$redis_port"

# --- tests --------------------------------------------------------------------------------------------------------
export PORTCULLIS_TEST_DATABASE_URL="postgres://postgres:$password@127.0.0.1:$pg_port/postgres"
export PORTCULLIS_TEST_SERVER_LOG="$work/pg/server.log"
export PORTCULLIS_TEST_MOTO_URL="http://127.0.0.1:$moto_port"
export PORTCULLIS_TEST_MINISTACK_URL="http://127.0.0.1:$ministack_port"
export PORTCULLIS_TEST_REDIS_URL="redis://:$redis_password@127.0.0.1:$redis_port/0"
export PORTCULLIS_TEST_PYTHON="$root/$venv/bin/python"
browser=$(command -v chromium || command -v google-chrome || true)
[ -z "$browser" ] || export PORTCULLIS_TEST_CHROMIUM="$browser"
[ ! -e "$sk_provider" ] || export PORTCULLIS_TEST_SK_PROVIDER="$root/$sk_provider"
[ ! -x "$slurm/usr/sbin/slurmd-wlm" ] || export PORTCULLIS_TEST_SLURM="$root/$slurm"
[ ! -x "$journal/lib/systemd/systemd-journal-remote" ] || export PORTCULLIS_TEST_JOURNAL="$root/$journal"
[ ! -x "$compose/cli-plugins/docker-compose" ] || export PORTCULLIS_TEST_DOCKER_CONFIG="$root/$compose"
export PORTCULLIS_TEST_REQUIRE_PEERS=1
[ -n "${PORTCULLIS_SHARED_DATA:-}" ] || log "PORTCULLIS_SHARED_DATA is not set: rules and logs of others are NOT checked"
export INSTA_UPDATE=no
unset DATABASE_URL PORTCULLIS_DATABASE_URL PORTCULLIS_HOME PORTCULLIS_POLICIES PORTCULLIS_OPERATOR

if cargo nextest --version >/dev/null 2>&1; then
  log "cargo nextest run"
  cargo nextest run --locked "$@"
else
  log "cargo test"
  cargo test --locked --lib --bins --tests "$@"
fi
if [ -z "${PORTCULLIS_TEST_SKIP_LINT:-}" ]; then
  log "cargo test --doc";  cargo test --locked --doc
  log "cargo clippy";      cargo clippy --locked --all-targets -- -D warnings
  log "cargo fmt --check"; cargo fmt --check
fi
[ -n "${PORTCULLIS_SHARED_DATA:-}" ] || log "not checked, since PORTCULLIS_SHARED_DATA is not set: rules and logs of others"
log "all passed"
