"""Whether what pip has just installed are the files that hashes.txt lists.

    python dev/check_hashes.py REPORT

REPORT is what `pip install --report REPORT` wrote. A wheel runs nothing when it is installed, so a file that was
exchanged on its way is found before it is imported. pip's own --require-hashes refuses an editable install, and torch
for the CPU, which comes from an index of its own. What is not listed is named and passes: another version, a build with
a local label (2.13.0+cpu), a package that no pin names.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

LISTED = Path(__file__).parents[1] / "hashes.txt"
PACKAGE = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)")
SHA256 = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def listed(text: str) -> dict[str, set[str]]:
    """`name==version` -> the sha256 of its files, of a requirements file of pip."""
    found: dict[str, set[str]] = {}
    files: set[str] = set()
    for line in text.splitlines():
        if match := PACKAGE.match(line):
            files = found.setdefault(f"{_plain(match[1])}=={match[2]}", set())
        files.update(SHA256.findall(line))
    return found


def compared(report: dict[str, Any], known: dict[str, set[str]]) -> tuple[list[str], list[str]]:
    """The packages with other content than is listed, and those that are not listed."""
    wrong, unknown = [], []
    for item in report["install"]:
        if "dir_info" in item["download_info"]:
            continue  # this checkout
        package = f"{_plain(item['metadata']['name'])}=={item['metadata']['version']}"
        sha256 = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if package not in known or sha256 is None:  # none: pip built it once and kept what it built
            unknown.append(package)
        elif sha256 not in known[package]:
            wrong.append(f"{package} ({sha256}) from {item['download_info']['url']}")
    return wrong, unknown


def _plain(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Exit code 1 where a file is not the listed one."""
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wrong, unknown = compared(report, listed(LISTED.read_text(encoding="utf-8")))
    if unknown:
        print(f"Not in hashes.txt, so not compared: {', '.join(unknown)}")
    if wrong:
        sys.exit("Other files than hashes.txt lists were installed; do not use them:\n  " + "\n  ".join(wrong))


if __name__ == "__main__":
    main()
