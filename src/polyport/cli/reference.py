"""The reference pages of the docs, made from the tables that the program itself works with.

Every function gives one whole page in Markdown. ``python -m polyport.cli.reference FOLDER`` writes all of them; a test keeps the written pages equal
to what is made here.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec
import typer
from typer.models import ArgumentInfo, OptionInfo

from polyport.cli.app import app
from polyport.cli.language import Part, language_parts
from polyport.cli.page import page, table
from polyport.cli.quality_pages import QUALITY_PAGES
from polyport.errors import TABLE, PartnerFault
from polyport.kinds.fields import ARRAY, TYPES
from polyport.kinds.filters import FILTERS
from polyport.settings import PREFIX

_KEY: Final = re.compile(r"[a-z][a-z0-9_]* =")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingEntry:
    """One setting as ``defaults.toml`` has it; ``section`` is empty at the top level, ``explanation`` where no comment stands above it."""

    section: str
    key: str
    default: Any
    explanation: str

    @property
    def environment_name(self) -> str:
        """The name of the setting in the environment."""
        return PREFIX + "_".join(part for part in (self.section, self.key) if part).upper()


def setting_entries() -> tuple[SettingEntry, ...]:
    """Every setting in the order of ``defaults.toml``, with the comment above it. Keys that follow each other share one comment."""
    entries: list[SettingEntry] = []
    comment: list[str] = []
    section, in_comment = "", False
    for line in files("polyport").joinpath("defaults.toml").read_text("utf-8").splitlines():
        if line.startswith("#"):
            comment = [*(comment if in_comment else ()), line.lstrip("# ")]
        elif line.startswith("["):
            section, comment = line.strip("[]"), []
        elif _KEY.match(line):
            [(key, default)] = tomllib.loads(line).items()
            entries.append(SettingEntry(section=section, key=key, default=default, explanation=" ".join(comment)))
        else:
            comment = []
        in_comment = line.startswith("#")
    return tuple(entries)


def errors_page() -> str:
    """Every wire code with its status, from ``errors.TABLE``."""
    rows = [
        (
            f"{row.status}",
            f"`{row.code}`",
            "yes" if row.retryable else "no",
            "the partner" if issubclass(kind, PartnerFault) else "this server",
            _doc(kind),
        )
        for kind, row in sorted(TABLE.items(), key=lambda item: (item[1].status, item[1].code))
    ]
    return page(
        "Errors",
        """Every failure is answered with its HTTP status and `{"success": false, "error": {"code", "message", "retryable", "requestId", ...}}`.
`code` is stable and for programs; `message` is a sentence for people and may change.
With `Accept: application/problem+json` the same facts come as problem details (RFC 9457).

"Repeat" says whether sending the same request again, later, can help and does no harm. An error may say otherwise for its own case: a run that
ended in doubt carries `"retryable": false` and `"outcome": "uncertain"`. `retryAfterMs` is how long to wait where that is known.""",
        table(("Status", "Code", "Repeat", "Said by", "Meaning"), rows),
    )


def settings_page() -> str:
    """Every setting with its name in the environment, its default and what it does, from ``defaults.toml``."""
    entries = setting_entries()
    parts = []
    for section, in_section in groupby(entries, key=lambda entry: entry.section):
        rows = []
        for explanation, sharing in groupby(in_section, key=lambda entry: entry.explanation):
            same = list(sharing)
            rows.append(
                (
                    ", ".join(f"`{entry.environment_name}`" for entry in same),
                    ", ".join(_default(entry.default) for entry in same),
                    explanation,
                )
            )
        parts.append((f"## {section}\n\n" if section else "") + table(("Environment", "Default", "What it does"), rows))
    return page(
        "Settings",
        f"""Order: the defaults below, then the file named by `{PREFIX}CONFIG` (TOML, the shape of `src/polyport/defaults.toml`), then `{PREFIX}*` in the
environment. In the file, `{PREFIX}CATALOG_PUBLIC` is `public` under `[catalog]`. Lists are comma-separated in the environment.

`{PREFIX}PARTNER_<SLUG>_BASE_URL` replaces scheme, host and port of the calls to one partner (the path stays), for simulators and tests; in the slug,
dashes are written as underscores.""",
        *parts,
    )


def field_types_page() -> str:
    """Every field type with its wire code and formats, from ``kinds.fields``."""
    rows = [
        (f"{kind.code}", f"`{kind.name}`", kind.title, _doc(kind.coerce), ", ".join(f"`{wire}`" for wire in kind.wires))
        for kind in TYPES.values()
    ]
    return page(
        "Field types",
        f"""`type` of a variable is one of these codes; {ARRAY} more than a code is a list of it ({ARRAY + 1} is a list of texts), written `string[]` in a
partner's folder. Lists take a JSON array or a comma-separated text.

"Wire formats" is what a partner's folder can choose with `wire`; the first is used if it says nothing.""",
        table(("Code", "Name", "Title", "What callers may send", "Wire formats"), rows),
    )


def filters_page() -> str:
    """Every filter of the template language with its arguments, from ``kinds.filters``."""
    by_module: dict[str, list[tuple[str, ...]]] = {}
    for name, function in FILTERS.items():
        by_module.setdefault(function.__module__, []).append((f"`{_usage(name, function)}`", _doc(function)))
    return page(
        "Filters",
        """Filters stand after `|` in a placeholder: `{{name | trim | default: "none"}}`. They are pure and bounded: no clock, no files, no network.
Arguments come after `:`, separated by commas; those shown with `=` may be left out.""",
        *(f"## {_doc(sys.modules[module]).partition('.')[0]}\n\n" + table(("Filter", "Gives"), rows) for module, rows in by_module.items()),
    )


