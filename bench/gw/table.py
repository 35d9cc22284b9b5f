#!/usr/bin/env python3
"""The table of docs/benchmarks.md from a result of bench/gw/run.py: bench/gw/table.py docs/benchmarks/gw.json"""

import json
import pathlib
import sys


def rows(figures):
    """Title, and how to write one peer's figure."""
    yield "CPU per chunk, 400 streams", lambda f: f"{f['streams_400']['chunk_us']:.1f} us"
    yield "CPU per chunk, 1,000 streams", lambda f: f"{f['streams_1000']['chunk_us']:.1f} us"
    yield "a chunk's way, 400 streams, p50 / p99", lambda f: f"{f['streams_400']['delay_p50_us']:,.0f} / {f['streams_400']['delay_p99_us']:,.0f} us"
    yield "CPU per request of 1.5 KB", lambda f: f"{f['requests']['request_us']:.1f} us"
    yield "requests per second of CPU", lambda f: f"{f['requests']['per_cpu_second']:,.0f}"
    yield "requests per second", lambda f: f"{f['requests']['per_second']:,.0f}"
    yield "added to the first byte, p50 / p99", lambda f: f"{f['half_load']['added_p50_us']:,.0f} / {f['half_load']['added_p99_us']:,.0f} us"
    yield "… at so many per second", lambda f: f"{f['half_load']['rate']:,.0f}"
    yield "CPU per prompt of 220 KB", lambda f: f"{f['prompts_220k']['request_us']:,.0f} us"
    yield "memory per open stream", lambda f: f"{f['open_stream_bytes'] / 1024:.1f} KiB"
    yield "failed requests", lambda f: f"{f['failed']}"
    yield "idle, private / resident", lambda f: f"{f['idle_private_kib'] / 1024:.1f} / {f['idle_resident_kib'] / 1024:.0f} MiB"


def markdown(result):
    figures = result["peers"]
    lines = ["| | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for title, text in rows(figures):
        cells = []
        for figure in figures.values():
            try:
                cells.append(text(figure))
            except KeyError:
                cells.append("not measured")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(json.loads(pathlib.Path(sys.argv[1]).read_text())))
