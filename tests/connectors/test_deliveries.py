"""What bundled partners post to us: it passes with the partner's signature alone, and each trigger takes its own events."""

import hmac
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
import pytest

import bundled
from polyport.engine.hooks import check_signature, compile_hook, read_delivery
from polyport.engine.signatures import Incoming, Unsigned

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PUSHER = "7ad3773142a6692b25b8"
EVENTS = [
    {"name": "channel_occupied", "channel": "room"},
    {"name": "member_added", "channel": "presence-room", "user_id": "user-7"},
    {"name": "client_event", "channel": "private-room", "event": "client-typing", "data": "{}", "socket_id": "1.1"},
    {"name": "subscription_count", "channel": "room", "subscription_count": 2},
    {"name": "channel_vacated", "channel": "room"},
]


def hook_of(slug, name):
    return compile_hook(next(trigger for trigger in bundled.partner(slug).triggers if trigger.name == name).hook)


def posted(body, secret):
    signature = hmac.new(secret.encode(), body, sha256).hexdigest()
    headers = (("X-Pusher-Key", "278d425bdf160c739803"), ("X-Pusher-Signature", signature), ("Content-Type", "application/json"))
    return Incoming(method="POST", url="https://hooks.example.com/in/1", headers=headers, body=body)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("channel_existence", {"channel_occupied", "channel_vacated"}),
        ("presence_members", {"member_added", "member_removed"}),
        ("client_event", {"client_event"}),
        ("subscription_count", {"subscription_count"}),
    ],
)
def test_a_delivery_of_pusher_passes_and_gives_the_events_of_its_trigger(name, kinds):
    program = hook_of("pusher", name)
    sent = posted(msgspec.json.encode({"time_ms": 1327078148132, "events": EVENTS}), PUSHER)

    check_signature(program, sent, PUSHER, NOW)
    assert read_delivery(program, sent).items == [event for event in EVENTS if event["name"] in kinds]


def test_a_delivery_that_pusher_did_not_sign_is_refused():
    program = hook_of("pusher", "channel_existence")
    with pytest.raises(Unsigned):
        check_signature(program, posted(b'{"events": []}', "another"), PUSHER, NOW)
