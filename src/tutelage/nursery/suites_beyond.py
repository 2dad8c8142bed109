"""Minimal pairs on questions, irregular forms, quantifiers and the state of things. pairs.py says how they are made."""

from tutelage.nursery.deck import ANIMATES, Deck, Twins, swapped
from tutelage.nursery.lexicon import MOVABLE, VERB_CLASSES
from tutelage.nursery.suites import attractor

IRREGULAR = [verb for verb, forms in VERB_CLASSES["handle"].items() if len({verb, forms["past"], forms["part"]}) == 3]
PLAIN_PAST = [verb for verb, forms in VERB_CLASSES["handle"].items() if forms["past"] != verb]


def question_do(deck: Deck) -> Twins:
    """Does the dog near the cats sleep by the river? Now the dog near the cats sleeps by the river."""
    noun, verb = deck.held(list(ANIMATES), list(VERB_CLASSES["walk"]))
    subject, where = f"the {noun} {deck.aside()}", deck.where()
    forms = VERB_CLASSES["walk"][verb]
    asks, says = f"does {subject} {{target}} {where} ?", f"now {subject} {{target}} {where} ."
    return swapped("{head}", (asks, says), (forms["p"], forms["s"]))


def question_did(deck: Deck) -> Twins:
    """Did the dogs near the cat steal the ball at home? Then the dogs near the cat stole the ball at home."""
    noun, verb = deck.held(list(ANIMATES), PLAIN_PAST)
    subject, rest = (
        f"the {deck.choose([noun, ANIMATES[noun]])} {deck.aside()}",
        f"the {deck.pick('toy.s')} {deck.where()}",
    )
    asks, says = f"did {subject} {{target}} {rest} ?", f"then {subject} {{target}} {rest} ."
    return swapped("{head}", (asks, says), (verb, VERB_CLASSES["handle"][verb]["past"]))


def irregular_participle(deck: Deck) -> Twins:
    """Has the dog near the cats stolen the ball at home? Then the dog near the cats stole the ball at home."""
    noun, verb = deck.held(list(ANIMATES), IRREGULAR)
    number = deck.number()
    noun, has = (noun, "has") if number == "s" else (ANIMATES[noun], "have")
    subject, rest = f"the {noun} {deck.aside()}", f"the {deck.pick('toy.s')} {deck.where()}"
    asks, says = f"{has} {subject} {{target}} {rest} ?", f"then {subject} {{target}} {rest} ."
    return swapped("{head}", (asks, says), (VERB_CLASSES["handle"][verb]["part"], VERB_CLASSES["handle"][verb]["past"]))


def question_inversion(deck: Deck) -> Twins:
    """Is the dog near the cats hungry today? Now the dog near the cats is hungry today."""
    noun, mood = deck.held(list(ANIMATES), deck.table["adj.mood"])
    number = deck.number()
    noun, be = (noun, "is") if number == "s" else (ANIMATES[noun], "are")
    subject, when = f"the {noun} {deck.aside()}", deck.when()
    asks, says = f"{be} {subject} {{target}} {when} ?", f"now {subject} {{target}} {when} ."
    return swapped("{head}", (asks, says), (mood, f"{be} {mood}"))


def question_gap(deck: Deck) -> Twins:
    """What did the dog near the cats steal by the river? Why did the dog near the cats steal the ball by the river?"""
    noun, verb = deck.held(list(ANIMATES), list(VERB_CLASSES["handle"]))
    subject, where = f"the {deck.choose([noun, ANIMATES[noun]])} {deck.aside()}", deck.where()
    ending = f"did {subject} {{target}} {where} ?"
    return swapped("{head}", (f"what {ending}", f"why {ending}"), (verb, f"{verb} the {deck.pick('toy.s')}"))


def quantifier_any(deck: Deck) -> Twins:
    """No dog near the cats has any balls. The dog near the cats has some balls."""
    ending = f"{deck.choose(list(ANIMATES))} {deck.aside()} has {{target}} {deck.pick('toy.p')} ."
    return swapped("{head}", (f"no {ending}", f"the {ending}"), ("any", "some"))


def quantifier_ever(deck: Deck) -> Twins:
    """No dog near the cats has ever seen the king. The dog near the cats has always seen the king."""
    noun, verb = deck.held(list(ANIMATES), list(VERB_CLASSES["meet"]))
    ending = f"{noun} {attractor(deck)} has {{target}} {VERB_CLASSES['meet'][verb]['part']} the {deck.animate()} ."
    return swapped("{head}", (f"no {ending}", f"the {ending}"), ("ever", "always"))


def _things(deck: Deck) -> tuple[str, str, str, str]:
    """Two things and two containers, each thing kept from a container in the corpora."""
    first, place = deck.held(list(MOVABLE), deck.table["inside.s"])
    while True:
        second, other = deck.held(list(MOVABLE), deck.table["inside.s"])
        if second != first and other != place:
            return first, second, place, other


def _names(deck: Deck, count: int) -> list[str]:
    return deck.rng.sample(deck.table["name.m"] + deck.table["name.f"], count)


def state_place(deck: Deck) -> Twins:
    """Anna put the ball in the box. Tom put the cup in the bag. The ball is in the box."""
    first, second, place, other = _things(deck)
    one, two = _names(deck, 2)
    told = f"{one} put the {first} in the {place} . {two} put the {second} in the {other} . "
    asked = [first, second] if deck.rng.random() < 0.5 else [second, first]
    answers = {first: place, second: other}
    heads = (asked[0], asked[1])
    return swapped(told + "now the {head} is in the {target} .", heads, (answers[heads[0]], answers[heads[1]]))


def state_moved(deck: Deck) -> Twins:
    """Anna put the ball in the box. Later Tom moved the ball into the bag. Now the ball is in the bag."""
    thing, _, place, other = _things(deck)
    one, two = _names(deck, 2)
    frame = "{head} now the " + thing + " is in the {target} ."
    stories = tuple(
        f"{one} put the {thing} in the {start} . later {two} moved the {thing} into the {end} ."
        for start, end in ((place, other), (other, place))
    )
    return swapped(frame, (stories[0], stories[1]), (other, place))


def state_holder(deck: Deck) -> Twins:
    """Anna gave the ball to Tom. Leo gave the cup to Mia. Now Tom has the ball."""
    first, second, _, _ = _things(deck)
    one, two, three, four = _names(deck, 4)
    told = f"{one} gave the {first} to {two} . {three} gave the {second} to {four} . "
    return swapped(told + "now {target} has the {head} .", (first, second), (two, four))


def state_open(deck: Deck) -> Twins:
    """Anna opened the door. Tom closed the gate. Now the door is open."""
    one, two = _names(deck, 2)
    first, second = deck.rng.sample(deck.table["openable.s"], 2)
    asked = deck.choose([first, second])
    frame = f"{one} {{a}} the {first} . {two} {{b}} the {second} . now the {asked} is {{target}} ."
    opened = frame.replace("{a}", "opened").replace("{b}", "closed")
    closed = frame.replace("{a}", "closed").replace("{b}", "opened")
    return swapped("{head}", (opened, closed), ("open", "closed") if asked == first else ("closed", "open"))
