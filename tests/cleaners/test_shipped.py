"""What the shipped cleaners remove, keep and count, each on lines as its sources have them."""

import re
from collections import Counter
from typing import Any

import pytest

from tutelage.cleaners.common.rules import Line
from tutelage.data.cleaning import Cleaning, cleaning_of
from tutelage.recipe import modules
from tutelage.settings.mixture import Clean

# cleaner: [(settings, before, after)]
CASES: dict[str, list[tuple[dict[str, Any], str, str]]] = {
    "childes": [
        ({}, "*CHI:\tmore  milk .\n*MOT:\tno , more juice !\n", "*CHI:\tmore milk.\n*MOT:\tno, more juice!\n"),
        ({"labels": "remove"}, "*CHI:\tmore milk .\n*MOT:\tno .\n", "more milk.\nno.\n"),
        (
            {},
            "@Begin\n*CHI:\twant &=laughs that [//] this .\n%mor:\tv|want\n\tpro|this .\n@End\n",
            "*CHI:\twant that this.\n",
        ),
        ({}, "*MOT:\twhere is xxx <the cat> [>] ? \x15123_456\x15\n", "*MOT:\twhere is the cat?\n"),
        ({"codes": "keep"}, "*CHI:\txxx www.\n", "*CHI:\txxx www.\n"),
        ({}, "*CHI:\tTom & Ann don't, M&Ms, exxxtra, a+b ...\n", "*CHI:\tTom & Ann don't, M&Ms, exxxtra, a+b ...\n"),
        ({"headings": "remove"}, "= = = Eve = = =\n*CHI:\thi.\n", "*CHI:\thi.\n"),
        ({"whitespace": "keep", "punctuation": "keep", "codes": "keep"}, "a  b .\n", "a  b .\n"),
    ],
    "bnc_spoken": [
        ({}, "Well [laugh] , I never (unclear) .\n\n\n\nNo <pause> really ?\n", "Well, I never.\n\nNo really?\n"),
        ({}, "A: Fish &amp; chips \u2014 yes .\n", "A: Fish & chips \u2014 yes.\n"),
        (
            {"labels": "remove", "dashes": "plain"},
            "PS1A2: Chips \u2014 yes.\nB: Why\u2013 no?\n",
            "Chips -- yes.\nWhy-- no?\n",
        ),
        ({}, "It cost .5 , a<b , :-) and 3 < 5 > 2 .\n", "It cost .5, a<b, :-) and 3 < 5 > 2.\n"),
    ],
    "gutenberg": [
        ({}, "*** START OF THE PROJECT GUTENBERG EBOOK ALICE ***\nDown\n", "Down\n"),
        ({}, "Produced by A. Reader\n[Illustration: a cat\non a wall]\nShe _did_ it.[1]\n", "\nShe did it.\n"),
        ({}, "So.\n   *   *   *   *\n-----\nThen\u00a0he\u200b went.\n", "So.\nThen he went.\n"),
        ({}, "CHAPTER IV\n= = = Alice = = =\nYes--no.\n", "CHAPTER IV\n= = = Alice = = =\nYes--no.\n"),
        (
            {"headings": "chapters"},
            "CHAPTER IV. THE MILL\n= = = Alice = = =\nChapter I was read.\n",
            "= = = Alice = = =\nChapter I was read.\n",
        ),
        ({"headings": "remove", "dashes": "remove"}, "Chapter 2\n= = = Alice = = =\nYes--no.\n", "Yes no.\n"),
        ({}, "snake_case_name and __init__ stay\n", "snake_case_name and __init__ stay\n"),
    ],
    "open_subtitles": [
        ({}, "12\n00:01:02,345 --> 00:01:04,000\n- Hello.\n-5 degrees\n", "Hello.\n-5 degrees\n"),
        ({}, "Hello.\nSubtitles by Ann\nSynced & corrected by Bob\nTranslated by: C\nBye.\n", "Hello.\nBye.\n"),
        ({}, "www.site.org\nIt was translated by monks.\n", "It was translated by monks.\n"),
        ({}, "<i>Run!</i> {\\an8}Now [door slams] (LAUGHS) (softly) \u266a La \u266a\n", "Run! Now (softly) La\n"),
        ({}, "JOHN: No.\n", "JOHN: No.\n"),
        ({"labels": "remove"}, "JOHN: No.\nMRS. HILL: Yes: no.\nNote: stays\n", "No.\nYes: no.\nNote: stays\n"),
    ],
    "simple_wiki": [
        (
            {},
            "= = = Cat = = =\nA '''cat''' ( ) is an [[animal|pet]].<ref name=\"a\">Book\npage</ref>[1]\n",
            "= = = Cat = = =\nA cat is an pet.\n",
        ),
        (
            {},
            "{{Infobox|x={{y}}}}\n[[File:Cat.jpg|thumb]]See https://a.b/c?d and [http://x.y the site].\n",
            "\nSee and the site.\n",
        ),
        ({"headings": "sections"}, "= = = Cat = = =\n== Food ==\nFish.\n", "= = = Cat = = =\nFish.\n"),
        ({}, "f(x) &lt; 3, (see below), x[i] == y\n", "f(x) < 3, (see below), x[i] == y\n"),
    ],
    "switchboard": [
        ({}, "A:\tUh, {F uh, } [ I, + I ] go /\nB:\t<laughter> Okay .\n", "A:\tUh, uh, I, I go\nB:\tOkay.\n"),
        ({"labels": "remove", "fillers": "remove"}, "A:\tUh, I, um, go.\nB.12: Yes.\n", "I, go.\nYes.\n"),
        ({"labels": "remove"}, "@A.1: Hi and/or bye.\nABBA: no\n", "Hi and/or bye.\nABBA: no\n"),
    ],
}


