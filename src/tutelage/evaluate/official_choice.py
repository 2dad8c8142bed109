"""What the official tasks of choices share: their files, how their years break ties, and how many items they have."""

from collections import Counter
from collections.abc import Sequence

from tutelage.challenge.sizes import PIQA, sizes
from tutelage.errors import UserError
from tutelage.evaluate import official as _official
from tutelage.evaluate.base import Asked
from tutelage.evaluate.choice import ChoiceTask, Item, Ties
from tutelage.files import fingerprint, hash_file

BREAKS: dict[str, Ties] = {"2025": "first", "2026": "random"}


class OfficialChoice(ChoiceTask):
    """A task of the challenge, whose files lie in the official layout. `task` is its name there and here."""

    task: str

    def __init__(self, asked: Asked) -> None:
        folder = _official.folder(asked, self.task)
        self.profile, self.fast = asked.profile, asked.fast
        self.files = sorted(folder.glob("*.jsonl"))
        if not any(file.stat().st_size for file in self.files):
            raise UserError(f"{folder} holds no .jsonl file with rows", f"The official files of {self.task}", "")
        self.name, self.source = _official.label(asked), str(folder)
        self.ties = BREAKS[asked.profile]
        self.settings = {
            "profile": asked.profile,
            "data": fingerprint([[file.stem, hash_file(file)] for file in self.files]),
            "ties": self.ties,
        }

    def remarks(self, items: Sequence[Item]) -> list[str]:
        """Lists that do not have the official size: their figure is then not the official one."""
        found = Counter(item.uid.lower() for item in items)
        if self.task in PIQA:
            expected, found = {self.task: PIQA[self.task]}, Counter({self.task: len(items)})
        else:
            expected = sizes(self.task, self.profile, fast=self.fast)
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
