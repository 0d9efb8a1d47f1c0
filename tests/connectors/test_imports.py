"""Real descriptions of 41 services become partners: every operation can be called, the folder has no fault, and what has a shape has fields."""

import os
from datetime import date
from pathlib import Path

import pytest

from polyport.importers.documents import Refused
from polyport.importers.run import Import, import_document
from polyport.importers.writing import write_folder
from polyport.manifest.load import load_partner

CORPUS = Path(os.environ.get("POLYPORT_CORPUS", "nowhere"))
DOCUMENTS = sorted(path for path in CORPUS.rglob("*") if path.suffix in {".json", ".yaml", ".yml"}) if CORPUS.is_dir() else []
# Parts that others refer to, and the format of one community: refused with a reason.
NO_DESCRIPTIONS = {"snowflake/common.yaml", "vonage/common/common_errors.yml", "telegram/telegram-bot-api.custom.json"}

# Large documents take three times as long while coverage is measured, and what they pass is measured by small ones.
pytestmark = pytest.mark.no_cover

if not DOCUMENTS:
    pytest.skip("POLYPORT_CORPUS names no folder with descriptions", allow_module_level=True)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(CORPUS).as_posix())
def test_a_real_description_becomes_a_partner_without_faults(path: Path, tmp_path: Path) -> None:
    wanted = Import(content=path.read_bytes(), slug="imported", today=date(2026, 11, 24), folder=path.parent)
    if path.relative_to(CORPUS).as_posix() in NO_DESCRIPTIONS:
        with pytest.raises(Refused, match="no OpenAPI"):
            import_document(wanted)
        return
    found = import_document(wanted)
    counts = found.report["counts"]
    assert counts["actions"] == counts["described"] > 0
    assert counts["withJson"] <= max(2, counts["actions"] * 0.6), "too many operations have a field for JSON"
    write_folder(tmp_path / "imported", found.files)
    loaded = load_partner(tmp_path / "imported")
    assert [str(problem) for problem in loaded.problems[:5]] == []
    assert loaded.partner is not None
    assert len(loaded.partner.actions) == counts["actions"]
