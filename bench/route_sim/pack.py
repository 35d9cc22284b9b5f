#!/usr/bin/env python3
"""pack.py TRACE.jsonl OUT.txt.gz "SOURCE LINE": makes a compact copy of a Mooncake trace with its prefixes: milliseconds since the
request before, input tokens, output tokens, how many blocks of 512 tokens an earlier prompt had in common, and the last of them; a
line a request. It relies on ids that are handed out in order and each always behind the same one, and checks that they are."""

import gzip
import json
import sys


def lines(path):
    before = {}
    next_id = 0
    last_ms = 0
    with open(path) as file:
        for line in file:
            request = json.loads(line)
            ids = request["hash_ids"]
            shared = 0
            for place, block in enumerate(ids):
                behind = ids[place - 1] if place > 0 else None
                if block in before:
                    if before[block] != behind or shared != place:
                        sys.exit(f"block {block} is not always behind the same one")
                    shared += 1
                else:
                    if block != next_id:
                        sys.exit(f"block {block} is out of order")
                    before[block] = behind
                    next_id += 1
            if request["timestamp"] < last_ms:
                sys.exit("requests are out of order")
            fields = [request["timestamp"] - last_ms, request["input_length"], request["output_length"], shared]
            if shared > 0:
                fields.append(ids[shared - 1])
            yield " ".join(map(str, fields))
            last_ms = request["timestamp"]


def main():
    trace, out, source = sys.argv[1:]
    with open(out, "wb") as raw, gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as file:
        file.write(f"# {source}\n".encode())
        for line in lines(trace):
            file.write(f"{line}\n".encode())


if __name__ == "__main__":
    main()
