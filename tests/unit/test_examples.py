"""The examples of the language's reference: the good ones are taken, the bad ones are refused with just the sentence that stands there."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from polyport import manifest
from polyport.cli.language import examples_of, language_models
from polyport.manifest.sentences import describe
from polyport.manifest.source import read_source

MODELS = {model.__name__: model for model in language_models()}
GOOD = [pytest.param(name, text, id=f"{name}-{number}") for name in MODELS for number, text in enumerate(examples_of(name)[0])]
BAD = [pytest.param(name, *wrong, id=f"{name}-{number}") for name in MODELS for number, wrong in enumerate(examples_of(name)[1])]


@pytest.mark.parametrize("name", MODELS)
def test_every_part_of_the_language_is_shown_right_and_wrong(name):
    good, bad = examples_of(name)
    assert good, f"manifest/examples/{name}.yaml: add how it is written"
    assert bad, f"manifest/examples/{name}.yaml: add how it is not, with what lint says"


def test_every_file_of_examples_belongs_to_a_part():
    assert {path.stem for path in (Path(manifest.__file__).parent / "examples").glob("*.yaml")} == set(MODELS)


@pytest.mark.parametrize(("name", "text"), GOOD)
def test_a_good_example_is_taken(name, text):
    MODELS[name].model_validate(read_source("example.yaml", text.encode()).data, by_alias=True, by_name=False)


@pytest.mark.parametrize(("name", "text", "because"), BAD)
def test_a_bad_example_is_refused_for_the_reason_that_is_given(name, text, because):
    source = read_source("example.yaml", text.encode())
    with pytest.raises(ValidationError) as caught:
        MODELS[name].model_validate(source.data, by_alias=True, by_name=False)
    assert [problem.message for problem in describe(MODELS[name], source, caught.value.errors(include_url=False))] == [because]
