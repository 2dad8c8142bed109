"""Minimal pairs on agreement, reflexives, pronouns and determiners. pairs.py says how they are made."""

from collections.abc import Callable

from tutelage.nursery.deck import ANIMATES, Deck, Twins, numbered, swapped
from tutelage.nursery.lexicon import (
    ALL_NOUNS,
    ANIMAL_NOUNS,
    DETERMINERS,
    MOVABLE,
    PEOPLE_BY_GENDER,
    VERB_CLASSES,
    held_out,
)

REFLEXIVE = {"m": "himself", "f": "herself", "n": "itself"}
BE = {"s": "is", "p": "are"}


def predicate(deck: Deck, nouns: dict[str, str]) -> tuple[dict[str, str], dict[str, str], str]:
    """A head in both numbers, a verb in both, and what follows it; noun and predicate never met."""
    if deck.rng.random() < 0.5:
        noun, mood = deck.held(list(nouns), deck.table["adj.mood"])
        return {"s": noun, "p": nouns[noun]}, BE, f"{mood} {deck.when()}"
    noun, verb = deck.held(list(nouns), list(VERB_CLASSES["walk"]))
    return {"s": noun, "p": nouns[noun]}, VERB_CLASSES["walk"][verb], deck.where()


def agreement(middle: Callable[[Deck], str], nouns: dict[str, str] = ANIMATES) -> Callable[[Deck], Twins]:
    """The dogs near the cat are hungry today."""

    def make(deck: Deck) -> Twins:
        heads, forms, rest = predicate(deck, nouns)
        return numbered(f"the {{head}} {middle(deck)} {{target}} {rest} .", forms, heads)

    return make


def locative(deck: Deck) -> str:
    """over there"""
    return deck.choose(["over there", "up there", "down there", "out there"])


def attractor(deck: Deck) -> str:
    """near the cats"""
    return f"{deck.prep()} the {deck.animate()}"


def object_relative(deck: Deck) -> str:
    """that the cats like"""
    number = deck.number()
    return f"that the {deck.animate(number)} {deck.pick(f'meet.{number}')}"


def agreement_subject_relative(deck: Deck) -> Twins:
    """The dogs that like the cat are hungry today."""
    heads, forms, rest = predicate(deck, ANIMATES)
    likes = VERB_CLASSES["meet"][deck.choose(list(VERB_CLASSES["meet"]))]
    heads = {number: f"{noun} that {likes[number]}" for number, noun in heads.items()}
    return numbered(f"the {{head}} the {deck.animate()} {{target}} {rest} .", forms, heads)


def agreement_coordination(deck: Deck) -> Twins:
    """The dog and the cat are hungry; the dog with the cat is hungry."""
    heads, forms, rest = predicate(deck, ANIMATES)
    joined = {"s": f"{heads['s']} with", "p": f"{heads['s']} and"}
    return numbered(f"the {{head}} the {deck.animate('s')} {{target}} {rest} .", forms, joined)


def agreement_things(deck: Deck) -> Twins:
    """The balls near the cat are red."""
    noun, look = deck.held(list(MOVABLE), deck.table["adj.look"])
    heads = {"s": noun, "p": MOVABLE[noun]}
    return numbered(f"the {{head}} {attractor(deck)} {{target}} {look} .", BE, heads)


def question_agreement(deck: Deck) -> Twins:
    """Are the big dogs near the cat hungry?"""
    noun, mood = deck.held(list(ANIMATES), deck.table["adj.mood"])
    nouns = {"s": noun, "p": ANIMATES[noun]}
    # The noun is flipped and not the verb: a scorer without a start token never scores the first word, and is left with
    # how much likelier "the" is after one verb than after the other.
    return numbered(f"{{head}} the {deck.pick('adj.look')} {{target}} {deck.aside()} {mood} ?", nouns, BE)


def determiner(kind: str, adjective: bool = False, nouns: dict[str, str] | None = None) -> Callable[[Deck], Twins]:
    """Look at these (big) dogs over there!"""

    def make(deck: Deck) -> Twins:
        known = nouns or ALL_NOUNS
        look = ""
        if adjective:
            noun, look = deck.held(list(known), deck.table["adj.look"])
        else:
            noun = deck.choose([noun for noun in known if held_out(noun, kind)])
        words = {number: deck.choose(DETERMINERS[kind][number]) for number in "sp"}
        frames = ["look at {head} {target} over there !", "do you see {head} {target} ?", "I like {head} {target} ."]
        frames += [f"we can see {{head}} {{target}} {attractor(deck)} ."] * 3
        frame = deck.choose(frames)
        forms = {"s": noun, "p": known[noun]}
        return numbered(frame, forms, {number: f"{words[number]} {look}".strip() for number in "sp"})

    return make


