"""The pinned versions have hashes, and a file with another hash is found."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from scripts import script

ROOT = Path(__file__).parents[1]
GOOD, BAD = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """dev/check_hashes.py, which is no part of the package."""
    return script("dev/check_hashes.py")


def installed(name: str, version: str, sha256: str) -> dict[str, object]:
    info = {"url": "https://x/y.whl", "archive_info": {"hashes": {"sha256": sha256}}}
    return {"metadata": {"name": name, "version": version}, "download_info": info}


def test_every_pinned_version_has_hashes(check: ModuleType) -> None:
    """constraints.txt was changed and hashes.txt was not made again, where this fails."""
    known = check.listed((ROOT / "hashes.txt").read_text(encoding="utf-8"))
    pins = re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert len(pins) > 100
    assert [f"{name}=={version}" for name, version in pins if not known.get(f"{check._plain(name)}=={version}")] == []


def test_an_exchanged_file_is_found_and_what_is_not_listed_is_named(check: ModuleType) -> None:
    known = check.listed(
        f"a-b==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{GOOD}\nc==2 \\\n --hash=sha256:{BAD}"
    )
    checkout = {
        "metadata": {"name": "tutelage", "version": "0.1"},
        "download_info": {"dir_info": {}, "url": "file:///"},
    }
    rows = [checkout, installed("A_b", "1.0", GOOD), installed("c", "2", GOOD), installed("torch", "2.13.0+cpu", GOOD)]
    wrong, unknown = check.compared({"install": rows}, known)
    assert [text.partition(" ")[0] for text in wrong] == ["c==2"] and GOOD in wrong[0]
    assert unknown == ["torch==2.13.0+cpu"]
