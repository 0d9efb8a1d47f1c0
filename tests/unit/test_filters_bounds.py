import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bounds import examples
from polyport.kinds.filters import FILTERS
from polyport.kinds.filters.limits import (
    ARGUMENT_LIMIT,
    DEPTH_LIMIT,
    ITEM_LIMIT,
    TEXT_LIMIT,
    argument_of,
    bytes_of,
    choice_of,
    list_of,
    object_of,
    rows_of,
    shallow,
    text_of,
    whole_number_of,
)
from polyport.kinds.filters.markup import readable
from polyport.paths import MISSING
from polyport.template import RenderFault, compile_value

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.floats()
    | st.text(max_size=60)
    | st.sampled_from(
        ["2026-11-24", "2026-11-24T09:30:00Z", "%Y-%m-%d", "Europe/Paris", "days", "month", "half_up", "1e400", "+442079460000", "[1]"]
    )
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "value", "a"]), inner, max_size=3),
    max_leaves=8,
)
_NAMES = sorted(FILTERS)


def _size(value):
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_size(inner) for inner in value.values()) + len(value)
    if isinstance(value, list):
        return sum(_size(inner) for inner in value) + len(value)
    return len(str(value))


@settings(max_examples=examples(600), deadline=None)
@given(name=st.sampled_from(_NAMES), value=_VALUES, arguments=st.lists(_VALUES, max_size=3))
def test_a_filter_in_a_template_gives_a_json_value_or_a_render_fault_whatever_it_gets(name, value, arguments):
    scope = {"value": value, **{f"a{index}": argument for index, argument in enumerate(arguments)}}
    tail = ": " + ", ".join(f"a{index}" for index in range(len(arguments))) if arguments else ""
    template = compile_value(f"{{{{value | {name}{tail}}}}}", FILTERS)
    try:
        result = template.render(scope)
    except RenderFault:
        return
    assert result is MISSING or result is None or isinstance(result, str | int | Decimal | float | list | dict)
    # Hostile input of a few hundred characters never becomes more than a padded text or the digits of a power.
    assert _size(result) <= 400 * (_size(value) + _size(arguments) + 1) + 20_000


@settings(max_examples=examples(600), deadline=None)
@given(name=st.sampled_from(_NAMES), value=st.text(alphabet="qx", min_size=12, max_size=20), arguments=st.lists(_SCALARS, max_size=3))
def test_the_sentence_of_a_fault_never_repeats_the_value(name, value, arguments):
    assert value not in _sentence(name, value, arguments)


def _sentence(name, value, arguments):
    try:
        FILTERS[name](value, *arguments)
    except RenderFault as fault:
        return str(fault)
    except TypeError as error:
        # A wrong count of arguments; the template turns it into a fault that names the filter.
        return str(error)
    return ""


