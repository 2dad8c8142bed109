"""Minimal pairs by phenomenon, in BLiMP's format: one JSONL file for each suite, a good and a bad sentence in each row.

A suite consists of twins. Both twins have the same two candidates and the same words within two words of them. The
deciding word is further away and is exchanged, and with it the correct candidate. So a unigram or trigram model prefers
the same candidate in both twins and is right in exactly one. Where the deciding word is close (this dog, these dogs),
no corpus contains the combination. In a twin, a noun occurs with a verb, adjective, determiner or container with which
it never occurs in a corpus.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tutelage.errors import UserError
from tutelage.files import write_atomically
from tutelage.nursery import suites, suites_beyond
from tutelage.nursery.deck import Deck, Twins
from tutelage.nursery.grammar import written
from tutelage.nursery.lexicon import ALL_NOUNS, COUNTING, DEMONSTRATIVE, irregular

ODD = {noun: many for noun, many in ALL_NOUNS.items() if irregular(noun)}
ODD_ANIMATES = {noun: many for noun, many in suites.ANIMATES.items() if noun in ODD}

TRIES = 20  # draws per twin that is needed

# Suite -> the function that makes its twins, field, linguistics term.
SUITES: dict[str, tuple[Callable[[Deck], Twins], str, str]] = {
    "agreement_locative": (suites.agreement(suites.locative), "agreement", "subject_verb_agreement"),
    "agreement_attractor": (suites.agreement(suites.attractor), "agreement", "subject_verb_agreement"),
    "agreement_irregular": (
        suites.agreement(suites.attractor, ODD_ANIMATES),
        "agreement",
        "subject_verb_agreement",
    ),
    "agreement_object_relative": (suites.agreement(suites.object_relative), "agreement", "subject_verb_agreement"),
    "agreement_subject_relative": (suites.agreement_subject_relative, "agreement", "subject_verb_agreement"),
    "agreement_coordination": (suites.agreement_coordination, "agreement", "subject_verb_agreement"),
    "agreement_things": (suites.agreement_things, "agreement", "subject_verb_agreement"),
    "anaphor_gender": (suites.anaphor_gender, "reflexives", "anaphor_agreement"),
    "anaphor_relative": (suites.anaphor_relative, "reflexives", "anaphor_agreement"),
    "anaphor_possessor": (suites.anaphor_possessor, "reflexives", "anaphor_agreement"),
    "anaphor_number": (suites.anaphor_number, "reflexives", "anaphor_agreement"),
    "anaphor_animal": (suites.anaphor_animal, "reflexives", "anaphor_agreement"),
    "pronoun_gender": (suites.pronoun_gender, "pronouns", "pronoun_agreement"),
    "possessive_gender": (suites.possessive_gender, "pronouns", "pronoun_agreement"),
    "determiner_noun": (suites.determiner(DEMONSTRATIVE), "determiners", "determiner_noun_agreement"),
    "determiner_adjective": (suites.determiner(DEMONSTRATIVE, True), "determiners", "determiner_noun_agreement"),
    "determiner_irregular": (
        suites.determiner(DEMONSTRATIVE, True, ODD),
        "determiners",
        "determiner_noun_agreement",
    ),
    "determiner_counting": (suites.determiner(COUNTING), "determiners", "determiner_noun_agreement"),
    "quantifier_any": (suites_beyond.quantifier_any, "quantifiers", "npi_licensing"),
    "quantifier_ever": (suites_beyond.quantifier_ever, "quantifiers", "npi_licensing"),
    "question_agreement": (suites.question_agreement, "questions", "subject_verb_agreement"),
    "question_do": (suites_beyond.question_do, "questions", "subject_aux_inversion"),
    "question_did": (suites_beyond.question_did, "questions", "subject_aux_inversion"),
    "question_inversion": (suites_beyond.question_inversion, "questions", "subject_aux_inversion"),
    "question_gap": (suites_beyond.question_gap, "questions", "filler_gap_dependency"),
    "irregular_participle": (suites_beyond.irregular_participle, "irregulars", "irregular_forms"),
    "state_place": (suites_beyond.state_place, "states", "entity_tracking"),
    "state_moved": (suites_beyond.state_moved, "states", "entity_tracking"),
    "state_holder": (suites_beyond.state_holder, "states", "entity_tracking"),
    "state_open": (suites_beyond.state_open, "states", "entity_tracking"),
}


def pairs(n: int = 200, seed: int = 1) -> dict[str, list[dict[str, Any]]]:
    """n minimal pairs of every suite. n is even, because pairs come in twins. They depend only on n and the seed."""
    if n < 2 or n % 2:
        raise UserError(
            f"{n} minimal pairs a suite",
            "An even number of at least 2, because pairs are made two at a time",
            f"Ask for {max(2, n + n % 2)}",
        )
    return {name: _suite(name, n, seed) for name in SUITES}


def write_pairs(folder: Path, n: int = 200, seed: int = 1) -> list[Path]:
    """Write the suites as <suite>.jsonl; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, rows in pairs(n, seed).items():
        paths.append(folder / f"{name}.jsonl")
        write_atomically(paths[-1], "".join(json.dumps(row) + "\n" for row in rows))
    return paths


def _suite(name: str, n: int, seed: int) -> list[dict[str, Any]]:
    make, field, term = SUITES[name]
    deck = Deck(Random(f"pairs {name} {seed}"))
    seen: set[Twins] = set()
    rows: list[dict[str, Any]] = []
    for _ in range(TRIES * n):
        twins = make(deck)
        if twins in seen:
            continue
        seen.add(twins)
        for good, bad in twins:
            rows.append(
                {
                    "sentence_good": text_of(good),
                    "sentence_bad": text_of(bad),
                    "field": field,
                    "linguistics_term": term,
                    "UID": name,
                    "simple_LM_method": True,
                    "one_prefix_method": False,
                    "two_prefix_method": False,
                    "lexically_identical": False,
                    "pairID": str(len(rows)),
                }
            )
        if len(rows) == n:
            return rows
    raise UserError(f"{n} minimal pairs of the suite {name}", f"It has about {len(rows)}", "Ask for fewer")


def text_of(tokens: str) -> str:
    """Several sentences of spaced tokens as written text."""
    sentences = tokens.replace(" .", " .\n").replace(" ?", " ?\n").replace(" !", " !\n").splitlines()
    return " ".join(written(sentence.split()) for sentence in sentences if sentence.strip())