def made(name: str, settings: dict[str, Any]) -> Cleaning:
    cleaning = cleaning_of(Clean.model_validate({"name": name, **settings}), "any")
    assert cleaning
    return cleaning


@pytest.mark.parametrize(("name", "number"), [(name, k) for name, cases in CASES.items() for k in range(len(cases))])
def test_a_cleaner_removes_what_its_settings_ask_for_and_counts_every_character(name: str, number: int) -> None:
    settings, before, after = CASES[name][number]
    dropped: Counter[str] = Counter()
    text = made(name, settings).clean(before, dropped, "any")
    assert text == after
    assert sum(dropped.values()) == len(before) - len(after) and "other characters" not in dropped
    assert made(name, settings).clean(text, Counter(), "any") == text  # what is clean stays as it is


def test_every_source_of_the_challenge_has_a_cleaner_of_its_name() -> None:
    assert modules("cleaners") == sorted(CASES)
    assert all(cleaning_of(Clean(name="auto"), name) for name in CASES)
    assert cleaning_of(Clean(name="auto"), "wikitext") is None and cleaning_of(Clean(name="none"), "childes") is None


@pytest.mark.parametrize("name", CASES)
def test_text_is_cleaned_alike_as_a_whole_and_line_by_line(name: str) -> None:
    lines = [line for _, before, _ in CASES[name] for line in before.splitlines(keepends=True) if line.strip()]
    # What spans several lines is removed as a whole only.
    lines = [line for line in lines if not re.search(r"<ref|page</ref|Illustration|on a wall|^%|^\t|-->|^12$", line)]
    cleaner = made(name, {})
    whole = cleaner.clean("".join(lines), Counter(), "any")
    parts = [cleaner.clean(line, Counter(), "any") for line in lines]
    assert whole.split() == "".join(parts).split()


def test_a_line_goes_as_a_whole_wherever_the_pattern_matches() -> None:
    rule = Line("x", re.compile("no"))
    assert rule("\nyes\nno no\nknown\nyes") == "\nyes\nyes"
    assert rule("\nno") == "" and rule("\nyes\n") == "\nyes\n"
