"""Templates: what is left out, what keeps its type, what cannot leave its slot, and what hostile templates cost."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds import little_time
from polyport.kinds.filters import FILTERS
from polyport.paths import MISSING
from polyport.template import TEXT_LIMIT, RenderFault, TemplateError, compile_path, compile_value, to_text


def render(source, **scope):
    return compile_value(source, FILTERS).render(scope)


def path(source, **scope):
    return compile_path(source, FILTERS).render(scope)


@pytest.mark.parametrize("value", ["x", "", 0, 1, True, False, None, Decimal("1.10"), [], {}, [1], {"a": 1}, 10**30])
def test_a_placeholder_that_is_the_whole_value_keeps_its_type(value):
    found = render({"key": "{{x}}"}, x=value)["key"]
    assert found == value
    assert type(found) is type(value)


def test_text_that_looks_like_a_number_stays_text():
    assert render({"key": "{{x}}"}, x="007") == {"key": "007"}


def test_a_missing_value_leaves_out_its_key():
    assert render({"a": "{{x}}", "b": "{{y}}"}, y=1) == {"b": 1}


def test_null_is_kept_apart_from_missing():
    assert render({"a": "{{x}}"}, x=None) == {"a": None}


def test_an_object_whose_members_are_all_missing_is_left_out_but_the_root_stays():
    assert render({"outer": {"inner": {"x": "{{x}}"}}}) == {}
    assert render({"a": 1, "outer": {"x": "{{x}}"}}) == {"a": 1}


def test_a_list_element_that_is_missing_is_left_out_and_a_list_of_nothing_too():
    assert render({"l": ["{{x}}", "{{y}}"]}, y=2) == {"l": [2]}
    assert render({"l": ["{{x}}"]}) == {}
    assert render(["{{x}}"]) == []


def test_an_empty_list_that_was_given_is_sent():
    assert render({"l": "{{x}}"}, x=[]) == {"l": []}


def test_constants_are_sent_as_they_stand_even_when_empty():
    source = {"a": {}, "b": [], "c": None, "d": "", "e": {"f": []}}
    assert render(source) == source
    assert compile_value(source, {}).constant


def test_a_text_with_a_missing_or_null_part_is_left_out_as_a_whole():
    assert render({"a": "Hello {{x}}!"}) == {}
    assert render({"a": "Hello {{x}}!"}, x=None) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (True, "true"), (False, "false"), (Decimal("1.10"), "1.10"), (1.5, "1.5"), ("é", "é"), (Decimal("1E+3"), "1000")],
)
def test_scalars_are_written_into_texts(value, text):
    assert render("<{{x}}>", x=value) == f"<{text}>"


@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_lists_and_objects_cannot_stand_inside_a_text(value):
    with pytest.raises(RenderFault, match="use join or json"):
        render("<{{x}}>", x=value)


def test_a_number_of_absurd_size_is_refused_inside_a_text():
    with pytest.raises(RenderFault):
        to_text(10**5000)
    assert to_text(Decimal("1E+999999")) == "1E+999999"


def test_a_key_may_be_a_placeholder_and_is_left_out_with_it():
    assert render({"{{k}}": "{{v}}"}, k="a", v=1) == {"a": 1}
    assert render({"{{k}}": "{{v}}"}, v=1) == {}
    assert render({"x_{{k}}": "{{v}}"}, k=3) == {}


def test_the_members_of_an_object_join_those_around_them_and_what_is_written_out_goes_first():
    source = {"...": "{{custom}}", "id": "{{id}}", "size": 2}
    custom = {"id": 7, "size": 1, "colour": "red"}
    assert render(source, custom=custom, id=3) == {"id": 3, "size": 2, "colour": "red"}
    assert render(source, custom=custom) == {"id": 7, "size": 2, "colour": "red"}
    assert custom == {"id": 7, "size": 1, "colour": "red"}, "the value itself is left as it was"
    assert render(source, id=3) == render(source, id=3, custom=None) == {"id": 3, "size": 2}


def test_an_object_of_nothing_but_missing_members_is_left_out():
    assert render({"outer": {"...": "{{custom}}"}, "id": 1}) == {"id": 1}


def test_an_object_that_says_so_is_there_even_if_it_is_empty():
    source = {"a": {"...": {}, "b": "{{b}}"}, "c": {"d": "{{b}}"}}
    assert render(source) == {"a": {}}
    assert render(source, b=1) == {"a": {"b": 1}, "c": {"d": 1}}


def test_a_constant_object_may_join_too():
    assert render({"...": {"a": 1}, "b": 2}) == {"a": 1, "b": 2}


@pytest.mark.parametrize("value", ["text", ["list"], 7, True])
def test_only_an_object_can_join(value):
    with pytest.raises(RenderFault, match="has to be an object"):
        render({"...": "{{value}}"}, value=value)


def test_braces_can_be_written_as_literals_and_around_placeholders():
    assert render('{{"{{"}} {{x}}', x=1) == "{{ 1"
    assert render("{{{x}}}", x=1) == "{1}"
    assert render('{{ "a}}b" }}') == "a}}b"


def test_literals_words_and_numbers():
    assert render({"a": '{{"t"}}', "b": "{{3}}", "c": "{{-1.50}}", "d": "{{true}}", "e": "{{null}}"}) == {
        "a": "t", "b": 3, "c": Decimal("-1.50"), "d": True, "e": None,
    }  # fmt: skip


def test_names_reach_into_values():
    scope = {"row": {"items": [{"id": 1}, {"id": 2}], "a.b": 3}}
    assert render('{{row.items[0].id}}-{{row.items[-1].id}}-{{row["a.b"]}}', **scope) == "1-2-3"
    assert render("{{row.items[*].id}}", **scope) == [1, 2]
    assert render("{{row.nothing.there}}", **scope) is MISSING


def test_filters_are_not_asked_for_what_is_missing_unless_they_take_it():
    assert render("{{x | upper}}") is MISSING
    assert render('{{x | default: "d"}}') == "d"
    assert render('{{x | default: "d" | upper}}') == "D"
    assert render("{{x | default: y}}") is MISSING
    assert render("{{x | join: y}}", x=["a", "b"]) is MISSING


def test_a_filter_that_does_not_take_the_value_says_so_without_the_value():
    with pytest.raises(RenderFault) as caught:
        render("{{x | int}}", x="s3cret")
    assert "s3cret" not in str(caught.value)


def test_a_filter_fault_of_any_usual_kind_becomes_a_render_fault():
    def broken(_value):
        raise KeyError("x")

    with pytest.raises(RenderFault, match='"broken" does not take'):
        compile_value("{{x | broken}}", {"broken": broken}).render({"x": 1})


def test_the_names_a_template_reads_are_known():
    found = compile_value({"a": "{{x.y}} {{z}}", "{{k}}": ["{{x | default: w}}"]}, FILTERS)
    assert found.names == {("x", "y"), ("z",), ("k",), ("x",), ("w",)}
    assert not found.constant


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{x", "not closed"),
        ("x}} {{y}}", "not closed"),
        ("{{x}} }}", "not closed"),
        ("{{a{b}}", "not closed"),
        ("{{}}", "lacks a name"),
        ("{{ | upper}}", "lacks a name"),
        ("{{x upper}}", "a filter has to follow"),
        ("{{x | }}", "a filter has to follow"),
        ("{{x | 3}}", "a filter has to follow"),
        ("{{x | nope}}", '"nope" is not a filter; there are: '),
        ("{{x | default: }}", "lacks a name or a value"),
        ("{{x | default: 1, }}", "lacks a name or a value"),
        ("{{x ? y}}", "cannot be read at"),
        ("{{x.y.}}", "cannot be read at"),
        ('{{ "\\q" }}', "no text in JSON"),
        ('{{ "a\nb" }}', "no text in JSON"),
        ('{{ x["\\q"] }}', "no text in JSON"),
        ("{{" + ".".join(["a"] * 40) + "}}", "at most 32 steps"),
        ("{{" + "9" * 5000 + "}}", "cannot be read"),
        ("{{x" + " | text" * 13 + "}}", "at most 12 filters"),
    ],
)
def test_a_template_that_cannot_be_compiled_is_answered_with_a_sentence(source, words):
    with pytest.raises(TemplateError) as caught:
        compile_value({"a": source}, FILTERS)
    assert words in str(caught.value)


@pytest.mark.parametrize("depth", [40, 5000])
def test_a_template_that_nests_too_deep_is_refused(depth):
    source = "{{x}}"
    for _ in range(depth):
        source = [source]
    with pytest.raises(TemplateError, match="nests at most"):
        compile_value(source, {})


def test_a_text_cannot_grow_beyond_its_limit():
    with pytest.raises(RenderFault, match="beyond its limit"):
        render("{{x}}{{x}}", x="a" * (TEXT_LIMIT // 2 + 1))


@pytest.mark.parametrize(
    "source",
    [
        "{{" * 100_000,
        "}}" * 100_000,
        "{" * 200_000,
        '{{\\"' * 50_000,
        '{{"\\' * 50_000,
        '{{"' * 66_000,
        "{{" + '"\\"' * 66_000,
        "{{x" + " " * 200_000,
        "{{x | default: " + "1," * 90_000 + "1}}",
        "{{" + "a." * 90_000 + "}}",
        "{{x}}" * 40_000,
        "{{" + '"a"' * 60_000 + "}}",
    ],
    ids=lambda source: source[:12],
)
def test_nasty_templates_cost_time_in_proportion_to_their_length(source):
    with little_time(), contextlib.suppress(TemplateError):
        compile_value(source, FILTERS)


# Paths


def test_a_value_cannot_leave_its_path_segment():
    assert path("/things/{{x}}/end", x="a/b?c#d%2e") == "/things/a%2Fb%3Fc%23d%252e/end"


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_cannot_be_a_dot_segment(value):
    with pytest.raises(RenderFault, match="dot segment"):
        path("/things/{{x}}/end", x=value)


def test_two_values_cannot_make_a_dot_segment_together():
    with pytest.raises(RenderFault, match="dot segment"):
        path("/things/{{x}}{{x}}", x=".")
    with pytest.raises(RenderFault, match="dot segment"):
        path("/things/.{{x}}", x=".")


def test_a_list_is_as_many_segments_as_it_has_elements():
    assert path("/files/{{x}}/end", x=["a b", "", "c?d/e"]) == "/files/a%20b//c%3Fd%2Fe/end"
    assert path("/files/{{x | segments}}", x="/a//b/") == "/files//a//b/"
    with pytest.raises(RenderFault, match="may not be empty"):
        path("/files/{{x}}", x=[])
    with pytest.raises(RenderFault, match="may not be empty"):
        path("/files/{{x | segments}}", x="")


@pytest.mark.parametrize("value", ["..", "a/../b", "a/.", "./a"])
def test_the_segments_of_a_value_cannot_climb(value):
    with pytest.raises(RenderFault, match="dot segment"):
        path("/files/{{x | segments}}", x=value)


def test_a_path_segment_cannot_be_empty():
    with pytest.raises(RenderFault, match=r"\{\{x\}\} stands in the path and may not be empty"):
        path("/things/{{x}}", x="")


def test_a_path_without_its_value_is_missing():
    assert path("/things/{{x}}") is MISSING
    assert path("/things/{{x}}", x=None) is MISSING


def test_a_constant_path_is_known_to_be_one():
    assert compile_path("/things", {}).constant
    assert not compile_path("/things/{{x}}", {}).constant


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=40))
def test_whatever_a_value_is_the_path_has_as_many_segments_as_its_template(value):
    try:
        found = path("/a/{{x}}/b", x=value)
    except RenderFault:
        assert value in {"", ".", ".."}
    else:
        segments = found.split("/")
        assert len(segments) == 4
        assert found.isascii()
        assert not set("?#\\ \r\n") & set(found)


SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=10)


@given(VALUES, VALUES)
def test_rendering_any_values_gives_a_value_or_a_render_fault(one, two):
    template = compile_value({"a": "{{x}}", "b": ["{{y.z}}", "{{x}}-{{y}}"], "{{y}}": {"c": "{{x | json}}"}}, FILTERS)
    try:
        found = template.render({"x": one, "y": two})
    except RenderFault:
        return
    assert found["a"] == one
