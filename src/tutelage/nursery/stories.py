"""Documents of the nursery: talk between a mother and a child, picture books, and stories in which things change."""

from collections.abc import Callable, Iterator
from itertools import accumulate
from random import Random

from tutelage.nursery.grammar import Sampler
from tutelage.nursery.lexicon import categories
from tutelage.nursery.page import Page
from tutelage.nursery.plot import free_spot, happening, people, query, things_for

# How often a document of each part is talk, a picture book or a story.
MIX = {"all": (3.0, 2.0, 4.0), "a": (1.5, 3.0, 4.0), "b": (4.0, 2.0, 4.0)}
TURNS = {"ASK": 6.0, "CALL": 3.0, "FACT": 5.0, "REFLEX": 4.0, "ASKSELF": 1.0, "PAST": 1.0, "NOBODY": 0.7, "STATE": 2.5}
PAGES = {"FACT": 8.0, "LOOKS": 2.0, "NOBODY": 1.5, "REFLEX": 5.0, "OWN": 2.0, "PRONOUN": 2.0, "PAST": 1.0}
ASIDES = {"FACT": 4.0, "REFLEX": 4.0, "OWN": 1.5, "PRONOUN": 2.0, "PAST": 1.0, "DAY": 1.0}
PRONOUNS = {"m": "he", "f": "she", "n": "it", "p": "they"}


def documents(words: int, seed: int = 1, part: str = "all") -> Iterator[str]:
    """Documents until at least `words` words are written; the same for the same seed and part, on any machine.

    Parts "a" and "b" differ in names, places and in how much of them is talk, picture books and stories.
    """
    assert part in MIX, f"part is {part!r}, not one of {', '.join(MIX)}"
    rng = Random(f"nursery {part} {seed}")
    sampler, table = Sampler(rng, part), categories(part)
    kinds: list[Callable[[Page], str]] = [_talk, _picture_book, _story]
    weights = list(accumulate(MIX[part]))
    count = 0
    while count < words:
        text = rng.choices(kinds, cum_weights=weights)[0](Page(sampler, rng, table))
        count += len(text.split())
        yield text


def _talk(page: Page) -> str:
    lines: list[str] = []
    for _ in range(page.rng.randint(6, 10)):
        turn = page.kind(TURNS)
        if turn == "STATE":
            lines += _hide_and_seek(page)
            continue
        if turn == "ASK":
            question, reply = _question(page)
            lines += [f"*MOT:\t{question}", f"*CHI:\t{reply}"]
        else:
            speaker = "MOT" if page.rng.random() < 0.6 else "CHI"
            said = page.new(turn)
            if page.rng.random() < 0.3:
                said += " " + page.new(turn)
            lines.append(f"*{speaker}:\t{said}")
    return "\n".join(lines)


def _question(page: Page) -> tuple[str, str]:
    """A question and an answer whose pronoun agrees with whom the question is about."""
    gender = "mfnp"[page.rng.choices(range(4), (2, 2, 1, 3))[0]]
    number = "p" if gender == "p" else "s"
    question = None
    while question is None:  # a subject that holds something whose whereabouts are kept track of is never asked about
        subject = tuple(page.sampler.tokens(f"WHOSE.{gender}"))
        question = page.maybe(f"ASK.{number}", {f"SUBJ.{number}": subject})
    first, pronoun = question.split()[0].lower(), PRONOUNS[gender]
    if first == "what" and question.split()[1] in ("is", "are"):
        return question, f"{pronoun} {'are' if number == 'p' else 'is'} {page.pick('walk.ing')}.".capitalize()
    if first == "why" and question.split()[1] in ("is", "are"):
        return question, f"Because {pronoun} {'are' if number == 'p' else 'is'} {page.pick('adj.mood')}."
    if first in ("what", "why"):
        return question, "I do not know."
    negation = " not" if page.rng.random() < 0.5 else ""
    return question, f"{'No' if negation else 'Yes'}, {pronoun} {first}{negation}."


def _hide_and_seek(page: Page) -> list[str]:
    """A mother puts two or three things away and asks for one of them."""
    things = things_for(page, page.rng.randint(2, 3))
    put = []
    for thing in things:
        spot = thing.spot = free_spot(page, thing)
        event = "MINE" if page.rng.random() < 0.5 else "PUT"
        put.append(page.new(event, {"WHO": page.person(), "WHAT": thing.shown, "CONT": spot.at}))
    lines = ["*MOT:\t" + " ".join(put)]
    for thing in page.rng.sample(things, page.rng.randint(1, 2)):
        assert thing.spot is not None
        asked = page.new("ASK_AT", {"WHAT": thing.shown, "ASK_AT": ("where", "is", *thing.shown, "?")})
        place = " ".join(thing.spot.at)
        reply = page.choose(
            [f"It is {place}.", f"{place.capitalize()}.", f"{' '.join(thing.shown).capitalize()} is {place}."]
        )
        lines += [f"*MOT:\t{asked}", f"*CHI:\t{reply}"]
    return lines


def _picture_book(page: Page) -> str:
    place = page.pick("place.s").capitalize()
    title = page.choose([f"The Book of the {place}", f"Who Is Near the {place}", f"At the {place}"])
    sentences = [page.new(page.kind(PAGES)) for _ in range(page.rng.randint(8, 14))]
    return f"= = = {title} = = =\n" + _paragraphs(page, sentences)


def _story(page: Page) -> str:
    heroes = people(page, 3)
    things = things_for(page, 3)
    hero, gender = heroes[0]
    title = f"{hero} and the {things[0].noun.capitalize()}"
    pronoun = (PRONOUNS[gender],)
    sentences = [page.new(f"ONCE.{gender}", {f"HE.{gender}": (hero,)})]
    sentences += [page.new(f"{kind}.{gender}", {f"HE.{gender}": pronoun}) for kind in ("HOME", "DAY")]
    names = [(name,) for name, _ in heroes]
    for _ in range(page.rng.randint(4, 7)):
        sentences += happening(page, things, names)
        if page.rng.random() < 0.65:
            sentences += query(page, things, names)
        if page.rng.random() < 0.35:
            kind = page.kind(ASIDES)
            who, sex = heroes[page.rng.randrange(len(heroes))]
            sentences.append(page.new(f"DAY.{sex}" if kind == "DAY" else kind, {f"HE.{sex}": (who,)}))
    sentences.append(page.new("END"))
    return f"= = = {title} = = =\n" + _paragraphs(page, sentences)


def _paragraphs(page: Page, sentences: list[str]) -> str:
    """Sentences in paragraphs of a few; a question and its answer stay on one line."""
    lines: list[list[str]] = [[]]
    for sentence in sentences:
        if len(lines[-1]) >= 4 and not lines[-1][-1].rstrip('"').endswith("?") and page.rng.random() < 0.5:
            lines.append([])
        lines[-1].append(sentence)
    return "\n".join(" ".join(line) for line in lines)
