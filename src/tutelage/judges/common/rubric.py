"""Rubrics of judges and instructions of tutors: TOML files with criteria, levels, wording and worked examples."""

from pathlib import Path
from string import ascii_uppercase
from typing import Literal

from pydantic import Field, model_validator

from tutelage.errors import UserError
from tutelage.recipe import Section, did_you_mean, read_toml, validated

SHIPPED = Path(__file__).parents[1] / "rubrics"
Labels = Literal["numbers", "letters"]


class Criterion(Section):
    """One question, and the meaning of each score."""

    name: str = Field(pattern=r"^[a-z_]+$")
    """In lower case; logs and reports show it."""
    question: str
    """What the judge is asked."""
    levels: tuple[str, ...] = Field(min_length=2, max_length=26)
    """The meaning of each score, the lowest first: 0, 1, ..."""
    weight: float = Field(default=1.0, ge=0)
    """Its weight in the score; 0: it is asked for and reported only."""


class Example(Section):
    """A text with its correct scores, shown to the judge before the student's text."""

    prompt: str = ""
    """The opening that the text continues."""
    text: str
    """The text."""
    scores: tuple[int, ...] = Field(alias="marks", min_length=1)
    """Its score under each criterion, in the order of the criteria. In the file the key is `marks`."""


class Rubric(Section):
    """A file that asks for scores. {prompt}, {text} and {code} in its templates are filled in from the rollout."""

    about: str
    """A one-sentence summary."""
    instructions: str
    """The text before the criteria."""
    material: str
    """A template that holds the student's text."""
    question: str = "Criterion: {name}. {question}\nAnswer with {labels} and nothing else."
    """A template: the question about one criterion, at the end."""
    questions: str = "Criteria, in this order: {names}.\nAnswer with {count}, a space between two, and nothing else."
    """A template: the question to a judge that writes all scores at once."""
    answer: str = "Score:"
    """The beginning of the judge's reply; the label follows it."""
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    """The criteria."""
    examples: tuple[Example, ...] = ()
    """Worked examples: small models need them to answer with a label at all. `judge.examples=false` leaves them out."""

    @model_validator(mode="after")
    def _sensible(self) -> "Rubric":
        names = [criterion.name for criterion in self.criteria]
        if len(set(names)) < len(names):
            raise ValueError(f"two criteria have the same name: {', '.join(names)}")
        if not sum(criterion.weight for criterion in self.criteria):
            raise ValueError("every criterion has weight 0")
        for example in self.examples:
            if len(example.scores) != len(self.criteria):
                raise ValueError(
                    f"an example has {len(example.scores)} scores (`marks`) for {len(self.criteria)} criteria"
                )
            for level, criterion in zip(example.scores, self.criteria):
                if not 0 <= level < len(criterion.levels):
                    raise ValueError(f"an example's score {level} (`marks`) is not a level of {criterion.name}")
        if "{text}" not in self.material or "{code}" not in self.material:
            raise ValueError("material needs {text}, and {code} around it, which the student cannot guess")
        return self


class Turn(Section):
    """A turn of a tutor's conversation, with {prompt}, {text} and {code} filled in from the rollout."""

    role: Literal["system", "user", "assistant"] = "user"
    """The speaker. If the last turn is the assistant's, the reply continues it."""
    text: str
    """The text of the turn."""


class Instructions(Section):
    """A file that asks for a corrected continuation."""

    about: str
    """A one-sentence summary."""
    turns: tuple[Turn, ...] = Field(min_length=1)
    """The conversation. Consecutive turns of one role are merged, because some chat templates require it."""


def load(name: str, *, examples: bool = True) -> Rubric | Instructions:
    """A shipped file by name, or another by path: a rubric with [[criteria]], or instructions with [[turns]]."""
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    if not path.is_file():
        known = sorted(file.stem for file in SHIPPED.glob("*.toml"))
        raise UserError(
            f"There is no rubric {name!r}{did_you_mean(name, known)}", f"One of {', '.join(known)}, or a .toml file", ""
        )
    raw = read_toml(path)
    loaded = validated(Instructions if "turns" in raw else Rubric, raw, f"rubric {path.stem}")
    return loaded.model_copy(update={"examples": ()}) if isinstance(loaded, Rubric) and not examples else loaded


def labels_of(criterion: Criterion, labels: Labels) -> list[str]:
    """The labels of a criterion, the lowest first."""
    count = len(criterion.levels)
    return list(ascii_uppercase[:count]) if labels == "letters" else [str(level) for level in range(count)]
