"""A run as code that anybody can paste: for curl, Python and JavaScript, without anything to install. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from polyport.server.console.filled import shown_json

TOKEN: Final = "POLYPORT_TOKEN"  # noqa: S105  the name of a variable of the environment
SECRET: Final = "YOUR_SECRET"  # noqa: S105  a stand-in


def without_secrets(names: frozenset[str], data: Any, stand_in: str | None = SECRET) -> Any:
    """The input with a stand-in for each value under these names, at any depth; with ``None`` such values are left out."""
    if isinstance(data, dict):
        kept = data if stand_in is not None else {name: value for name, value in data.items() if name not in names}
        return {
            name: stand_in if name in names and value not in (None, "") else without_secrets(names, value, stand_in)
            for name, value in kept.items()
        }
    return [without_secrets(names, each, stand_in) for each in data] if isinstance(data, list) else data


def snippets(url: str, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The call in each language: its name and the code."""
    return [("curl", curl(url, body)), ("Python", python(url, body)), ("JavaScript", javascript(url, body))]


def curl(url: str, body: Mapping[str, Any]) -> str:
    """For a shell. The body stands in a quoted here-document: the shell changes nothing in it."""
    return (
        f'curl --fail-with-body -X POST "{url}" \\\n'
        f'  -H "Authorization: Bearer ${TOKEN}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  --data-binary @- <<'JSON'\n{shown_json(body)}\nJSON\n"
    )


def python(url: str, body: Mapping[str, Any]) -> str:
    """For Python as it comes. What was refused is shown with what the server says of it."""
    return (
        "import json\nimport os\nimport sys\nfrom urllib.error import HTTPError\nfrom urllib.request import Request, urlopen\n\n"
        f"body = {python_literal(body)}\n"
        "request = Request(\n"
        f'    "{url}",\n'
        "    data=json.dumps(body).encode(),\n"
        f'    headers={{"Authorization": f"Bearer {{os.environ[\'{TOKEN}\']}}", "Content-Type": "application/json"}},\n'
        ")\n"
        "try:\n"
        "    with urlopen(request) as answer:\n"
        "        print(json.dumps(json.load(answer), indent=2))\n"
        "except HTTPError as error:\n"
        '    sys.exit(f"{error.code}: {error.read().decode()}")\n'
    )


def javascript(url: str, body: Mapping[str, Any]) -> str:
    """For Node.js and other servers: a token is nothing for a browser."""
    return (
        f'const answer = await fetch("{url}", {{\n'
        '  method: "POST",\n'
        f'  headers: {{ Authorization: `Bearer ${{process.env.{TOKEN}}}`, "Content-Type": "application/json" }},\n'
        f"  body: JSON.stringify({_indented(shown_json(body))}),\n"
        "});\n"
        "console.log(JSON.stringify(await answer.json(), null, 2));\n"
        "if (!answer.ok) process.exitCode = 1;\n"
    )


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def python_literal(value: Any, indent: str = "") -> str:
    """A JSON value as Python writes it; texts keep to ASCII, so nothing in them turns the direction of the code."""
    inner = indent + "    "
    if isinstance(value, dict) and value:
        members = "".join(f"{inner}{_quoted(name)}: {python_literal(each, inner)},\n" for name, each in value.items())
        return f"{{\n{members}{indent}}}"
    if isinstance(value, list) and value:
        members = "".join(f"{inner}{python_literal(each, inner)},\n" for each in value)
        return f"[\n{members}{indent}]"
    if isinstance(value, str):
        return _quoted(value)
    return _number(value) if isinstance(value, Decimal) else repr(value)


def _number(value: Decimal) -> str:
    """A number with all its digits: as a text where a float would lose some. Fields that take numbers take such texts."""
    return str(float(value)) if Decimal(repr(float(value))) == value else f'"{value}"'


def _quoted(text: str) -> str:
    return json.dumps(text) if all(ord(char) <= 0xFFFF for char in text) else ascii(text)
