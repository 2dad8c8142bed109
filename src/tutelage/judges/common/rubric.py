"""What a judge or a tutor is told: files of criteria, scales and wording. Fixed text first, the student's text last.

That order lets a server, or a model here, keep what it computed for the rubric, and all of a story's questions share
the story.
"""

from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Literal, TypedDict

from pydantic import Field, model_validator

from tutelage.errors import UserError
from tutelage.judges.common.base import Rollout
from tutelage.judges.common.escaping import filled
from tutelage.recipe import Section, did_you_mean, read_toml, validated

SHIPPED = Path(__file__).parents[1] / "rubrics"
Labels = Literal["numbers", "letters"]


class Message(TypedDict):
    """A turn of a conversation. One of the assistant's at the end is to be continued."""

    role: str
    content: str


class Criterion(Section):
    """One question, and what each mark means."""

    name: str = Field(pattern=r"^[a-z_]+$")
    """In lower case; the mark's name in logs and reports."""
    question: str
    """What the judge is to look at."""
    levels: tuple[str, ...] = Field(min_length=2, max_length=26)
    """What each mark means, the lowest first: mark 0, mark 1, ..."""
    weight: float = Field(default=1.0, ge=0)
    """Its share in the score; 0 asks and shows it only."""


class Rubric(Section):
    """A file that asks for marks. Of the templates, {prompt}, {text} and {code} are filled in with the rollout."""

    about: str
    """What it asks for, in a sentence."""
    instructions: str
    """What is said before the criteria."""
    material: str
    """A template: where the student's text stands."""
    question: str = "Criterion: {name}. {question}\nAnswer with {labels} and nothing else."
    """A template: what is asked for one criterion, at the end."""
    questions: str = "Criteria, in this order: {names}.\nAnswer with {count}, a space between two, and nothing else."
    """A template: what is asked of a judge that writes all of its marks at once."""
    answer: str = "Mark:"
    """What the judge's reply begins with; the label follows."""
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    """The criteria."""

    @model_validator(mode="after")
    def _sensible(self) -> "Rubric":
        names = [one.name for one in self.criteria]
        if len(set(names)) < len(names):
            raise ValueError(f"two criteria have one name: {', '.join(names)}")
        if not sum(one.weight for one in self.criteria):
            raise ValueError("every criterion has weight 0")
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


def load(name: str) -> Rubric | Instructions:
    """A shipped file by its name, or somebody's own by its path: one with [[criteria]] or one with [[turns]]."""
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    if not path.is_file():
        known = sorted(file.stem for file in SHIPPED.glob("*.toml"))
        raise UserError(
            f"There is no rubric {name!r}{did_you_mean(name, known)}", f"One of {', '.join(known)}, or a .toml file", ""
        )
    raw = read_toml(path)
    return validated(Instructions if "turns" in raw else Rubric, raw, f"rubric {path.stem}")


def labels_of(criterion: Criterion, labels: Labels) -> list[str]:
    """What the judge may answer, the lowest first."""
    count = len(criterion.levels)
    return list(ascii_uppercase[:count]) if labels == "letters" else [str(mark) for mark in range(count)]


def opening(rubric: Rubric, labels: Labels) -> str:
    """What is the same for every rollout and every criterion."""
    parts = [rubric.instructions.strip()]
    for one in rubric.criteria:
        levels = [f"{label}: {level}" for label, level in zip(labels_of(one, labels), one.levels)]
        parts.append("\n".join([f"{one.name}: {one.question}", *levels]))
    return "\n\n".join(parts)


def material(rubric: Rubric, rollout: Rollout) -> str:
    """The student's text in its place."""
    return filled(rubric.material.strip(), rollout)


def conversations(rubric: Rubric, rollout: Rollout, labels: Labels) -> Iterator[list[Message]]:
    """One for each criterion; the judge's next token is the label."""
    told = f"{opening(rubric, labels)}\n\n{material(rubric, rollout)}\n\n"
    for one in rubric.criteria:
        allowed = labels_of(one, labels)
        asked = rubric.question.replace("{name}", one.name).replace("{question}", one.question)
        asked = asked.replace("{labels}", f"one of {', '.join(allowed)}")
        yield [{"role": "user", "content": told + asked}, {"role": "assistant", "content": rubric.answer}]


def whole_conversation(rubric: Rubric, rollout: Rollout, labels: Labels) -> list[Message]:
    """One for all criteria, of a judge that writes its marks."""
    count = len(rubric.criteria)
    noun = {"numbers": "number", "letters": "letter"}[labels] + ("" if count == 1 else "s")
    asked = rubric.questions.replace("{names}", ", ".join(one.name for one in rubric.criteria))
    asked = asked.replace("{count}", f"exactly {count} {noun}")
    return [{"role": "user", "content": f"{opening(rubric, labels)}\n\n{material(rubric, rollout)}\n\n{asked}"}]


def turns(instructions: Instructions, rollout: Rollout) -> list[Message]:
    """A tutor's conversation, turns of one role merged."""
    merged: list[Message] = []
    for turn in instructions.turns:
        content = filled(turn.text.strip(), rollout)
        if merged and merged[-1]["role"] == turn.role:
            merged[-1]["content"] += f"\n\n{content}"
        else:
            merged.append({"role": turn.role, "content": content})
    return merged
