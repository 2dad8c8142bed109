"""The judge of an evaluation: named as for `tutelage interact`, opened once, its verdicts beside a model's results."""

from pathlib import Path

from tutelage.judges import open_judge
from tutelage.judges.common.base import Judge
from tutelage.judges.common.store import StoredJudge
from tutelage.settings.interact import Reader

STORE = "verdicts.sqlite"


class Beside(StoredJudge):
    """A judge whose verdicts lie beside a model's results, with the name by which it was called."""

    def __init__(self, name: str, judge: Judge, store: Path) -> None:
        super().__init__(judge, store=store)
        self.name = name


class Opener:
    """Opens the judge once, however many models it marks: a judge may be a model of eight billion weights."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._judge: Judge | None = None

    def beside(self, home: Path) -> Beside:
        """The judge with its store in a folder of results."""
        store = home / STORE
        judge = self._judge or open_judge(self.reader.name, store=store, **self.reader.settings()).annotator
        self._judge = judge
        return Beside(self.reader.name.rpartition(".")[2], judge, store)
