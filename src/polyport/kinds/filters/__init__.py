"""Filters of the template language: a fixed set of pure, bounded functions, one file per kind of value.

A filter takes the value before the ``|`` and its arguments, and gives a value; it raises ``ValueError`` (or a relative) when the value is none of its kind.
It sees nothing else: no clock, no randomness, no files, no network. A filter marked ``takes_missing`` is also called where there is no value.
"""

from __future__ import annotations

from typing import Final

from polyport.kinds.filters.data import DATA
from polyport.kinds.filters.numbers import NUMBERS
from polyport.kinds.filters.text import TEXT
from polyport.kinds.filters.times import TIMES
from polyport.template import Filters

FILTERS: Final[Filters] = {**TEXT, **NUMBERS, **TIMES, **DATA}
