"""The stages of runs that have several: where each begins, and how many words it showed."""

from tutelage.reports.blocks import Cell, Column, Row, Table
from tutelage.reports.model import Collection, System
from tutelage.reports.tables import missing


def stages_table(collection: Collection) -> Table | None:
    """One row a stage of each system, of its first seed that has them; None where no run has stages."""
    rows = [row for system in collection.systems for row in _rows(system)]
    columns = [Column(label="First step"), Column(label="Steps"), Column(label="Shown", hint="words, repeats counted")]
    caption = "Stages are those of each system's first seed; “Events” names what each of them reads."
    return Table(corner="System, stage", columns=columns, rows=rows, caption=caption) if rows else None


def _rows(system: System) -> list[Row]:
    stages = next((model.run["stages"] for model in system.models if model.run.get("stages")), [])
    return [
        Row(
            head=f"{system.name}, {number}",
            sub=stage.get("name") or "",
            number=system.number,
            cells=[
                Cell(text=f"{stage['begin'] + 1:,}"),
                Cell(text=f"{stage['steps']:,}"),
                missing("unfinished") if stage.get("words") is None else Cell(text=f"{stage['words']:,.0f}"),
            ],
        )
        for number, stage in enumerate(stages, 1)
    ]
