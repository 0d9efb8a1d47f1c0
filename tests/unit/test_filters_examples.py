import inspect
import json
import re
from decimal import Decimal

import pytest

from polyport.kinds.filters import FILTERS, SAMPLES
from polyport.template import compile_value

_EXAMPLE = re.compile(r"``(\{\{.*?\}\})`` gives ``(.*?)``\.", re.DOTALL)


@pytest.mark.parametrize("name", FILTERS)
def test_the_example_of_every_filter_gives_what_its_docstring_says(name):
    found = _EXAMPLE.findall(inspect.getdoc(FILTERS[name]) or "")
    assert found, "a filter's docstring ends with: ``{{value | name}}`` gives ``JSON``."
    for template, expected in found:
        assert re.search(rf"\| {name}\b", template)
        assert compile_value(template, FILTERS).render(SAMPLES) == json.loads(expected, parse_float=Decimal)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_says_what_it_gives_in_one_paragraph_before_its_example(name):
    first = (inspect.getdoc(FILTERS[name]) or "").split("\n\n", maxsplit=1)[0]
    assert first.endswith((".", ")"))
    assert "gives ``" not in first
    assert len(first) <= 160
