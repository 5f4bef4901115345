#!/usr/bin/env python3
"""Runs the statements of `portcullis --format json scan trades --sql spark` over tables of Parquet or CSV.

    portcullis --format json scan trades --sql spark >statements.jsonl
    spark-submit packaging/spark/trades.py statements.jsonl Trade=s3a://archive/trade Order=/archive/order.csv ...

A table is a path that Spark can read: a folder or file of Parquet, or one whose name ends in .csv (with a header; an empty cell is NULL).
Prints one JSON object for each finding, `policy`, `id` and `time`, then a summary. Exit codes: 0 nothing, 3 findings, 1 failed.
"""
import datetime
import json
import sys

from pyspark.sql import SparkSession


def main(arguments):
    if len(arguments) < 2 or any("=" not in one for one in arguments[1:]):
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[0], encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    statements = [record for record in records if record["type"] == "statement"]
    # Times without a zone are UTC, as Prisma writes them.
    spark = SparkSession.builder.appName("portcullis-trades").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.sparkContext.setLogLevel("ERROR")
    for table, path in (one.split("=", 1) for one in arguments[1:]):
        if path.endswith(".csv"):
            rows = spark.read.option("header", True).option("escape", '"').option("multiLine", True).csv(path)
        else:
            rows = spark.read.parquet(path)
        rows.createOrReplaceTempView(table)
    found = 0
    for statement in statements:
        # Findings are few: one partition, so that one job gives them.
        for row in spark.sql(statement["sql"]).repartition(1).toLocalIterator():
            found += 1
            time = None
            if row["time"] is not None:
                moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=row["time"])
                time = moment.isoformat(timespec="milliseconds") + "Z"
            print(json.dumps({"type": "finding", "policy": row["policy"], "id": row["id"], "time": time}), flush=True)
    print(json.dumps({"type": "summary", "scan": "trades", "statements": len(statements), "findings": found}))
    spark.stop()
    return 3 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
