#!/usr/bin/env python3
"""pack.py TRACE OUT.txt.gz "SOURCE LINE": makes a compact copy of a public trace (.csv of Azure, .jsonl of Mooncake):
milliseconds since the request before, input tokens and output tokens, a line a request."""

import csv
import datetime
import gzip
import json
import sys


def azure(path):
    first = None
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.datetime.fromisoformat(row["TIMESTAMP"][:26])
            first = first or at
            yield round((at - first).total_seconds() * 1000), int(row["ContextTokens"]), int(row["GeneratedTokens"])


def mooncake(path):
    with open(path) as file:
        for line in file:
            request = json.loads(line)
            yield request["timestamp"], request["input_length"], request["output_length"]


def main():
    trace, out, source = sys.argv[1:]
    requests = sorted(azure(trace) if trace.endswith(".csv") else mooncake(trace), key=lambda request: request[0])
    before = 0
    with open(out, "wb") as raw, gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as file:
        file.write(f"# {source}\n".encode())
        for at, input_tokens, output_tokens in requests:
            file.write(f"{at - before} {input_tokens} {output_tokens}\n".encode())
            before = at


if __name__ == "__main__":
    main()
