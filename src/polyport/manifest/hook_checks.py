"""What is checked of a webhook trigger: that its templates and conditions read what is there when they are used, and that its parts fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from polyport.kinds.filters import FILTERS
from polyport.manifest.hooks import SIGNED_NAMES, HookReply
from polyport.manifest.model import Call, Hook, Trigger
from polyport.manifest.variables import InputField, InputSection
from polyport.paths import Path, format_path
from polyport.template import TemplateError, compile_value

Places = tuple[str | int, ...]
RESERVED: Final = frozenset({"hook", "subscription"})
_DELIVERY: Final = frozenset({"method", "body", "query", "header"})
_KEY: Final = frozenset({"secret", "connection"})


def hook_calls(hook: Hook) -> Iterator[tuple[str, Call, frozenset[str]]]:
    """The calls of a hook, each with what it reads besides the fields of the operation."""
    calls = (
        ("subscribe", hook.subscribe, frozenset({"hook"})),
        ("unsubscribe", hook.unsubscribe, RESERVED),
        ("renew", hook.renew, RESERVED),
        ("followUp", hook.follow_up, frozenset({"item"})),
    )
    yield from ((name, call, names) for name, call, names in calls if call is not None)


def hook_problems(trigger: Trigger, hook: Hook, fields: Mapping[str, InputField]) -> Iterator[tuple[Places, str]]:
    """Every problem of a hook that its calls do not show: where it stands in the hook, and a sentence."""
    fields_and_sections: list[InputField | InputSection] = [*trigger.fields, *trigger.sections, *trigger.selectors]
    for part in fields_and_sections:
        if part.name in RESERVED:
            yield (), f'"{part.name}" is a word of a webhook trigger\'s templates; give this field another name.'
    yield from _parts_that_belong_together(hook)
    for place, template, known in _templates(hook):
        yield from ((place, message) for message in _unknown(template, known, fields))
    for index, handshake in enumerate(hook.handshake):
        for number, match in enumerate(handshake.when):
            yield from _reads(match.at, _DELIVERY, ("handshake", index, "when", number))
    for number, match in enumerate(hook.filter):
        yield from _reads(match.at, frozenset({"item", "body", "header", "query"}), ("filter", number))
    secret = hook.secret
    if secret is not None and secret.field is not None and secret.field not in fields:
        yield ("secret", "field"), f'The connection has no field "{secret.field}".'


def _parts_that_belong_together(hook: Hook) -> Iterator[tuple[Places, str]]:
    if hook.subscribe is None:
        if hook.manual is None:
            yield (), 'Without a "subscribe" call people have to paste the address somewhere: say where under "manual".'
        for name, _call, _names in hook_calls(hook):
            if name in {"unsubscribe", "renew"}:
                yield (name,), f'Without a "subscribe" call there is nothing that "{name}" could be about.'
    elif hook.unsubscribe is None and hook.manual is None:
        yield (), 'A subscription has to end: add "unsubscribe", or say under "manual" how people end it.'
    if hook.renew is not None and hook.expiry is None:
        yield ("renew",), 'Say under "expiry" when a subscription ends; else it is never renewed.'
    wants = any(name[:2] == ("subscription", "id") for call in (hook.unsubscribe, hook.renew) if call for name in _names_of(call))
    if wants and hook.subscription_id is None:
        yield ("subscriptionId",), '{{subscription.id}} is read: say under "subscriptionId" where it stands in the answer of "subscribe".'
    sources = {handshake.learn is not None for handshake in hook.handshake}
    if hook.secret is not None and hook.secret.source == "handshake" and True not in sources:
        yield ("secret",), 'The secret comes with a handshake: say in which one, and under "learn" where.'


def _names_of(call: Call) -> Iterator[Path]:
    for template in (call.path, call.url, call.query, call.headers, call.body):
        try:
            yield from compile_value(template, FILTERS).names
        except TemplateError:  # told where the calls are checked
            continue


def _templates(hook: Hook) -> Iterator[tuple[Places, Any, frozenset[str]]]:
    for index, signature in enumerate(hook.signature):
        yield ("signature", index, "signed"), signature.signed, SIGNED_NAMES
        yield ("signature", index, "key"), signature.key, _KEY
        yield ("signature", index, "publicKey"), signature.public_key, _KEY
    for index, handshake in enumerate(hook.handshake):
        yield from _reply(handshake.reply, ("handshake", index, "reply"), _DELIVERY | {"secret"})
    yield from _reply(hook.reply, ("reply",), _DELIVERY)


def _reply(reply: HookReply, place: Places, known: frozenset[str]) -> Iterator[tuple[Places, Any, frozenset[str]]]:
    yield (*place, "headers"), reply.headers, known
    yield (*place, "json"), reply.json_body, known
    yield (*place, "text"), reply.text, known


def _unknown(template: Any, known: frozenset[str], fields: Mapping[str, InputField]) -> Iterator[str]:
    try:
        names = compile_value(template, FILTERS).names
    except TemplateError as error:
        yield f"{error}."
        return
    for name in sorted(names, key=str):
        if name[0] not in known:
            yield f"{{{{{name[0]}}}}} is nothing that can be read here; there are: {', '.join(sorted(known))}."
        elif name[0] == "connection" and (len(name) < 2 or name[1] not in fields):
            yield f"{{{{{format_path(name)}}}}} is not a field of the connection."


def _reads(path: Path, known: frozenset[str], place: Places) -> Iterator[tuple[Places, str]]:
    if not path or path[0] not in known:
        yield place, f"A condition here reads one of: {', '.join(sorted(known))}."
