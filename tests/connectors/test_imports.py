"""Descriptions become partners: what generators of descriptions write is accepted by a strict mock server, and real documents load without a fault.

What holds for all real documents is shown by `make corpus`, which takes its time; here are the small ones.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from corpus.documents import corpus_files, prepare
from corpus.mock import program
from corpus.proof import prove
from corpus.table import TYPED, own_faults, short_of
from node_packages import NotThere
from polyport.importers.documents import Refused

CORPUS = Path(os.environ.get("POLYPORT_CORPUS", "nowhere"))
SMALL = 160_000
DOCUMENTS = [path for path in corpus_files(CORPUS) if path.stat().st_size < SMALL] if CORPUS.is_dir() else []
HANDMADE = corpus_files(Path(__file__).parents[1] / "corpus" / "handmade")
TRIED = ("google-tasks/tasks.v1.json", "sendgrid/tsg_mc_lists_v3.yaml", "vonage/verify.yml")
# Parts that others refer to: refused with a reason.
NO_DESCRIPTIONS = {"snowflake/common.yaml", "vonage/common/common_errors.yml"}

# Large documents take three times as long while coverage is measured, and what they pass is measured by small ones.
pytestmark = pytest.mark.no_cover
needs_corpus = pytest.mark.skipif(not DOCUMENTS, reason="POLYPORT_CORPUS names no folder with descriptions: no real document is imported")


@pytest.fixture(scope="module")
def _mock():
    try:
        program()
    except NotThere as error:
        if os.environ.get("CORPUS_TESTS") == "required":
            raise
        pytest.skip(f"THE MOCK SERVER IS NOT THERE: {error}")


@pytest.mark.usefixtures("_mock")
@pytest.mark.parametrize("path", HANDMADE, ids=lambda path: path.stem)
def test_what_generators_write_is_called_as_described(path: Path) -> None:
    found = prove(path, path.name, inputs=2)
    assert (found.refused, found.crash, found.mock) == ("", "", "")
    assert [one.unsent + one.refused for one in found.outcomes if one.unsent or one.refused] == []
    assert [one.name for one in found.outcomes if one.stopped is False] == []
    assert own_faults(found) == []
    known = {
        "parameters.yaml": {"type": 4},
        "cases.yaml": {"format": 1, "type": 2},
        "support.yaml": {"type": 2},
    }  # objects joined by commas, lists of texts or objects
    assert found.broken.through == known.get(path.name, {})
    assert found.broken.refused > found.broken.tried / 4


@needs_corpus
@pytest.mark.usefixtures("_mock")
def test_small_real_documents_are_called_as_described() -> None:
    proofs = [prove(CORPUS / name, name, inputs=2) for name in TRIED]
    assert short_of(proofs) == []
    assert sum(proof.broken.refused for proof in proofs) > 100


@needs_corpus
def test_real_documents_become_partners_without_faults_and_with_typed_fields(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for number, path in enumerate(DOCUMENTS):
        if path.relative_to(CORPUS).as_posix() in NO_DESCRIPTIONS:
            with pytest.raises(Refused, match="no OpenAPI"):
                prepare(path, tmp_path)
            continue
        trial = prepare(path, tmp_path / str(number))
        told = trial.imported.report["counts"]
        assert len(trial.partner.actions) == told["actions"] == told["described"] > 0
        counts.update({"actions": told["actions"], "json": told["withJson"]})
    assert counts["json"] <= counts["actions"] * (1 - TYPED), "too many operations have a field for JSON where the document says more"
