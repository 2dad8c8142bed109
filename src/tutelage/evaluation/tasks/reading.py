"""Reading times of people, explained by a model's surprisals: eye tracking and self-paced reading.

The official figures follow the procedure of word_queries.py, which tokenizes a word by itself; the figures named
`_correct` use the word's tokens in its text. Both years are the same.
Figures named `_as_scored` are those of the official procedure with the token types that the challenge's pinned
transformers gives to some models (see pinned.py).
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from tutelage.challenge.tasks import TASKS
from tutelage.errors import UserError
from tutelage.evaluation.base import Outcome, Row, Tools
from tutelage.evaluation.official import file, set_name
from tutelage.evaluation.pinned import ADDS, with_token_types
from tutelage.evaluation.regression import CONTROLS, EYES, REPLICATES, SELF_PACED, Explained, explained
from tutelage.evaluation.request import Request
from tutelage.evaluation.word_queries import Query, WordQueries
from tutelage.files import hash_file

TEXTS = ("item", "word", "prev_item", "prev_word")
NUMBERS = (*CONTROLS, "prev_length", *EYES, SELF_PACED)
Word = tuple[str, str]  # the context, and the word after it


def task(request: Request) -> "Reading":
    """The official table of words and reading times."""
    return Reading(file(request, "reading", "reading_data.csv"), set_name(request))


class Reading:
    """Figures are shares of the variance that frequency, length and position leave unexplained; see regression.py.

    Errors are standard deviations over a bootstrap of sentences.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name, self.source, self.path = name, str(path), path
        self.settings = {"data": hash_file(path), "errors": f"{REPLICATES} draws of sentences"}

    def run(self, model: PreTrainedModel, tools: Tools) -> Outcome:
        """Eye tracking, self-paced reading and their mean; predictions are the surprisals of every row."""
        table = read(self.path)
        words = [*zip(table["item"], table["word"])]
        before = [(c, w) if c else None for c, w in zip(table["prev_item"], table["prev_word"])]
        unique = list(dict.fromkeys([*words, *filter(None, before)]))
        cut = tools.scorer.word_queries()
        ways = {"": [cut.official(*word) for word in unique], "_correct": [cut.in_text(*word) for word in unique]}
        logp = log_probs(tools, [query for words in ways.values() for word in words for query in word])
        surprisals = {suffix: _summed(logp, unique, queries) for suffix, queries in ways.items()}
        if tools.token_types and model.config.model_type in ADDS:
            with with_token_types(model):
                typed = log_probs(tools, [query for word in ways[""] for query in word])
            surprisals["_as_scored"] = _summed(typed, unique, ways[""])
        numbers = {name: np.array(table[name]) for name in NUMBERS}
        rows: list[Row] = []
        predictions: list[dict[str, Any]] = [{"id": number} for number in range(len(words))]
        for suffix, surprisal in surprisals.items():
            columns = {
                "pred": np.array([surprisal[word] for word in words]),
                "prev_pred": np.array([surprisal[word] if word else np.nan for word in before]),
            }
            rows += figures(explained(numbers | columns, _sentences(words)), suffix, self.name)
            for name, values in columns.items():
                for prediction, value in zip(predictions, values):
                    prediction[name + suffix] = float(value)
        warnings = _warnings(cut, unique, ways)
        if len(words) != (official := TASKS["reading"].sizes("2026")["reading"]):
            warnings.append(f"{len(words):,} rows; the official table has {official:,}")
        return Outcome(rows=rows, predictions=predictions, warnings=warnings)


def log_probs(tools: Tools, queries: Sequence[Query]) -> dict[Query, float]:
    """log P of each query's target given the others, nats.

    Computed without the probability itself, which may round to 0 and then stops the official code.
    """
    unique = list(dict.fromkeys(queries))
    return dict(zip(unique, tools.scorer.answers(unique, "reading").tolist()))


def _summed(logp: dict[Query, float], words: Sequence[Word], queries: Sequence[list[Query]]) -> dict[Word, float]:
    """The surprisal of each word, nats: the sum over its queries."""
    return {word: -sum(logp[query] for query in own) for word, own in zip(words, queries)}


def figures(measures: dict[str, Explained], suffix: str, name: str) -> list[Row]:
    """The overall figures: eye tracking is the mean of four measures, reading the mean of both kinds."""
    eyes, paced = [measures[dv] for dv in EYES], measures[SELF_PACED]
    eye, eye_draws = float(np.mean([e.score for e in eyes])), np.mean([e.draws for e in eyes], 0)
    overall = {
        "reading": ((eye + paced.score) / 2, (eye_draws + paced.draws) / 2, eyes[0].n),
        "eye_tracking": (eye, eye_draws, eyes[0].n),
        "self_paced": (paced.score, paced.draws, paced.n),
    }
    rows = [
        Row(metric=metric + suffix, name=name, value=value, error=float(draws.std()), n=n)
        for metric, (value, draws, n) in overall.items()
    ]
    return rows + [
        Row(
            metric=("self_paced" if dv == SELF_PACED else "eye_tracking") + suffix,
            group="paradigm",
            name=dv,
            value=one.score,
            error=float(one.draws.std()),
            n=one.n,
        )
        for dv, one in measures.items()
    ]


def _warnings(cut: WordQueries, words: list[Word], ways: dict[str, list[list[Query]]]) -> list[str]:
    official, correct = ways.values()
    other = [i for i, (a, b) in enumerate(zip(official, correct)) if a != b]
    if not other:
        return []
    if cut.after_special():
        why = "the tokenizer appends a special token to every text, and the official procedure scores words after it"
    elif [q.target for q in official[other[0]][:1]] != [q.target for q in correct[other[0]][:1]]:
        why = f"the official procedure tokenizes {words[other[0]][1]!r} without the space before it"
    else:
        why = "the official procedure decodes later tokens, and the tokenizer splits the text in another way"
    return [
        f"{len(other):,} of {len(words):,} words are not scored as they are tokenized in their text: {why}. "
        "reading_correct, eye_tracking_correct and self_paced_correct are the figures without this deviation"
    ]


def read(path: Path) -> dict[str, list]:
    """The table's columns: texts unchanged, numbers NaN for an empty cell."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    lacking = [name for name in (*TEXTS, *NUMBERS) if not rows or name not in rows[0]]
    if lacking:
        raise UserError(f"{path} has no column {lacking[0]}", f"The columns {', '.join((*TEXTS, *NUMBERS))}", "")
    table: dict[str, list] = {name: [row[name] for row in rows] for name in TEXTS}
    # One context is the word "None"; pandas turned it into an empty cell of the official table.
    table["item"] = [context or "None" for context in table["item"]]
    return table | {name: [float(row[name] or "nan") for row in rows] for name in NUMBERS}


def _sentences(words: list[Word]) -> np.ndarray:
    """The number of each word's sentence. Words belong to one sentence if their contexts are prefixes of one text."""
    texts = [f"{context} {word}" for context, word in words]
    whole: dict[str, str] = {}
    after = ""
    for text in sorted(set(texts), reverse=True):  # in reverse order a text comes directly after its extensions
        whole[text] = whole[after] if after.startswith(text + " ") else text
        after = text
    return np.unique([whole[text] for text in texts], return_inverse=True)[1]
