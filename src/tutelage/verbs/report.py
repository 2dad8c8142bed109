"""`tutelage report`: run directories -> one page, and the same as Markdown."""

from pathlib import Path

from tutelage.files import write_atomically
from tutelage.publish.paired import with_differences
from tutelage.reports.collect import collect
from tutelage.reports.markdown import markdown
from tutelage.reports.page import about_of, figures_of, page, require_extra, sections_of, title_of


def report(runs: list[Path], *, out: Path = Path("report"), title: str = "") -> Path:
    """Write `out`/index.html, report.md and figures/ about `runs`; returns the page's path.

    runs: run folders, folders of evaluated models, or folders that hold such folders (a study's, all of runs/).
    """
    require_extra()
    collection = with_differences(collect([Path(run) for run in runs]))
    sections, title = sections_of(collection), title_of(collection, title)
    out = Path(out)
    for figure in figures_of(sections):
        write_atomically(out / "figures" / f"{figure.name}.svg", figure.file)
    # Half a surrogate pair is a legal JSON string and no legal UTF-8; models can write one.
    write_atomically(out / "report.md", markdown(title, about_of(collection), sections).encode(errors="replace"))
    write_atomically(out / "index.html", page(collection, sections, title).encode(errors="replace"))
    return out / "index.html"
