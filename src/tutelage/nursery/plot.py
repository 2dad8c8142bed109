"""Events and questions about the things of a story: the generator's counterpart to world.py."""

from dataclasses import dataclass

from tutelage.nursery.lexicon import FOOD_NOUNS, held_out
from tutelage.nursery.page import Bound, Page

Name = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place of a thing: in the box, on the table."""

    noun: str
    at: tuple[str, ...]
    into: tuple[str, ...]
    out: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Thing:
    """A thing of a story: its noun phrase ("the red ball"), and its place or holder once the story has said it."""

    noun: str
    shown: tuple[str, ...]
    spot: Spot | None = None
    holder: Name | None = None
    gone: bool = False


def things_for(page: Page, count: int) -> list[Thing]:
    """Different things, possibly one of them food, which the page tracks from now on."""
    found: list[Thing] = []
    while len(found) < count:
        noun = page.pick("food.s" if not found and page.rng.random() < 0.5 else "toy.s")
        if noun in page.tracked:
            continue
        page.tracked |= {noun}
        look = page.pick("adj.look")
        plain = page.rng.random() < 0.6 or held_out(noun, look)
        found.append(Thing(noun=noun, shown=("the", noun) if plain else ("the", look, noun)))
    page.rng.shuffle(found)
    return found


def people(page: Page, count: int) -> list[tuple[str, str]]:
    """Different names with their genders."""
    found: dict[str, str] = {}
    while len(found) < count:
        gender = page.choose("mf")
        found[page.pick(f"name.{gender}")] = gender
    return list(found.items())


def free_spot(page: Page, thing: Thing) -> Spot:
    """A place for a thing, different from its present one and not a held-out combination."""
    while True:
        inside = page.rng.random() < 0.65
        noun = page.pick("inside.s" if inside else "ontop.s")
        if held_out(thing.noun, noun) or (thing.spot and thing.spot.noun == noun):
            continue
        if inside:
            return Spot(noun=noun, at=("in", "the", noun), into=("into", "the", noun), out=("out", "of", "the", noun))
        return Spot(noun=noun, at=("on", "the", noun), into=("onto", "the", noun), out=("off", "the", noun))


def happening(page: Page, things: list[Thing], names: list[Name]) -> list[str]:
    """One event of a story as a sentence. The state changes with it."""
    alive = [thing for thing in things if not thing.gone]
    if not alive or page.rng.random() < 0.2:
        return _door(page, page.choose(names))
    thing, who = page.choose(alive), page.choose(names)
    bound: Bound = {"WHO": who, "WHAT": thing.shown}
    if thing.holder is not None:
        bound["WHO"] = thing.holder
        event = page.choose(("PUT", "GIVE", "GIVE"))
    elif thing.spot is not None:
        event = page.choose(("MOVE", "MOVE", "TAKE"))
        bound["OUT"] = thing.spot.out
    else:
        event = page.choose(("PUT", "PUT", "TAKE", "GIVE"))
    if thing.noun in FOOD_NOUNS and (thing.holder or thing.spot) and page.rng.random() < 0.3:
        event = "EAT"
    return _event(page, event, thing, bound, names)


def _event(page: Page, event: str, thing: Thing, bound: Bound, names: list[Name]) -> list[str]:
    spot, holder = None, None
    if event in ("PUT", "MOVE"):
        spot = free_spot(page, thing)
        bound |= {"CONT": spot.at, "INTO": spot.into}
    elif event == "GIVE":
        holder = bound["WHO2"] = page.choose([name for name in names if name != bound["WHO"]])
    elif event == "TAKE":
        holder = bound["WHO"]
    text = page.maybe(event, bound)
    if text is None:
        return []
    thing.spot, thing.holder, thing.gone = spot, holder, event == "EAT"
    return [text]


def _door(page: Page, who: Name) -> list[str]:
    door = page.choose(sorted(page.turned)) if page.turned and page.rng.random() < 0.5 else page.pick("openable.s")
    now = page.turned.get(door)
    event = page.choose(("OPEN", "CLOSE")) if now is None else "CLOSE" if now == "open" else "OPEN"
    text = page.maybe(event, {"WHO": who, "DOOR": ("the", door), "WHAT": ()})
    if text is None:
        return []
    page.turned[door] = "open" if event == "OPEN" else "closed"
    return [text]


def query(page: Page, things: list[Thing], names: list[Name]) -> list[str]:
    """A statement about where something is, who has it or whether it is open; sometimes as an answer to a question."""
    if page.turned and page.rng.random() < 0.25:
        door = page.choose(sorted(page.turned))
        asked, says, bound = "", f"IS_{page.turned[door].upper()}", {"DOOR": ("the", door), "WHAT": ()}
    else:
        known = [thing for thing in things if thing.gone or thing.holder or thing.spot]
        if not known:
            return []
        thing = page.choose(known)
        bound: Bound = {"WHAT": thing.shown}
        if thing.gone:
            asked, says = "", "GONE"
        elif thing.holder:
            asked, says = "ASK_HAS", "HAS"
        else:
            assert thing.spot is not None
            asked, says, bound["CONT"] = "ASK_AT", "IS_AT", thing.spot.at
    asker, teller = page.rng.sample(names, 2)
    told: list[str] = []
    if asked and page.rng.random() < 0.4 and (text := page.maybe(asked, bound | {"WHO": asker})):
        told.append(text)
    who = things_holder(things, bound) if says == "HAS" else teller
    text = page.maybe(says, bound | {"WHO": who})
    return [*told, text] if text else []


def things_holder(things: list[Thing], bound: Bound) -> Name:
    """Who has the thing that a sentence is about."""
    return next(thing.holder for thing in things if thing.shown == bound["WHAT"] and thing.holder)
