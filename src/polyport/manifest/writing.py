"""Files of the language as they are written: YAML in the plain subset, the same data always as the same text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # whichever there is
    """YAML without anchors: what stands in two places is written twice."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Never an alias."""
        return True


def yaml_text(data: Mapping[str, Any]) -> str:
    """A file of the language."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=160, default_flow_style=False))
