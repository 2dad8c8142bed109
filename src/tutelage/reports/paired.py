"""Two systems on the same items: their difference, and whether it exceeds chance."""

from collections.abc import Callable

from tutelage.reports.blocks import Cell, Column, Row, Table
from tutelage.reports.model import Collection


def paired_table(collection: Collection, wanted: Callable[[str], bool], label: Callable[[str], str]) -> Table | None:
    """The differences on the wanted tasks, a row each; None where there are none."""
    differences = [d for d in collection.differences if wanted(d.task)]
    numbers = {system.name: system.number for system in collection.systems}
    rows = [
        Row(
            head=f"{d.second} − {d.first}",
            number=numbers[d.second],
            cells=[
                Cell(text=f"{label(d.task)}, {d.data}"),
                Cell(text=f"{100 * d.value:+.2f}"),
                Cell(text=f"{100 * d.low:+.2f} to {100 * d.high:+.2f}"),
                Cell(text="< 0.001" if d.p < 0.001 else f"{d.p:.3f}"),
                Cell(text=f"{d.n:,}"),
                Cell(text=str(d.seeds)),
            ],
        )
        for d in sorted(differences, key=lambda d: (d.data, d.task))
    ]
    columns = [
        Column(label="Task", number=False),
        Column(label="Difference", hint="points"),
        Column(label="95 % interval", hint="over items"),
        Column(label="p"),
        Column(label="Items"),
        Column(label="Seeds"),
    ]
    caption = (
        "On the same items, ties shared, by 10,000 bootstrap draws of items within each list. With several seeds, the "
        "mean over seeds counts for each item: the interval is about other items, not about other seeds."
    )
    return Table(corner="Systems", columns=columns, rows=rows, caption=caption) if rows else None
