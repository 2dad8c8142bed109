"""The same sections as Markdown, with the figures as files beside it."""

import re

from tutelage.printable import printable
from tutelage.reports.blocks import Block, Cell, Code, Figure, Folded, Items, Mark, Prose, Section, Table, Text, Texts


def markdown(title: str, about: str, sections: list[Section]) -> str:
    """The whole report; figures are named figures/<name>.svg."""
    parts = [f"# {escaped(title)}"]
    parts += [escaped(about)] if about else []
    for section in sections:
        parts.append(f"## {section.title}")
        parts += [section.lead] if section.lead else []
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text on one line that neither Markdown nor the HTML inside it interprets."""
    text = re.sub(r"\s+", " ", printable(text))
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        return f"![{escaped(block.alt)}](figures/{block.name}.svg)\n\n{escaped(block.caption)}"
    if isinstance(block, Texts):
        return "\n\n".join([f"**{escaped(block.title)}**", *(_text(item) for item in block.shown)])
    if isinstance(block, Prose):
        return "\n\n".join(escaped(paragraph) for paragraph in block.paragraphs)
    if isinstance(block, Items):
        return "\n".join(f"- **{escaped(head)}** {escaped(text)}" for head, text in block.items)
    if isinstance(block, Folded):
        return "\n\n".join([f"**{escaped(block.summary)}**", *(_block(b) for b in block.blocks if b.kind == "table")])
    assert isinstance(block, Code), block
    return _code(block)


def _table(table: Table) -> str:
    heads = [table.corner, *(f"{c.label} ({c.hint})" if c.hint else c.label for c in table.columns)]
    lines = ["| " + " | ".join(escaped(head) for head in heads) + " |"]
    lines.append("|" + "|".join(["---", *("--:" if c.number else "---" for c in table.columns)]) + "|")
    lines += ["| " + " | ".join([escaped(row.head), *(_cell(cell) for cell in row.cells)]) + " |" for row in table.rows]
    return "\n".join(lines) + (f"\n\n{escaped(table.caption)}" if table.caption else "")


def _cell(cell: Cell) -> str:
    text = f"**{escaped(cell.text)}**" if cell.best else escaped(cell.text)
    note = f"({escaped(cell.note)})" if cell.note else ""
    return " ".join(part for part in (text + cell.mark, cell.spread, note) if part)


def _text(item: Text) -> str:
    label = f"{item.head}, {item.sub}" if item.sub else item.head
    text = f"{escaped(label)}:\n\n> {escaped(item.prompt + item.text)}"
    return f"{text}\n\n{escaped('; '.join(_mark(mark) for mark in item.marks))}" if item.marks else text


def _mark(mark: Mark) -> str:
    levels = ", ".join(f"{label}: {100 * share:.0f} %" for label, share in mark.levels)
    return f"{mark.label} {mark.text}" + (f" ({levels})" if levels else "")


def _code(block: Code) -> str:
    head = f"{escaped(block.caption)}\n\n" if block.caption else ""
    return head + fenced(block.lines)


def fenced(lines: list[str], language: str = "") -> str:
    """A block of code, between fences that no line of it can close."""
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return "\n".join([fence + language, *lines, fence])
