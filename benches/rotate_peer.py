"""What a capable operator would script for the same breach: rotates and proves every credential of a deployment, 8 threads.

Told by a JSON file (first argument): `secrets` (names), `roles` and `keys` (name, key in `.env`), `env` (path), `database`
(address of the superuser), `host`. AWS comes from the environment. Prints the seconds without its own imports.
"""

import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import psycopg
from botocore.config import Config
from psycopg import sql

THREADS = 8
told = json.load(open(sys.argv[1], encoding="utf-8"))
began = time.monotonic()
aws = boto3.client("secretsmanager", config=Config(max_pool_connections=THREADS))
local = threading.local()
env_lock = threading.Lock()


def admin():
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(told["database"], autocommit=True)
    return local.connection


def env_value(key):
    with open(told["env"], encoding="utf-8") as file:
        return re.search(rf"^{key}=(.*)$", file.read(), re.M).group(1)


def keep(key, value):
    """Temporary file, sync, rename, sync of the folder: what is issued must not be lost."""
    with env_lock:
        with open(told["env"], encoding="utf-8") as file:
            text = file.read()
        text = re.sub(rf"^{key}=.*$", f"{key}={value}", text, flags=re.M)
        folder = os.path.dirname(told["env"])
        handle, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, told["env"])
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


def rotate_secret(name):
    versions = aws.describe_secret(SecretId=name)["VersionIdsToStages"]
    current = next(version for version, labels in versions.items() if "AWSCURRENT" in labels)
    value = secrets.token_urlsafe(32)
    new = aws.put_secret_value(SecretId=name, SecretString=value, VersionStages=["AWSPENDING"])["VersionId"]
    move = aws.update_secret_version_stage
    move(SecretId=name, VersionStage="AWSCURRENT", RemoveFromVersionId=current, MoveToVersionId=new)
    move(SecretId=name, VersionStage="AWSPENDING", RemoveFromVersionId=new)
    move(SecretId=name, VersionStage="AWSPREVIOUS", RemoveFromVersionId=current)
    # By its label: without one, moto gives the first version for ever.
    assert aws.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"] == value
    versions = aws.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert [label for labels in versions.values() for label in labels] == ["AWSCURRENT"], versions


def log_in(url):
    psycopg.connect(url).close()


def rotate_role(role):
    url = env_value(role["key"])
    new = secrets.token_urlsafe(32)
    verifier = admin().pgconn.encrypt_password(new.encode(), role["name"].encode(), b"scram-sha-256").decode()
    alter = sql.SQL("ALTER ROLE {} WITH LOGIN PASSWORD {}").format(sql.Identifier(role["name"]), sql.Literal(verifier))
    admin().execute(alter)
    new_url = re.sub(r"(://[^:]+:)[^@]+@", lambda found: f"{found.group(1)}{new}@", url)
    keep(role["key"], new_url)
    admin().execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role["name"]])
    log_in(new_url)
    try:
        log_in(url)
    except psycopg.OperationalError as error:
        assert "password authentication failed" in str(error), error
    else:
        raise AssertionError(f"{role['name']} still logs in with the old password")


def digest(value):
    return hashlib.sha256(value.encode()).hexdigest()


def rotate_key(key):
    old, new = env_value(key["key"]), secrets.token_urlsafe(32)
    with admin().transaction():
        admin().execute(
            'INSERT INTO "ApiKey" ("id", "accountId", "keyHash") SELECT %s, "accountId", %s FROM "ApiKey" WHERE "id" = %s',
            [f"{key['name']}-new", digest(new), key["name"]],
        )
        admin().execute('UPDATE "ApiKey" SET "revokedAt" = now() WHERE "keyHash" = %s', [digest(old)])
    keep(key["key"], new)
    live = 'SELECT count(*) FROM "ApiKey" WHERE "keyHash" = %s AND "revokedAt" IS NULL'
    assert admin().execute(live, [digest(new)]).fetchone()[0] == 1
    assert admin().execute(live, [digest(old)]).fetchone()[0] == 0


with ThreadPoolExecutor(THREADS) as pool:
    work = [pool.submit(rotate_role, role) for role in told["roles"]]
    work += [pool.submit(rotate_key, key) for key in told["keys"]]
    work += [pool.submit(rotate_secret, name) for name in told["secrets"]]
    for one in work:
        one.result()
print(json.dumps({"seconds": time.monotonic() - began}))
