"""The options of the verb are the fields of the request."""

import dataclasses
from typing import get_type_hints

from tutelage.data.request import Options, Request, settings_among


def test_the_options_of_the_verb_are_the_fields_of_the_request():
    assert {"sources": Request.__annotations__["sources"], **get_type_hints(Options)} == get_type_hints(Request)
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(Request)[1:])


def test_settings_of_targets_are_distinguished_from_sources():
    texts, settings = settings_among(["a.txt", "teacher=runs/big", "nursery:words=5,seed=2", "targets=hidden"])
    assert texts == ["a.txt", "nursery:words=5,seed=2"]
    assert settings == {"teacher": "runs/big", "targets": "hidden"}
