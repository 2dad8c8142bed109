"""Conversations with a judge or a tutor. Fixed text first, the student's text last.

With this order a server, or a model in this process, can reuse the keys and values of the rubric and its examples, and
all questions about a text share those of the text.
"""

from collections.abc import Iterator
from typing import TypedDict

from tutelage.judges.common.base import Rollout
from tutelage.judges.common.escaping import Escape, escaped, filled
from tutelage.judges.common.rubric import Criterion, Example, Instructions, Labels, Rubric, labels_of


class Message(TypedDict):
    """A turn of a conversation. If the last turn is the assistant's, the model continues it."""

    role: str
    content: str


def opening(rubric: Rubric, labels: Labels) -> str:
    """The part that is the same for every rollout and every criterion."""
    parts = [rubric.instructions.strip()]
    for criterion in rubric.criteria:
        levels = [f"{label}: {level}" for label, level in zip(labels_of(criterion, labels), criterion.levels)]
        parts.append("\n".join([f"{criterion.name}: {criterion.question}", *levels]))
    return "\n\n".join(parts)


def material(rubric: Rubric, rollout: Rollout, escape: Escape = escaped) -> str:
    """The template `material` with the student's text."""
    return filled(rubric.material.strip(), rollout, escape)


def conversations(
    rubric: Rubric, rollout: Rollout, labels: Labels, *, prefill: bool = True, escape: Escape = escaped
) -> Iterator[list[Message]]:
    """A conversation for each criterion. The judge's next token is the label.

    prefill: the last message is the beginning of the answer; without it the answer consists of the label
    """
    begun = f"{rubric.answer} " if prefill else ""
    before: list[Message] = []
    for example in rubric.examples:
        shown = f"{material(rubric, _rollout_of(example))}\n\n"
        for criterion, level in zip(rubric.criteria, example.scores):
            before.append({"role": "user", "content": shown + _question(rubric, criterion, labels)})
            before.append({"role": "assistant", "content": begun + labels_of(criterion, labels)[level]})
            shown = ""
    text = f"{material(rubric, rollout, escape)}\n\n"
    for criterion in rubric.criteria:
        messages = _opened(rubric, labels, before, text + _question(rubric, criterion, labels))
        yield [*messages, {"role": "assistant", "content": rubric.answer}] if prefill else messages


def whole_conversation(rubric: Rubric, rollout: Rollout, labels: Labels) -> list[Message]:
    """One conversation for all criteria, for a judge that writes its scores."""
    count = len(rubric.criteria)
    noun = {"numbers": "number", "letters": "letter"}[labels] + ("" if count == 1 else "s")
    question = rubric.questions.replace("{names}", ", ".join(criterion.name for criterion in rubric.criteria))
    question = question.replace("{count}", f"exactly {count} {noun}")
    before: list[Message] = []
    for example in rubric.examples:
        before.append({"role": "user", "content": f"{material(rubric, _rollout_of(example))}\n\n{question}"})
        answer = " ".join(
            labels_of(criterion, labels)[level] for criterion, level in zip(rubric.criteria, example.scores)
        )
        before.append({"role": "assistant", "content": answer})
    return _opened(rubric, labels, before, f"{material(rubric, rollout)}\n\n{question}")


def turns(instructions: Instructions, rollout: Rollout, escape: Escape = escaped) -> list[Message]:
    """A tutor's conversation. Consecutive turns of one role are merged."""
    merged: list[Message] = []
    for turn in instructions.turns:
        content = filled(turn.text.strip(), rollout, escape)
        if merged and merged[-1]["role"] == turn.role:
            merged[-1]["content"] += f"\n\n{content}"
        else:
            merged.append({"role": turn.role, "content": content})
    return merged


def _opened(rubric: Rubric, labels: Labels, before: list[Message], last: str) -> list[Message]:
    """The rubric before the first message: many chat templates accept no system message."""
    messages: list[Message] = [*before, {"role": "user", "content": last}]
    first = messages[0]
    return [{"role": "user", "content": f"{opening(rubric, labels)}\n\n{first['content']}"}, *messages[1:]]


def _question(rubric: Rubric, criterion: Criterion, labels: Labels) -> str:
    question = rubric.question.replace("{name}", criterion.name).replace("{question}", criterion.question)
    return question.replace("{labels}", f"one of {', '.join(labels_of(criterion, labels))}")


def _rollout_of(example: Example) -> Rollout:
    return Rollout(prompt=example.prompt, text=f" {example.text.strip()}", ended=True)
