"""What the official choice tasks have in common: files, each year's rule for ties, official sizes."""

from collections import Counter
from collections.abc import Sequence

from tutelage.challenge.tasks import TASKS
from tutelage.errors import UserError
from tutelage.evaluation import official as _official
from tutelage.evaluation.choice import ChoiceTask, Item, Ties
from tutelage.evaluation.request import Request
from tutelage.files import fingerprint, hash_file

BREAKS: dict[str, Ties] = {"2025": "first", "2026": "random"}


class OfficialChoice(ChoiceTask):
    """A choice task of the challenge with files in the official layout. task: its name in the challenge's table."""

    task: str

    def __init__(self, request: Request) -> None:
        folder = _official.folder(request, self.task)
        self.profile, self.fast = request.profile, request.fast
        self.files = sorted(folder.glob("*.jsonl"))
        if not any(file.stat().st_size for file in self.files):
            raise UserError(f"{folder} contains no .jsonl file with rows", f"The official files of {self.task}", "")
        self.name, self.source = _official.set_name(request), str(folder)
        self.ties = BREAKS[request.profile]
        self.settings = {
            "profile": request.profile,
            "data": fingerprint([[file.stem, hash_file(file)] for file in self.files]),
            "ties": self.ties,
        }

    def remarks(self, items: Sequence[Item]) -> list[str]:
        """A warning if lists do not have the official sizes: the figure is then not the official one."""
        found = Counter(item.uid.lower() for item in items)
        row = TASKS[self.task]
        expected = row.sizes(self.profile, fast=self.fast)
        if not expected:  # lists of one item each; their names are not fixed
            expected, found = {self.task: row.examples or 0}, Counter({self.task: len(items)})
        wrong = [uid for uid in {**expected, **found} if expected.get(uid, 0) != found[uid]]
        if not wrong:
            return []
        shown = ", ".join(f"{uid} {found[uid]:,} (officially {expected.get(uid, 0):,})" for uid in wrong[:4])
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        return [f"The lists do not have the official sizes: {shown}{more}"]


class Numbered:
    """Names items <uid>_<number>, counted from 0 in every list."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, uid: str) -> str:
        self._seen[uid] += 1
        return f"{uid}_{self._seen[uid] - 1}"