@pytest.mark.parametrize(
    "name",
    sorted(set(_NAMES) - {"default", "otherwise", "length", "json", "item", "at", "contains", "e164", "phone", "keys", "from_object"}),
)
def test_no_filter_gives_a_text_beyond_the_limit_even_for_one_that_grows(name):
    hostile = "ŉ" * TEXT_LIMIT
    arguments = {"replace": ("ŉ", "ab"), "join": ("x",), "slice": (0,), "case": ("upper",), "encode": ("url_encode",), "pad": (10,)}
    try:
        result = FILTERS[name](hostile, *arguments.get(name, ()))
    except (RenderFault, TypeError):
        return
    assert _size(result) <= TEXT_LIMIT + 100  # the frame of a document around its text


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("upper", "ŉ" * TEXT_LIMIT, ()),
        ("title", "ŉ " * (TEXT_LIMIT // 2), ()),
        ("capitalize", "ŉ" + "x" * (TEXT_LIMIT - 1), ()),
        ("lower", "İ" * TEXT_LIMIT, ()),
        ("replace", "a" * TEXT_LIMIT, ("a", "bb")),
        ("replace", "a" * 10, ("a", "b" * (TEXT_LIMIT // 9))),
        ("join", ["a" * 1_000] * 1_100, ("",)),
        ("join", ["", ""] * 600, ("x" * 1_000,)),
        ("json", ["\x00" * 200_000], ()),
        ("base64", "a" * TEXT_LIMIT, ()),
        ("url_encode", "ü" * (TEXT_LIMIT // 2), ()),
        ("trim", "a" * (TEXT_LIMIT + 1), ()),
        ("split", "," * ITEM_LIMIT, ()),
        ("rows", "\n" * ITEM_LIMIT, ()),
        ("rows", ["a"] * (ITEM_LIMIT + 1), ()),
        ("first", ["a"] * (ITEM_LIMIT + 1), ()),
        ("keys", {str(index): 1 for index in range(ITEM_LIMIT + 1)}, ()),
        ("merge", [{"k": index} for index in range(ITEM_LIMIT)], ([{"k": -1}], "k")),
        ("slug", "a" * 1_001, ()),
        ("pad", "a", (10_001,)),
        ("power", 10, (101,)),
        ("power", "9.9e300", (50,)),
        ("multiply", "1" * 300, ("1" * 300,)),
        ("add", "1e400", ("1e-400",)),
        ("phone", "1" * 65, ("GB",)),
        ("parse_json", "[" * 100_000 + "]" * 100_000, ()),
        ("parse_json", '{"a":' * 65 + "1" + "}" * 65, ()),
        ("parse_json", "1e401", ()),
        ("parse_json", "1e99999999999999999999", ()),
        ("parse_json", "0." + "1" * 1_000, ()),
        ("parse_json", "1" * 401, ()),
        ("date", "2026-11-24", ("%Y" * 101,)),
        ("date", "2026-11-24", ("%Y", "a" * (ARGUMENT_LIMIT + 1))),
        ("add_time", "2026-11-24", (10**13, "seconds")),
        ("int", "1" * 402, ()),
        ("int", 10**401, ()),
        ("number", -(10**401), ()),
        ("round", "1." + "1" * 400, (1,)),
        ("divide", "1e400", ("1e-400",)),
    ],
)
def test_what_would_grow_beyond_a_limit_is_refused(name, value, arguments):
    with pytest.raises(RenderFault):
        FILTERS[name](value, *arguments)


def test_a_value_at_the_limits_passes():
    nested = 1
    for _ in range(DEPTH_LIMIT):
        nested = [nested]
    assert shallow(nested) is nested
    with pytest.raises(RenderFault, match="64 levels"):
        shallow([nested])
    assert text_of("a" * TEXT_LIMIT)
    assert len(list_of([0] * ITEM_LIMIT)) == ITEM_LIMIT
    assert argument_of("a" * ARGUMENT_LIMIT)
    assert len(FILTERS["split"]("," * (ITEM_LIMIT - 1))) == 0


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        (list_of, "a"),
        (rows_of, [1]),
        (object_of, []),
        (text_of, {}),
        (bytes_of, "\ud800"),
        (lambda value: whole_number_of(value, least=0, most=9), True),
        (lambda value: whole_number_of(value, least=0, most=9), "1"),
        (lambda value: whole_number_of(value, least=0, most=9), 10),
        (lambda value: choice_of(value, {"a": 1}, "word"), ["a"]),
        (lambda value: choice_of(value, {"a": 1}, "word"), "b"),
    ],
)
def test_a_value_of_another_kind_is_refused(reader, value):
    with pytest.raises(RenderFault):
        reader(value)


class _Counted(str):
    """A text that counts how many characters are taken out of it or searched through."""

    __slots__ = ("steps",)

    def __new__(cls, value):
        made = super().__new__(cls, value)
        made.steps = 0
        return made

    def __getitem__(self, place):
        found = super().__getitem__(place)
        self.steps += len(found)
        return found

    def find(self, mark, position=0):
        found = super().find(mark, position)
        self.steps += (len(self) if found < 0 else found) - position + 1
        return found

    def replace(self, _old, _new):
        return self

    def translate(self, _table):
        return self


@pytest.mark.parametrize(
    "piece", ["<", "<!", "<!--", "<!-- -->", "</", "<?", "<a ", "<a '", "<x '<b><x \"<b>", "<b>", "<br>", "<script>", "<script></", "<script>a</script>", "&#9", "&", "<aaaaaaaaaaaaaaaaaaaaaaaa"]
)  # fmt: skip
def test_html_is_read_in_one_pass_whatever_is_left_open(piece):
    steps = []
    for count in (500, 1_000):
        text = _Counted(piece * count)
        readable(text)
        steps.append(text.steps)
        assert text.steps <= 20 * len(text)
    assert steps[1] <= 2 * steps[0] + 100


@pytest.mark.parametrize(("pattern", "value"), [("%Y" + " " * 100, "2026" + " " * 900), ("%d%m%Y", "1" * 900), ("%S" * 2, "1" * 900)])
def test_a_hostile_pair_of_pattern_and_text_is_refused_at_once(pattern, value):
    with pytest.raises(RenderFault):
        FILTERS["parse_date"](value, pattern)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=9), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20))  # fmt: skip
def test_what_json_writes_parse_json_reads(value):
    assert FILTERS["parse_json"](FILTERS["json"](value)) == value
    assert json.loads(FILTERS["json"](value)) == value
