"""How a simulated partner calls those who subscribed: part of ``simulator.yaml``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field as Key

from polyport.manifest.base import Match, Name, Node
from polyport.manifest.proofs import Answer

Event = Literal["create", "update", "delete"]


class Posting(Node):
    """What is posted when a record of the collection is created, changed or deleted: one request to each record of ``to``, the collection of subscriptions.

    ``when`` are conditions on ``record``, ``subscription`` and ``event``. All templates read these, and ``delivery`` (a fresh id), ``timestamp`` (unix seconds), ``now`` and ``base``. ``url`` is where it goes; only
    addresses of this machine are called. ``send`` is the body (its status says nothing). ``signed`` is what is signed, a template that reads also ``{{body}}`` (as it is sent) and ``{{url}}``;
    templates of ``headers`` read all of these and ``{{signed}}``: ``X-Hub-Signature-256: "sha256={{signed | hmac: subscription.secret}}"``.
    """

    on: tuple[Event, ...] = Key(default=("create",), min_length=1)
    to: Name
    when: tuple[Match, ...] = ()
    url: str = "{{subscription.url}}"
    method: Literal["POST", "PUT", "GET"] = "POST"
    headers: dict[str, str] = Key(default_factory=dict)
    send: Answer = Answer(json_body="{{record}}")
    signed: str = "{{body}}"
