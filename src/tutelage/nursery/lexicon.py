"""The words of the nursery, their forms, and which of them never meet in a corpus.

A category ("noun.f.s": singular nouns for women and girls) is a list of forms. The grammar's rules name categories;
the generator draws from them, the parser looks words up in them. Number is s or p; gender is m, f, n (animals:
itself) or c (a child may be either: the nursery never writes a singular reflexive for those).
"""

from zlib import crc32

# Names and places of the two parts of the nursery, and those that both know. Minimal pairs use only what both know.
NAMES: dict[str, dict[str, str]] = {
    "f": {
        "both": "Anna Emma Lily Rosa Nora Clara Mia Ruby",
        "a": "Heidi Gerda Olga Wilma Dora Ivy",
        "b": "Daisy Molly Katie Sally Lucy Poppy",
    },
    "m": {
        "both": "Tom Ben Max Leo Sam Jack Paul Oscar",
        "a": "Karl Otto Boris Ivan Hans Fritz",
        "b": "Billy Charlie Danny Joe Harry Peter",
    },
}
PLACES: dict[str, str] = {
    "both": "garden house river tree bridge fence wall road",
    "a": "forest castle cave mountain tower lake village",
    "b": "kitchen school park farm barn shop street",
}

PEOPLE: dict[str, str] = {
    "m": "boy man:men king prince uncle grandfather wizard knight",
    "f": "girl woman:women queen princess aunt grandmother witch lady",
    "c": "child:children baby farmer teacher doctor giant",
}
KIN: dict[str, str] = {"m": "brother father uncle grandfather", "f": "sister mother aunt grandmother"}
ANIMALS = (
    "dog cat horse cow pig duck goose:geese mouse:mice rabbit bear wolf:wolves fox lion monkey frog "
    "bird owl goat puppy kitten ox:oxen calf:calves"
)
TOYS = (
    "ball cup doll kite book hat coin key bell drum spoon knife:knives plate shoe sock scarf:scarves "
    "ring crown flower stone letter train ribbon leaf:leaves"
)
FOOD = "apple pear cake cookie carrot egg berry sandwich loaf:loaves tomato:tomatoes"
INSIDE = "box basket bag drawer bucket chest jar pot wagon barrel"
ON_TOP = "table chair bed shelf:shelves bench"
OPENABLE = "door window gate cage tent oven lid curtain"

MOODS = (
    "happy sad hungry tired sleepy thirsty angry scared brave clever kind gentle quiet lazy busy "
    "funny silly proud shy strong lonely grumpy"
)
LOOKS = (
    "big small little tiny red blue green yellow white black old new pretty dirty wet heavy shiny round soft strange"
)

# base[:past:participle]; the regular forms are derived.
WALKING = (
    "sleep:slept:slept jump sing:sang:sung dance swim:swam:swum walk play laugh cry sit:sat:sat "
    "stand:stood:stood fall:fell:fallen climb wait work rest speak:spoke:spoken"
)
SOCIAL = (
    "like love see:saw:seen chase follow help watch hear:heard:heard hug find:found:found visit "
    "meet:met:met feed:fed:fed know:knew:known forget:forgot:forgotten"
)
HANDLING = (
    "carry hold:held:held want need drop push pull throw:threw:thrown break:broke:broken "
    "lose:lost:lost paint steal:stole:stolen hide:hid:hidden draw:drew:drawn choose:chose:chosen "
    "wear:wore:worn"
)
REFLEXIVE = (
    "wash dry see:saw:seen dress clean scratch feed:fed:fed help cover draw:drew:drawn watch like "
    "hide:hid:hidden shake:shook:shaken"
)

DOUBLED = {"sit", "swim", "hug", "drop", "forget"}  # final consonant doubled before -ed and -ing
HOLD_OUT = 7  # one in so many combinations of a noun with a word from another class never shares a sentence with it

DEMONSTRATIVE = "demonstrative"
COUNTING = "counting"
DETERMINERS = {
    DEMONSTRATIVE: {"s": ["this", "that"], "p": ["these", "those"]},
    COUNTING: {"s": ["every", "each", "another"], "p": ["many", "several", "two", "three"]},
}


