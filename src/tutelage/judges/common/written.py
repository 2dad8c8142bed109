"""Parses scores from a judge's written reply. An ambiguous reply has no score."""

import re
from collections.abc import Sequence

from tutelage.judges.common.base import CriterionScore, Verdict, unscorable, weighted
from tutelage.judges.common.rubric import Criterion, Labels, Rubric, labels_of

LONGEST = 4000  # characters of a reply that are parsed
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# A template may open the thinking in the prompt: the reply then contains the closing tag only.
TAGS = "think|thinking|thought|reasoning|seed:think"
ENDS = re.compile(rf"</(?:{TAGS})>|\[/THINK\]|◁/think▷|<\|channel\|>final<\|message\|>", re.IGNORECASE)
BEGINS = re.compile(rf"<(?:{TAGS})>|\[THINK\]|◁think▷|<\|channel\|>analysis", re.IGNORECASE)
NUMBER = re.compile(r"(?<![\w.,/-])(-?\d{1,4}(?:[.,]\d{1,3})?)(?:\s?(?:/|out of|of)\s?(\d{1,4}))?(%?)(?![\w/]|[.,]\d)")
SCALE = re.compile(r"\b(?:scale|range)\s+(?:of|from)\s+\d{1,3}\s?(?:to|-|–)\s?\d{1,3}\b", re.IGNORECASE)
RANGE = re.compile(r"\d\s?(?:-|–|—|to|or|~)\s?\d|\bbetween\b", re.IGNORECASE)
LABELLED = re.compile(r"\b(?:overall|score|mark|grade|rating|answer|total)\b(?: is|:| =| -)?\s*", re.IGNORECASE)
DECORATION = re.compile(r"[*_`#\"“”‘’()\[\]{}]|\\boxed")


def without_thinking(said: str) -> str | None:
    """A reply without the thinking of a reasoning model; None if the model was still thinking at the length limit."""
    ends = [end.end() for end in ENDS.finditer(said)]
    said = said[ends[-1] :] if ends else said
    return None if BEGINS.search(said) else said


def verdict_from_text(rubric: Rubric, labels: Labels, said: str) -> Verdict:
    """One score for each criterion, found by its name or, if there are no other numbers, by its position."""
    answer = without_thinking(said)
    if answer is None:
        return unscorable("the judge was still thinking at the length limit", said=said[:LONGEST])
    text = DECORATION.sub(" ", answer[:LONGEST])
    parse = _letters if labels == "letters" else _numbers
    levels = parse(text, rubric.criteria)
    if isinstance(levels, str):
        return unscorable(levels, said=said[:LONGEST])
    by_criterion = {}
    for criterion, level in zip(rubric.criteria, levels):
        names = labels_of(criterion, labels)
        label = names[int(level)] if level == int(level) else f"{level:g}"
        by_criterion[criterion.name] = CriterionScore(
            score=level / (len(names) - 1), weight=criterion.weight, probabilities={label: 1.0}
        )
    return weighted(by_criterion)


def _numbers(text: str, criteria: Sequence[Criterion]) -> list[float] | str:
    """A level for each criterion, or the reason why there is none."""
    text = re.sub(rf"\b({'|'.join(WORDS)})\b", lambda word: str(WORDS.index(word[0].lower())), text, flags=re.I)
    text = SCALE.sub(" ", text)
    if RANGE.search(text):
        return "the reply names a range, not a number"
    pieces = _by_name(text, criteria)
    if pieces is None:
        numbers = list(NUMBER.finditer(text))
        if len(criteria) == 1 and len({number[0] for number in numbers}) > 1:
            labelled = [number for label in LABELLED.finditer(text) if (number := NUMBER.match(text, label.end()))]
            numbers = labelled if len({number[0] for number in labelled}) == 1 else numbers
        if len(criteria) == 1 and len({number[0] for number in numbers}) == 1:
            numbers = numbers[:1]
    else:
        numbers = [number for piece in pieces for number in [NUMBER.search(piece)] if number]
    if not numbers:
        return "the reply contains no score"
    if len(numbers) != len(criteria):
        return f"{len(numbers)} scores for {len(criteria)} criteria"
    levels = []
    for number, criterion in zip(numbers, criteria):
        top, level = len(criterion.levels) - 1, float(number[1].replace(",", "."))
        if number[3] or (number[2] and int(number[2]) != top):
            return f"{number[0].strip()} is not on the scale of {criterion.name}, 0 to {top}"
        if not 0 <= level <= top:
            return f"the score {number[1]} of {criterion.name} is not one of 0 to {top}"
        levels.append(level)
    return levels


def _by_name(text: str, criteria: Sequence[Criterion]) -> list[str] | None:
    """The text after each criterion's name; None if a name is missing or occurs twice."""
    places = []
    for criterion in criteria:
        name = re.sub("_", "[ _-]?", criterion.name)
        matches = [match.end() for match in re.finditer(rf"\b{name}\b", text, re.IGNORECASE)]
        if len(matches) != 1:
            return None
        places.append(matches[0])
    ends = [min((other for other in places if other > place), default=len(text)) for place in places]
    pieces = [text[place:end] for place, end in zip(places, ends)]
    return pieces if all(len(NUMBER.findall(piece)) == 1 for piece in pieces) else None


def _letters(text: str, criteria: Sequence[Criterion]) -> list[float] | str:
    """A level for each criterion, from a reply of single letters only: `A` is also a word."""
    bare = re.sub(r"\b[a-z_ ]{3,}:|\b(?:Score|Mark|Answer|Grade|Rating)s?(?: is)?:?|[.,;:\n]", " ", text)
    words = bare.split()
    if not words or any(len(word) != 1 for word in words):
        return "the reply is not a line of letters"
    if len(words) != len(criteria):
        return f"{len(words)} scores for {len(criteria)} criteria"
    levels = []
    for word, criterion in zip(words, criteria):
        names = labels_of(criterion, "letters")
        if word not in names:
            return f"the score {word} of {criterion.name} is not one of {', '.join(names)}"
        levels.append(float(names.index(word)))
    return levels
