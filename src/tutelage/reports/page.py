"""One self-contained HTML page: no network, no script, light and dark, on a laptop and a phone."""

import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import tutelage
from tutelage.errors import UserError
from tutelage.owned import MARK
from tutelage.printable import printable
from tutelage.reports.blocks import Figure, Section
from tutelage.reports.figures import PALETTE
from tutelage.reports.markdown import markdown
from tutelage.reports.model import Collection
from tutelage.reports.sections import SECTIONS, in_short

_HERE = Path(__file__).parent


def require_extra() -> None:
    """Raise a UserError where the libraries of the extra `report` are not installed."""
    try:
        import jinja2
        import matplotlib
    except ImportError as error:
        raise UserError(
            f"A report needs {error.name}, which is not installed", "", "pip install 'tutelage[report]'"
        ) from error
    del jinja2, matplotlib


def sections_of(collection: Collection) -> list[Section]:
    """Every section that has something to show, made once and written by both the page and the Markdown."""
    return [made for section in SECTIONS if (made := section(collection)).blocks]


def title_of(collection: Collection, title: str = "") -> str:
    """The title asked for, the study's, or one made of the systems' names."""
    studies = [str(study.get("title") or study.get("name") or "") for study in collection.studies]
    names = [system.name for system in collection.systems]
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return printable(title) or " and ".join(text for text in studies if text) or listed


def about_of(collection: Collection) -> str:
    """The descriptions of the studies."""
    return " ".join(str(study["about"]) for study in collection.studies if study.get("about"))


def page(collection: Collection, sections: list[Section], title: str) -> str:
    """The whole page as HTML. Every text from a run is escaped by the template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["drawing"] = lambda svg: Markup(svg)
    environment.filters["groups"] = lambda rows: [(key, list(group)) for key, group in groupby(rows, lambda r: r.group)]
    values: dict[str, Any] = {
        "title": title,
        "about": about_of(collection),
        "facts": in_short(collection),
        "sections": sections,
        "mark": Markup(MARK),
        "css": Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        "palette": PALETTE,
        "version": tutelage.__version__,
        "date": datetime.date.today().strftime("%-d %B %Y"),
    }
    return environment.get_template("page.html.j2").render(values).lstrip()


def files_of(collection: Collection, title: str = "") -> dict[str, str]:
    """Every file of a report by its name, the page last. Each holds the mark of what may be replaced."""
    sections, title = sections_of(collection), title_of(collection, title)
    files = {f"figures/{figure.name}.svg": f"{figure.file.rstrip()}\n{MARK}\n" for figure in figures_of(sections)}
    files["report.md"] = f"{markdown(title, about_of(collection), sections)}\n{MARK}\n"
    return files | {"index.html": page(collection, sections, title)}


def figures_of(sections: list[Section]) -> list[Figure]:
    """The figures of all sections."""
    return [block for section in sections for block in section.blocks if isinstance(block, Figure)]
