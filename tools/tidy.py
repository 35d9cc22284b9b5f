#!/usr/bin/env python3
"""The house rules that no compiler knows: banned calls, long files, stray marks. `--self-test` tests the rules."""

import pathlib
import re
import subprocess
import sys

LINES_MAX = 800
LONG_FILES = {}  # path: why it may be longer

# (what, pattern, where it is allowed, what to do instead)
BANS = [
    ("wall clock", re.compile(r"\b(system_clock|steady_clock|high_resolution_clock)::now\b"), r"src/base/clock\.cc",
     "take a Clock&"),
    ("random_device", re.compile(r"\brandom_device\b"), r"src/base/random\.cc", "take a Random&"),
    ("sleep", re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\b|[^\w.]sleep\s*\("), None,
     "wait for a timer or a condition"),
    ("getenv", re.compile(r"\b(secure_)?getenv\b"), r"src/app/.*", "let app/ pass the value in"),
    ("std::thread", re.compile(r"\bstd::(jthread|thread)\b(?!::(id|hardware_concurrency))"), r"src/base/thread\.(h|cc)", "use base/thread.h"),
    ("detach", re.compile(r"\.detach\(\)"), None, "every thread has an owner that joins it"),
    ("new", re.compile(r"(?<![\w])new\s+(\([^)]*\)\s*)?[A-Za-z_:][\w:<>, ]*\s*[({\[;]"),
     # Private constructors and a library's factory, where the pointer is owned within the same statement.
     r"src/app/(otlp_exporter|wandb_client)\.cc|src/runtime/local/local_driver\.cc|src/store/sqlite/(connection|readers|writer)\.cc|tests/golden/golden_test\.cc",
     "use std::make_unique"),
    ("delete", re.compile(r"(?<![\w=])delete(\[\])?\s+[A-Za-z_*(]"), None, "let a unique_ptr own it"),
    ("capture of everything", re.compile(r"\[[&=]\]\s*(\([^)]*\)\s*)?\{[^}]*\b(post|run_after|submit)\b"), None,
     "list every capture"),
    ("using namespace at file scope", re.compile(r"^using namespace (?!std::\w*literals)"), r".*_test\.cc|bench/.*",
     "name what you use"),
]
MARKS = re.compile(r"\b(FIXME|TODO|XXX|HACK)\b")

COMMENT_OR_STRING = re.compile(
    r'R"(?P<tag>[^()\\ ]*)\(.*?\)(?P=tag)"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)


def without_comments_and_strings(text):
    """Blanks them out, keeping every line where it was."""
    return COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_text(path, text):
    problems = []
    lines = text.splitlines()
    if len(lines) > LINES_MAX and path not in LONG_FILES:
        problems.append(f"{path}: {len(lines)} lines; find the second idea in it, or give a reason in tools/tidy.py")
    for number, line in enumerate(lines, 1):
        if MARKS.search(line) and not path.startswith("tools/tidy"):
            problems.append(f"{path}:{number}: a stray mark; finish it or file it")
        if line != line.rstrip():
            problems.append(f"{path}:{number}: blanks at the end of the line")
    if path.endswith((".cc", ".h")):
        for number, line in enumerate(without_comments_and_strings(text).splitlines(), 1):
            for what, pattern, allowed, instead in BANS:
                if allowed and re.fullmatch(allowed, path):
                    continue
                if pattern.search(line):
                    problems.append(f"{path}:{number}: {what}: {instead}")
        if path.endswith(".h") and "#pragma once" not in text:
            problems.append(f"{path}: a header without #pragma once")
    return problems


def self_test():
    def found(text, path="src/x/y.cc"):
        return len(check_text(path, text))

    expectations = [
        (1, "auto t = std::chrono::steady_clock::now();"),
        (0, "// steady_clock::now is banned\n"),
        (0, 'auto s = "getenv";'),
        (0, 'auto s = R"(new Thing();\n getenv)";'),
        (1, 'auto s = std::getenv("HOME");'),
        (1, "std::random_device device;"),
        (1, "std::this_thread::sleep_for(1s);"),
        (1, "  sleep(1);"),
        (1, "std::thread worker(run);"),
        (0, "std::thread::id owner_;"),
        (1, "auto* p = new Thing();"),
        (1, "auto* p = new char[4];"),
        (0, "int renew (int);"),
        (1, "delete p;"),
        (1, "delete[] p;"),
        (0, "Thing(const Thing&) = delete;"),
        (1, "// TODO: later"),
        (1, "int a; "),
        (1, "int a;\n" * (LINES_MAX + 1)),
        (1, "using namespace foo;"),
        (0, "using namespace std::chrono_literals;"),
    ]
    failures = [text for count, text in expectations if found(text) != count]
    if found("std::steady_clock::now()", "src/base/clock.cc") != 0:
        failures.append("base/clock.cc may read the clock")
    if found("int a;\n", "src/x/y.h") != 1:
        failures.append("a header needs #pragma once")
    for text in failures:
        print(f"tidy does not judge this rightly: {text[:80]!r}")
    print(f"tidy: {len(expectations) + 2 - len(failures)} of {len(expectations) + 2} examples judged rightly")
    return 1 if failures else 0


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, check=True,
                            capture_output=True, text=True).stdout.splitlines()
    problems = []
    for path in sorted(set(listed)):
        is_ours = path.endswith((".cc", ".h", ".proto", ".py", ".sh", ".ts", ".mjs", ".txt", ".cmake")) or path == "dev"
        if is_ours and (root / path).is_file():
            problems += check_text(path, (root / path).read_text())
    print("\n".join(problems) if problems else "tidy: the house rules hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
