"""Filters of the template language: a fixed set of pure, bounded functions, one file per kind of value.

A filter takes the value before the ``|`` and its arguments, and gives a value; it raises ``RenderFault``, a ``ValueError`` whose sentence never repeats a value, when
the value is none of its kind. It sees nothing else: no clock, no randomness, no files, no network. A filter marked ``takes_missing`` is also called where
there is no value. Texts, lists, digits and nesting are bounded (``limits``), and the work grows no faster than the values.

Every filter's docstring says what it gives, its arguments, and an example over ``SAMPLES``; the reference is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.kinds.filters.addresses import ADDRESSES
from polyport.kinds.filters.chances import CHANCES
from polyport.kinds.filters.data import DATA
from polyport.kinds.filters.documents import DOCUMENTS
from polyport.kinds.filters.encodings import ENCODINGS
from polyport.kinds.filters.expressions import EXPRESSIONS
from polyport.kinds.filters.lists import LISTS
from polyport.kinds.filters.numbers import NUMBERS
from polyport.kinds.filters.tables import TABLES
from polyport.kinds.filters.text import TEXT
from polyport.kinds.filters.times import TIMES
from polyport.template import Filters

FILTERS: Final[Filters] = {
    **TEXT, **EXPRESSIONS, **NUMBERS, **TIMES, **DATA, **LISTS, **TABLES, **DOCUMENTS, **ENCODINGS, **ADDRESSES, **CHANCES,
}  # fmt: skip

SAMPLES: Final[Mapping[str, Any]] = {
    "document": {
        "version": 1,
        "type": "doc",
        "content": [{"type": "paragraph", "content": [{"type": "text", "text": "Hi "}, {"type": "mention", "attrs": {"text": "Ada"}}]}],
    },
    "numbers": [1, 2],
    "items": ["b", "a", "b"],
    "person": {"name": "Ada", "age": 36},
    "rows": [{"name": "color", "value": "red"}, {"name": "color", "value": "blue"}, {"name": "size", "value": "L"}],
    "more": [{"name": "size", "unit": "EU"}],
}
