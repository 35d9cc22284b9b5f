#!/usr/bin/env python3
"""Holds every #include between the folders of src/ against src/LAYERS.

Fails on an include without an arrow, on an arrow that points up the file, and on an arrow nobody uses. A folder without
sources yet may keep arrows for later.
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z0-9_]+)/', re.MULTILINE)


def read_layers(text):
    """Returns the allowed folders of each folder, lowest folder first, and what is wrong with the file itself."""
    layers, problems = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        folder, colon, arrows = (part.strip() for part in line.partition(":"))
        if not colon or folder in layers:
            problems.append(f"LAYERS:{number}: expected one 'folder: arrows' line per folder, got '{line}'")
            continue
        targets = list(layers) if arrows == "*" else arrows.split()
        for target in targets:
            if target not in layers:
                problems.append(f"LAYERS:{number}: the arrow {folder} -> {target} does not point down")
        layers[folder] = (set(targets), arrows == "*")
    return layers, problems


def check(layers, sources):
    """`sources` yields (folder, name, text)."""
    problems, used, folders = [], set(), set()
    for folder, name, text in sources:
        folders.add(folder)
        if folder not in layers:
            problems.append(f"{name}: the folder {folder} has no line in LAYERS")
            continue
        for target in INCLUDE.findall(text):
            if target == folder or target not in layers:
                continue
            used.add((folder, target))
            if target not in layers[folder][0]:
                problems.append(f"{name}: includes {target}/, and LAYERS has no arrow {folder} -> {target}")
    for folder, (targets, is_open) in layers.items():
        if is_open or folder not in folders:
            continue
        for target in sorted(targets):
            if (folder, target) not in used:
                problems.append(f"LAYERS: nobody uses the arrow {folder} -> {target}")
    return problems


def main():
    source_root = pathlib.Path(__file__).resolve().parent.parent / "src"
    layers, problems = read_layers((source_root / "LAYERS").read_text())

    def sources():
        for path in sorted(source_root.rglob("*")):
            parts = path.relative_to(source_root).parts
            if path.suffix in (".cc", ".h") and len(parts) > 1:
                yield parts[0], str(path.relative_to(source_root.parent)), path.read_text()

    problems += check(layers, sources())
    print("\n".join(problems) if problems else "layers: every include has its arrow")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
