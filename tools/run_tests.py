#!/usr/bin/env python3
"""Runs every test of this tree and ends with the line `N passed, N failed`. Exits 1 when something failed.

A suite is a check of the source tree, a test program in BUILD/tests, or a folder of Python tests. Each prints one line
when it is over; what a failed one printed follows it.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUITE_SECONDS_MAX = 1200
OUTPUT_LINES_SHOWN = 120


class Outcome:
    def __init__(self, passed, failed, skipped=0, output=""):
        self.passed, self.failed, self.skipped, self.output = passed, failed, skipped, output


def run(command, **options):
    """Returns the exit code and all output. A suite that hangs is ended with everything it started."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", start_new_session=True, **options)
    try:
        output, _ = process.communicate(timeout=SUITE_SECONDS_MAX)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return -signal.SIGKILL, output + f"\nended after {SUITE_SECONDS_MAX} s"


def run_check(command):
    code, output = run(command)
    return Outcome(int(code == 0), int(code != 0), output=output)


def run_program(program):
    """A GoogleTest program. One that crashes counts as failed, on top of the failures it had reported by then."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        code, output = run([str(program), f"--gtest_output=json:{report}"])
        if report.exists() and code in (0, 1):
            result = json.loads(report.read_text())
            skipped = sum(test.get("result") == "SKIPPED" for suite in result["testsuites"] for test in suite["testsuite"])
            failed = result["failures"] + result.get("errors", 0)
            if code == 1 and failed == 0:  # a sanitizer that spoke at exit, for example
                failed = 1
            passed = result["tests"] - result["failures"] - result.get("disabled", 0) - skipped
            return Outcome(passed, failed, skipped, output)
    passed = len(re.findall(r"^\[       OK \]", output, re.MULTILINE))
    failed = len(re.findall(r"^\[  FAILED  \] .*\(\d+ ms\)", output, re.MULTILINE))
    return Outcome(passed, failed + 1, output=output + f"\nended with code {code}")


def run_pytest(python, folder, environment):
    with tempfile.TemporaryDirectory() as work:
        report = pathlib.Path(work) / "report.xml"
        code, output = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", str(folder)],
                           env=environment)
        if not report.exists():
            return Outcome(0, 1, output=output)
        passed = failed = skipped = 0
        for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
            count = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
            failed += count["failures"] + count["errors"]
            skipped += count["skipped"]
            passed += count["tests"] - count["failures"] - count["errors"] - count["skipped"]
        if code not in (0, 1) and failed == 0 and not (code == 5 and passed == 0):
            failed = 1
        return Outcome(passed, failed, skipped, output)


def suites(arguments):
    """Yields (name, function that runs it)."""
    if not arguments.programs_only:
        yield "layers", lambda: run_check([sys.executable, "tools/check_layers.py"])
        yield "tidy rules", lambda: run_check([sys.executable, "tools/tidy.py", "--self-test"])
        yield "tidy", lambda: run_check([sys.executable, "tools/tidy.py"])
    for program in sorted((arguments.build / "tests").glob("*")):
        if program.is_file() and os.access(program, os.X_OK):
            yield program.name, lambda program=program: run_program(program)
    if not arguments.programs_only:
        environment = dict(os.environ, STAITHE_BINARY=str(arguments.build / "staithe"))
        for folder in ("tests/clients", "tests/e2e"):
            for file in sorted((ROOT / folder).glob("test_*.py")):
                name = f"{folder}/{file.name}"
                yield name, lambda file=file: run_pytest(arguments.python, file.relative_to(ROOT), environment)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the packages of tools/requirements.txt")
    parser.add_argument("--programs-only", action="store_true", help="only the test programs in BUILD/tests")
    parser.add_argument("names", nargs="*", help="run only suites whose name contains one of these")
    arguments = parser.parse_args()
    arguments.build = arguments.build.resolve()

    passed = failed = 0
    for name, run_suite in suites(arguments):
        if arguments.names and not any(part in name for part in arguments.names):
            continue
        start = time.monotonic()
        outcome = run_suite()
        passed += outcome.passed
        failed += outcome.failed
        skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
        mark = "ok  " if outcome.failed == 0 else "FAIL"
        print(f"{mark} {name}: {outcome.passed} passed, {outcome.failed} failed{skipped} "
              f"({time.monotonic() - start:.1f} s)", flush=True)
        if outcome.failed:
            lines = outcome.output.splitlines()
            if len(lines) > OUTPUT_LINES_SHOWN:
                lines = [f"... {len(lines) - OUTPUT_LINES_SHOWN} lines before these ..."] + lines[-OUTPUT_LINES_SHOWN:]
            print("\n".join("     " + line for line in lines), flush=True)

    if passed + failed == 0:
        print("no suite ran")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
