"""What came of an import, for people and for programs: counts, what was left out and why, what is a field for JSON, which rules are not kept to, what was asked rather than assumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from polyport.importers.documents import clean_text
from polyport.importers.drift import connection_print, prints_of
from polyport.importers.questions import hosts_of

if TYPE_CHECKING:
    from polyport.importers.partner import Built

FILE: Final = "import.json"
FORMAT: Final = 1


def report_of(built: Built, *, source: str, digest: str, unused: list[str]) -> dict[str, Any]:
    """The report as data; with the prints of all operations it is also what a later import is compared with."""
    left = [{"pointer": one.pointer[:500], "what": one.what[:300], "why": one.why[:500]} for one in built.left]
    return {
        "format": FORMAT,
        "source": source,
        "sha256": digest,
        "partnerId": built.partner["id"],
        "partnerTitle": built.partner["title"],
        "title": built.service.title,
        "version": built.service.version,
        "counts": {
            "described": len(built.service.endpoints),
            "actions": len(built.actions),
            "triggers": len(built.triggers),
            "lists": len(built.lists),
            "leftOut": sum(" " in one["what"] and one["what"].split(" ", 1)[0].isupper() for one in left),
            "withJson": len(built.json_only),
        },
        "leftOut": left,
        "json": {name: sorted(set(places))[:50] for name, places in sorted(built.json_only.items())},
        "rules": {name: sorted(set(places))[:50] for name, places in sorted(built.unkept.items()) if name in built.actions},
        "webhooks": sorted(built.hooks),
        "asked": built.access.asked,
        "overlayUnused": unused,
        "hosts": sorted(hosts_of(built)),
        "connection": connection_print(built.partner),
        "operations": prints_of(built),
    }


def lines_of(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    counts = report["counts"]
    found = [
        (
            f"{report['title'] or 'The service'} {report['version']}: {_many(counts['described'], 'operation')} described, "
            f"{_many(counts['actions'], 'action')}, {_many(counts['triggers'], 'trigger')}, {_many(counts['lists'], 'list')}."
        )
    ]
    found += [f"asked: {text}" for text in report["asked"]]
    if report["leftOut"]:
        found.append(f"Left out ({len(report['leftOut'])}):")
        found += [f"  {one['what']} at {one['pointer']}: {one['why']}" for one in report["leftOut"][:100]]
    if report["json"]:
        found.append(f"Described, but a field for JSON here (in {_many(len(report['json']), 'operation')}):")
        found += [f"  {name}: {', '.join(places[:8])}" for name, places in list(report["json"].items())[:50]]
    if report["rules"]:
        found.append(f"Rules that the service alone keeps to (in {_many(len(report['rules']), 'operation')}):")
        found += [f"  {name}: {', '.join(places[:8])}" for name, places in list(report["rules"].items())[:50]]
    if report["webhooks"]:
        found.append(f"Calls that subscribe to webhooks, to be made triggers by hand: {', '.join(report['webhooks'][:20])}")
    found += [f"overlay: {text}" for text in report["overlayUnused"]]
    return [clean_text(line, 600) if not line.startswith("  ") else "  " + clean_text(line, 600) for line in found]


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def notes_of(report: dict[str, Any], docs: str | None) -> str:
    """``notes.md`` of a partner that was imported."""
    counts = report["counts"]
    version = f", version {clean_text(report['version'], 60)}" if report["version"] else ""
    lines = [
        f"# {clean_text(report['title'], 200) or 'Imported partner'}",
        "",
        f"Made from the service's own description{version}. Nothing was run against the service.",
        "",
        "## Where this comes from",
        "",
        f"- Description: {clean_text(report['source'], 300) or 'a file'}, SHA-256 {report['sha256']}",
    ]
    if docs is not None:
        lines.append(f"- Documentation: {clean_text(docs, 300)}")
    lines += [
        f"- {counts['described']} operations are described; {counts['actions']} actions, {counts['triggers']} triggers and {counts['lists']} lists came of them.",
        "",
        "## Known gaps",
        "",
        f"- {len(report['leftOut'])} parts were left out; `import.json` names each with its reason.",
        f"- {counts['withJson']} operations have a field for JSON where the description says more.",
        "",
    ]
    return "\n".join(lines)


def report_text(report: dict[str, Any]) -> str:
    """``import.json``."""
    return json.dumps(report, indent=1, ensure_ascii=False, sort_keys=True, default=str) + "\n"
