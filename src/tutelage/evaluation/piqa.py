"""GlobalPIQA: how is something done? Solutions to a prompt are compared by mean log-probability per token."""

from collections.abc import Iterator

from tutelage.errors import UserError
from tutelage.evaluation.choice import Candidate, Item
from tutelage.evaluation.jsonl import rows_of
from tutelage.evaluation.official_choice import OfficialChoice

EXPECTED = "An example of GlobalPIQA: prompt, solution0, solution1, ..., label, example_id"


class GlobalPiqa(OfficialChoice):
    """The label says which solution is correct. In the predictions each example is a list of its own."""

    mean = True

    def items(self) -> Iterator[Item]:
        """Examples in the order of the file."""
        for file in self.files:
            for row in rows_of(file, ("prompt", "solution0", "solution1"), EXPECTED):
                solutions = [" " + row[f"solution{k}"] for k in range(9) if row.get(f"solution{k}")]
                label = row.get("label")
                if not str(label).isdecimal() or int(str(label)) >= len(solutions) or "example_id" not in row:
                    raise UserError(f"{file} has an example with the label {label!r}", EXPECTED, "")
                yield Item(
                    id=f"{row['example_id']}_0",
                    uid=str(row["example_id"]),
                    part=self.task,
                    label=int(str(label)),
                    candidates=tuple(Candidate(text=row["prompt"] + s, completion=s) for s in solutions),
                )