def plural(noun: str) -> str:
    """The regular plural: dogs, foxes, ponies."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def nouns(text: str) -> dict[str, str]:
    """Singular to plural of a list such as "dog goose:geese"."""
    found = {}
    for word in text.split():
        singular, _, irregular = word.partition(":")
        found[singular] = irregular or plural(singular)
    return found


def verbs(text: str) -> dict[str, dict[str, str]]:
    """Base form to its forms: p (they sleep), s (she sleeps), past, part (has slept), ing."""
    return {entry.split(":")[0]: _verb(entry) for entry in text.split()}


def _verb(entry: str) -> dict[str, str]:
    base, *irregular = entry.split(":")
    stem = base + base[-1] if base in DOUBLED else base
    soft = base.endswith("y") and base[-2] not in "aeiou"
    past = base[:-1] + "ied" if soft else stem + ("d" if base.endswith("e") else "ed")
    past, participle = irregular or (past, past)
    bare = base[:-1] if base.endswith("e") and not base.endswith("ee") else stem
    return {"p": base, "s": plural(base), "past": past, "part": participle, "ing": bare + "ing"}


def irregular(noun: str) -> bool:
    """Whether a noun's plural is one to learn by heart, such as geese."""
    return ALL_NOUNS[noun] != plural(noun)


def held_out(noun: str, other: str) -> bool:
    """Whether this noun (singular or a name) and this word (base form, adjective, container, kind of determiner) never
    share a sentence in any corpus. A fixed rule on their spelling, so that every seed and part holds out the same."""
    return crc32(f"{noun} {other}".encode()) % HOLD_OUT == 0


PEOPLE_BY_GENDER = {gender: nouns(text) for gender, text in PEOPLE.items()}
ANIMAL_NOUNS, TOY_NOUNS, FOOD_NOUNS = nouns(ANIMALS), nouns(TOYS), nouns(FOOD)
MOVABLE = TOY_NOUNS | FOOD_NOUNS
VERB_CLASSES = {"walk": verbs(WALKING), "meet": verbs(SOCIAL), "handle": verbs(HANDLING), "self": verbs(REFLEXIVE)}
ALL_NOUNS: dict[str, str] = {noun: many for kind in PEOPLE_BY_GENDER.values() for noun, many in kind.items()}
ALL_NOUNS |= ANIMAL_NOUNS | MOVABLE


def categories(part: str = "all") -> dict[str, list[str]]:
    """Category to its forms, for one part of the nursery ("a", "b") or for "all"."""
    sides = ("both", "a", "b") if part == "all" else ("both", part)
    table: dict[str, list[str]] = {"adj.mood": [*MOODS.split()], "adj.look": [*LOOKS.split()]}
    for gender, sided in NAMES.items():
        table[f"name.{gender}"] = [name for side in sides for name in sided[side].split()]
        table[f"kin.{gender}"] = KIN[gender].split()
    kinds = {f"noun.{gender}": listed for gender, listed in PEOPLE_BY_GENDER.items()}
    kinds |= {
        "noun.n": ANIMAL_NOUNS,
        "toy": TOY_NOUNS,
        "food": FOOD_NOUNS,
        "inside": nouns(INSIDE),
        "ontop": nouns(ON_TOP),
    }
    kinds |= {"place": nouns(" ".join(PLACES[side] for side in sides)), "openable": nouns(OPENABLE)}
    for kind, listed in kinds.items():
        table[f"{kind}.s"], table[f"{kind}.p"] = list(listed), list(listed.values())
    for kind, listed in VERB_CLASSES.items():
        for form in ("p", "s", "past", "part", "ing"):
            table[f"{kind}.{form}"] = [forms[form] for forms in listed.values()]
    for kind, numbers in DETERMINERS.items():
        for number, words in numbers.items():
            table[f"{kind}.{number}"] = words
    return table


def _held_pairs() -> dict[str, frozenset[str]]:
    """Every form of a noun (or name) to the forms that must not share a sentence with it."""
    subjects = {form: noun for noun, many in ALL_NOUNS.items() for form in (noun, many)}
    names = {name for sided in NAMES.values() for listed in sided.values() for name in listed.split()}
    others: dict[str, list[str]] = {word: [word] for word in MOODS.split()}
    for listed in VERB_CLASSES.values():
        others |= {base: list(forms.values()) for base, forms in listed.items()}
    for kind, numbers in DETERMINERS.items():
        others[kind] = [*numbers["s"], *numbers["p"]]
    looks = {word: [word] for word in LOOKS.split()}
    spots = {place: [place, many] for place, many in (nouns(INSIDE) | nouns(ON_TOP)).items()}

    def kept_from(noun: str, listed: dict[str, list[str]]) -> frozenset[str]:
        return frozenset(form for other, forms in listed.items() if held_out(noun, other) for form in forms)

    held = {
        form: kept_from(noun, others | looks | (spots if noun in MOVABLE else {})) for form, noun in subjects.items()
    }
    return held | {name: kept_from(name, others) for name in names}


HELD: dict[str, frozenset[str]] = _held_pairs()
