"""The files that say what a judge or a tutor is asked: criteria, levels, wording, worked examples."""

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
    """What the judge is to look at."""
    levels: tuple[str, ...] = Field(min_length=2, max_length=26)
    """The meaning of each score, the lowest first: 0, 1, ..."""
    weight: float = Field(default=1.0, ge=0)
    """Its share in the score; 0 asks and shows it only."""


class Example(Section):
    """A text and its right scores, shown to the judge before the student's."""

    prompt: str = ""
    """The opening that the text continues."""
    text: str
    """The text."""
    scores: tuple[int, ...] = Field(alias="marks", min_length=1)
    """Its score under each criterion, in the order of the criteria. In the file the key is `marks`."""


class Rubric(Section):
    """A file that asks for scores. Of the templates, {prompt}, {text} and {code} are filled in with the rollout."""

    about: str
    """What it asks for, in a sentence."""
    instructions: str
    """What is said before the criteria."""
    material: str
    """A template: where the student's text stands."""
    question: str = "Criterion: {name}. {question}\nAnswer with {labels} and nothing else."
    """A template: what is asked for one criterion, at the end."""
    questions: str = "Criteria, in this order: {names}.\nAnswer with {count}, a space between two, and nothing else."
    """A template: what is asked of a judge that writes all of its scores at once."""
    answer: str = "Score:"
    """What the judge's reply begins with; the label follows."""
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    """The criteria."""
    examples: tuple[Example, ...] = ()
    """Worked examples: small models need them to answer with a label at all. `judge.examples=false` leaves them out."""

    @model_validator(mode="after")
    def _sensible(self) -> "Rubric":
        names = [one.name for one in self.criteria]
        if len(set(names)) < len(names):
            raise ValueError(f"two criteria have one name: {', '.join(names)}")
        if not sum(one.weight for one in self.criteria):
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
            raise ValueError("material has no {text}, or no {code} around it that the student cannot know")
        return self


class Turn(Section):
    """A turn of a tutor's conversation, with {prompt}, {text} and {code} to be filled in."""

    role: Literal["system", "user", "assistant"] = "user"
    """Who speaks; an assistant's turn at the end is what the reply begins with."""
    text: str
    """What is said."""


class Instructions(Section):
    """A file that asks for a corrected continuation."""

    about: str
    """What it asks for, in a sentence."""
    turns: tuple[Turn, ...] = Field(min_length=1)
    """The conversation. Turns of one role in a row become one: some chat templates take nothing else."""


def load(name: str, *, examples: bool = True) -> Rubric | Instructions:
    """A shipped file by its name, or another by its path: one with [[criteria]] or one with [[turns]]."""
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
    """The answers that a judge may give, the lowest first."""
    count = len(criterion.levels)
    return list(ascii_uppercase[:count]) if labels == "letters" else [str(level) for level in range(count)]
