"""`tutelage report`: run directories -> one page, and the same as Markdown."""

from pathlib import Path

from tutelage.files import write_atomically
from tutelage.owned import marked, require_own
from tutelage.publish.paired import with_differences
from tutelage.reports.collect import collect
from tutelage.reports.page import files_of, require_extra


def report(runs: list[Path], *, out: Path = Path("report"), title: str = "") -> Path:
    """Write `out`/index.html, report.md and figures/ about `runs`; returns the page's path.

    runs: run folders, folders of evaluated models, or folders that hold such folders (a study's, all of runs/).
    """
    require_extra()
    files = files_of(with_differences(collect([Path(run) for run in runs])), title)
    out = Path(out)
    for name in files:
        require_own(out / name, marked, "choose another --out")
    for name, content in files.items():
        # Half a surrogate pair is a legal JSON string and no legal UTF-8; models can write one.
        write_atomically(out / name, content.encode(errors="replace"))
    return out / "index.html"