def cli_page() -> str:
    """Every command with its arguments and options, from the functions behind them."""
    return page(
        "Command line",
        """`polyport COMMAND --help` says the same. In a clone the program is `.venv/bin/polyport`.

Exit codes: 0 when all went well, 1 when something failed (the reason is on standard error), 2 for a command line that cannot be understood.
`polyport demo` uses 2 when it could not start and 1 when one of its steps failed.""",
        *(_command_part(words, command) for words, command in _commands(app, ("polyport",))),
    )


def language_page() -> str:
    """Every file of a partner's folder and everything that may stand in it, from the models that the program reads them with."""
    files_of_a_folder, parts = language_parts()
    return page(
        "Connector language",
        """A partner is a folder of YAML files. Each kind of file is one of the first parts below; the others stand inside them. A key that is not
listed is a fault, and `polyport connector lint FOLDER` shows every fault at once, with file and line.
[How to add a partner](../how-to/add-a-partner.md) has the steps.

Each part has examples; where one begins with "Refused", it is not so, and lint says why in these words.

*Text* is any text; a *template* is a text with placeholders such as `{{name | trim}}` ([filters](filters.md)). A *path* leads into JSON: `data.items[0].id`,
`data.items[*].id` for every element, or a list of keys where a key has a dot in it. *Keys* are a path without numbers. A *pattern* is a regular
expression in RE2 syntax. A *field type* is one of [these](field-types.md), with `[]` behind it for a list. YAML here is plain: no anchors, no key twice, and
words such as `yes` or a date are texts; quote a text that looks like a number.""",
        *(_language_part(part, file) for part, file in files_of_a_folder),
        "## What stands inside them",
        *(_language_part(part, None) for part in parts),
    )


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": cli_page,
    "errors.md": errors_page,
    "settings.md": settings_page,
    "field-types.md": field_types_page,
    "filters.md": filters_page,
    "language.md": language_page,
    **QUALITY_PAGES,
}


def write_pages(folder: Path) -> None:
    """Write every page into this folder."""
    for name, make in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(make(), "utf-8")


def _commands(group: typer.Typer, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    """Every command of a group and of the groups in it, with the words that call it."""
    for command in group.registered_commands:
        if command.name is not None and command.callback is not None:
            yield (*words, command.name), command.callback
    for inner in group.registered_groups:
        if inner.name is not None and inner.typer_instance is not None:
            yield from _commands(inner.typer_instance, (*words, inner.name))


def _command_part(words: tuple[str, ...], command: Callable[..., Any]) -> str:
    """A command: its usage, what it does, and a table of what it takes."""
    usage, rows = list(words), []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        kind, info = hints[name].__origin__, hints[name].__metadata__[0]
        default = "needed" if parameter.default is parameter.empty else _default_of_option(parameter.default)
        if isinstance(info, ArgumentInfo):
            shown = name.upper()
            usage.append(shown)
        elif isinstance(info, OptionInfo):
            # What stands first in typer.Option() is taken for a default; beside Annotated it is the option's name.
            named = info.default if isinstance(info.default, str) and info.default.startswith("--") else f"--{name.replace('_', '-')}"
            shown = (info.param_decls or (named,))[0]
            shown = shown if kind is bool else f"{shown} {_placeholder(kind)}"
        else:
            continue
        rows.append((f"`{shown}`", default, info.help or ""))
    if any(row[0].startswith("`--") for row in rows):
        usage.append("[OPTIONS]")
    doc = (inspect.getdoc(command) or "").replace("<", "\\<")
    shown_table = (table(("Argument or option", "Default", "What it is"), rows),) if rows else ()
    return "\n\n".join((f"## {' '.join(words)}", f"```console\n$ {' '.join(usage)}\n```", doc, *shown_table))


def _placeholder(kind: object) -> str:
    """What stands for the value of an option."""
    text = str(kind)
    return "NUMBER" if "int" in text else "PATH" if "Path" in text else "TEXT"


def _default_of_option(value: object) -> str:
    return "" if value is None or value is False else f"`{value}`"


def _language_part(part: Part, file: str | None) -> str:
    """A part of the language: what it is, and a table of its keys."""
    heading = f"## {file}\n\n`{part.name}`." if file is not None else f"### {part.name}"
    rows = [(f"`{key.name}`", key.type, key.default) for key in part.keys]
    shown = [heading, part.text, *([table(("Key", "Takes", "Default"), rows)] if rows else [])]
    shown += [f"```yaml\n{text.rstrip()}\n```" for text in part.good]
    shown += [f"```yaml\n# Refused: {because}\n{text.rstrip()}\n```" for text, because in part.bad]
    return "\n\n".join(shown)


def _doc(thing: object) -> str:
    """The first paragraph of a docstring on one line, with Markdown's single backticks."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).replace("``", "`")


def _default(value: object) -> str:
    """A default as it is written in TOML; JSON writes these the same."""
    return "empty" if value in ("", []) else f"`{msgspec.json.encode(value).decode()}`"


def _usage(name: str, function: Callable[..., Any]) -> str:
    """How a filter is written: its name and its arguments without the value itself."""
    arguments = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        shown = f"*{parameter.name}" if parameter.kind is parameter.VAR_POSITIONAL else parameter.name
        arguments.append(shown if parameter.default is parameter.empty else f"{shown}={msgspec.json.encode(parameter.default).decode()}")
    return f"{name}: {', '.join(arguments)}" if arguments else name


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
