"""What a model writes reaches terminal, page and card without control, escape and bidi characters."""

import tomllib

import pytest
import tomli_w

from tutelage.printable import all_printable, escaped, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve 日本 ‘x’ 👩‍👧\n\tend", "plain, naïve 日本 ‘x’ 👩‍👧\n\tend"),
        ("a\x1b[31;1mred\x1b[0m", "a\ufffdred\ufffd"),
        ("\x1b]0;title\x07after", "\ufffdafter"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\ufffdlink\ufffd"),
        ("\x1bPq#0\x1b\\x\x9b2Jy\x1bc", "\ufffdx\ufffdy\ufffd"),
        ("\x1b[", "\ufffd"),
        ("ab\x08\x00\x7f\x85c", "ab\ufffd\ufffd\ufffd\nc"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("user\u202etxt.exe\u2066\u200f\u061c", "user\ufffdtxt.exe\ufffd\ufffd\ufffd"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("tag\U000e0041\U000e0042", "tag\ufffd\ufffd"),
    ],
)
def test_unsafe_characters_leave_a_mark(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_unsafe_in_a_recipe_is_shown_as_toml_that_means_the_same() -> None:
    value = "run\u202e\x85\U000e0041\u200f, na\u00efve"
    shown = escaped(tomli_w.dumps({"about": value}))
    assert shown == 'about = "run\\u202E\\u0085\\U000E0041\\u200F, na\u00efve"\n'
    assert tomllib.loads(shown) == {"about": value}


def test_all_strings_of_a_json_value_become_printable() -> None:
    assert all_printable({"a\x1b[m": ["b\u202e", 1, None, {"c": "d\x00"}]}) == {
        "a\ufffd": ["b\ufffd", 1, None, {"c": "d\ufffd"}]
    }
