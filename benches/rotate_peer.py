"""What a careful script does today: rotate and prove with boto3 and psycopg, eight threads.

seed   makes what is to be rotated;  rotate  does the work. Both read one JSON document from standard input.
"""

import hashlib
import hmac
import base64
import json
import os
import secrets
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import psycopg
from botocore.config import Config

job = json.load(sys.stdin)
client = boto3.client(
    "secretsmanager",
    endpoint_url=job["aws"],
    region_name="eu-central-1",
    aws_access_key_id="AKIDEXAMPLE",
    aws_secret_access_key="example",
    config=Config(max_pool_connections=16),
)
env_lock = threading.Lock()


def connect(user=None, password=None):
    address = job["postgres"]
    return psycopg.connect(
        host="127.0.0.1",
        port=address["port"],
        dbname="postgres",
        user=user or "postgres",
        password=password or address["password"],
        autocommit=True,
        connect_timeout=5,
    )


def sha(value):
    return hashlib.sha256(value.encode()).hexdigest()


def verifier(password):
    salt, rounds = os.urandom(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client_key).digest()
    text = [base64.b64encode(part).decode() for part in (salt, stored, server_key)]
    return f"SCRAM-SHA-256${rounds}:{text[0]}${text[1]}:{text[2]}"


def write_env(key, value):
    with env_lock:
        path = job["env"]
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        lines = [f"{key}={value}" if line.startswith(f"{key}=") else line for line in lines]
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".new", path)
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def rotate_secret(name):
    new, token = secrets.token_urlsafe(30), str(uuid.uuid4())
    old = client.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")
    client.put_secret_value(
        SecretId=name, SecretString=new, ClientRequestToken=token, VersionStages=["AWSPENDING"]
    )
    client.update_secret_version_stage(
        SecretId=name, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=old["VersionId"]
    )
    client.update_secret_version_stage(SecretId=name, VersionStage="AWSPENDING", RemoveFromVersionId=token)
    client.update_secret_version_stage(
        SecretId=name, VersionStage="AWSPREVIOUS", RemoveFromVersionId=old["VersionId"]
    )
    assert client.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"] == new
    labels = [label for each in client.describe_secret(SecretId=name)["VersionIdsToStages"].values() for label in each]
    assert labels == ["AWSCURRENT"], labels


def rotate_role(role):
    new = secrets.token_urlsafe(30)
    with connect() as admin:
        admin.execute("SET log_statement = 'none'")
        admin.execute(f"ALTER ROLE {role} PASSWORD '{verifier(new)}'")
        write_env(role.upper(), new)
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
    connect(role, new).close()
    for _ in range(3):
        try:
            connect(role, "old-" + role).close()
        except psycopg.OperationalError:
            continue
        raise AssertionError(role)


def rotate_key(key):
    new = secrets.token_urlsafe(30)
    with connect() as admin:
        with admin.transaction():
            admin.execute(
                'INSERT INTO "ApiKey" SELECT %s, "accountId", %s, NULL FROM "ApiKey" WHERE id = %s',
                (key + "-new", sha(new), key),
            )
            admin.execute('UPDATE "ApiKey" SET "revokedAt" = now() WHERE id = %s', (key,))
        write_env(key.upper(), new)
        alive = 'SELECT count(*) FROM "ApiKey" WHERE "keyHash" = %s AND "revokedAt" IS NULL'
        assert admin.execute(alive, (sha(new),)).fetchone()[0] == 1
        assert admin.execute(alive, (sha("old-" + key),)).fetchone()[0] == 0


def seed():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: client.create_secret(Name=name, SecretString="old-" + name), job["secrets"]))
    with connect() as admin:
        admin.execute(
            'CREATE TABLE IF NOT EXISTS "ApiKey" (id text PRIMARY KEY, "accountId" text, "keyHash" text UNIQUE, "revokedAt" timestamptz)'
        )
        for role in job["roles"]:
            admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'old-{role}'")
        for key in job["keys"]:
            admin.execute('INSERT INTO "ApiKey" VALUES (%s, %s, %s, NULL)', (key, "account", sha("old-" + key)))
    with open(job["env"], "w", encoding="utf-8") as file:
        for name in job["roles"] + job["keys"]:
            file.write(f"{name.upper()}=old-{name}\n")


def rotate():
    work = [(rotate_secret, name) for name in job["secrets"]]
    work += [(rotate_role, name) for name in job["roles"]] + [(rotate_key, name) for name in job["keys"]]
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(one, name) for one, name in work]:
            done.result()


{"seed": seed, "rotate": rotate}[sys.argv[1]]()
