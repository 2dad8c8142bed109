"""The blocks of the report's sections. The page and the Markdown each write every kind."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value of a table. spread: the second, lighter part; note: why it is missing, or a remark."""

    text: str
    spread: str = ""
    best: bool = False
    missing: bool = False
    note: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's heading. hint: the unit, or which way is better."""

    label: str
    hint: str = ""
    number: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row. number: the system it is about, for its colour; group: the heading it stands under."""

    head: str
    cells: list[Cell]
    number: int | None = None
    sub: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns, rows, and a caption that explains them."""

    columns: list[Column]
    rows: list[Row]
    caption: str = ""
    corner: str = ""
    kind: str = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing in two widths (SVG with the page's colours) and as a file with fixed colours."""

    name: str
    alt: str
    wide: str
    narrow: str
    file: str
    caption: str = ""
    legend: list[tuple[str, int, str]] = field(default_factory=list)
    kind: str = "figure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A judge's score of a text under one criterion. levels: its probability of each label, where it gave some."""

    label: str
    text: str
    levels: list[tuple[str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text of a model, with a judge's scores."""

    head: str
    prompt: str
    text: str
    number: int | None = None
    sub: str = ""
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Texts side by side; the others are folded."""

    title: str
    shown: list[Text]
    folded: list[Text] = field(default_factory=list)
    kind: str = "texts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """Paragraphs."""

    paragraphs: list[str]
    kind: str = "prose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list; each item has a head and a text."""

    items: list[tuple[str, str]]
    caption: str = ""
    kind: str = "items"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Commands to copy."""

    lines: list[str]
    caption: str = ""
    kind: str = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Details that are folded on the page; the Markdown has only their tables."""

    summary: str
    blocks: "list[Block]"
    kind: str = "folded"


Block = Table | Figure | Texts | Prose | Items | Code | Folded


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page. lead: what it shows, in a sentence or two."""

    id: str
    title: str
    blocks: list[Block]
    lead: str = ""