def man_and_woman(deck: Deck, others: list[str]) -> tuple[str, str, str]:
    """A man (or boy, Tom), a woman, and a word kept from both."""
    if deck.rng.random() < 0.4:
        groups = [deck.table["name.m"], deck.table["name.f"]]
        return deck.held_all(groups, others)  # type: ignore[return-value]
    groups = [list(PEOPLE_BY_GENDER[gender]) for gender in "mf"]
    man, woman, other = deck.held_all(groups, others)
    return f"the {man}", f"the {woman}", other


def self_verb(deck: Deck, verb: str) -> str:
    """A form of the verb that is the same for one and for many: washed, can wash."""
    return VERB_CLASSES["self"][verb]["past"] if deck.rng.random() < 0.7 else f"can {verb}"


def anaphor_gender(deck: Deck) -> Twins:
    """The girl near the kings washed herself."""
    man, woman, verb = man_and_woman(deck, list(VERB_CLASSES["self"]))
    frame = f"{{head}} {attractor(deck)} {self_verb(deck, verb)} {{target}} {deck.where()} ."
    return swapped(frame, (man, woman), ("himself", "herself"))


def anaphor_relative(deck: Deck) -> Twins:
    """The girl that the kings like washed herself."""
    man, woman, verb = deck.held_all([list(PEOPLE_BY_GENDER[g]) for g in "mf"], list(VERB_CLASSES["self"]))
    frame = f"the {{head}} {object_relative(deck)} {self_verb(deck, verb)} {{target}} ."
    return swapped(frame, (man, woman), ("himself", "herself"))


def anaphor_possessor(deck: Deck) -> Twins:
    """Anna's brother has just washed himself."""
    owner = deck.pick(deck.choose(["name.m", "name.f"]))
    pairs = [("brother", "sister"), ("father", "mother"), ("uncle", "aunt"), ("grandfather", "grandmother")]
    kin = pairs[deck.rng.randrange(len(pairs))]
    verb = deck.choose(list(VERB_CLASSES["self"]))
    frame = f"{owner} 's {{head}} has just {VERB_CLASSES['self'][verb]['part']} {{target}} ."
    return swapped(frame, kin, ("himself", "herself"))


def anaphor_number(deck: Deck) -> Twins:
    """The dogs near the boy washed themselves."""
    gender = deck.choose(["m", "f", "n"])
    nouns = ANIMAL_NOUNS if gender == "n" else PEOPLE_BY_GENDER[gender]
    noun, verb = deck.held(list(nouns), list(VERB_CLASSES["self"]))
    frame = f"the {{head}} {deck.aside()} {self_verb(deck, verb)} {{target}} ."
    return swapped(frame, (noun, nouns[noun]), (REFLEXIVE[gender], "themselves"))


def anaphor_animal(deck: Deck) -> Twins:
    """The dog near the boy washed itself; the boy near the dog washed himself."""
    gender = deck.choose(["m", "f"])
    person, animal, verb = deck.held_all(
        [list(PEOPLE_BY_GENDER[gender]), list(ANIMAL_NOUNS)], list(VERB_CLASSES["self"])
    )
    frame = f"the {{head}} {deck.aside()} {self_verb(deck, verb)} {{target}} ."
    return swapped(frame, (person, animal), (REFLEXIVE[gender], "itself"))


def pronoun_gender(deck: Deck) -> Twins:
    """Anna slept near the river because she was tired."""
    man, woman, mood = man_and_woman(deck, deck.table["adj.mood"])
    frame = f"{{head}} {deck.pick('walk.past')} {deck.where()} because {{target}} was {mood} ."
    return swapped(frame, (man, woman), ("he", "she"))


def possessive_gender(deck: Deck) -> Twins:
    """The girl near the kings lost her ball."""
    man, woman, verb = man_and_woman(deck, list(VERB_CLASSES["handle"]))
    thing = deck.pick("toy." + deck.number())
    past = VERB_CLASSES["handle"][verb]["past"]
    return swapped(f"{{head}} {attractor(deck)} {past} {{target}} {thing} .", (man, woman), ("his", "her"))
