"""The webhook triggers of bundled partners: what subscribes, which deliveries are believed, and what comes out of them."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

import bundled
from polyport.engine.hooks import check_signature, compile_hook, handshake_reply, read_delivery, read_subscription, subscribing
from polyport.engine.render import Base, render_call
from polyport.engine.results import read_item
from polyport.engine.schema import build_schema
from polyport.engine.signatures import Incoming, Unsigned
from polyport.paths import get

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECRET = "made-up-secret-1234567890"
AT = Base(origin="https://api.github.com", prefix="")


def trigger(slug, name):
    partner = bundled.partner(slug)
    found = next(found for found in partner.triggers if found.name == name)
    return found, compile_hook(found.hook, partner.file.headers), build_schema(found, lists=partner.lists)


def from_github(event, content, secret=SECRET):
    body = json.dumps(content).encode()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = (("X-GitHub-Event", event), ("X-GitHub-Delivery", "72d3162e"), ("X-Hub-Signature-256", f"sha256={digest}"))
    return Incoming(method="POST", url="https://us.example/hooks/1", headers=headers, body=body)


def test_the_issue_events_of_github_are_subscribed_to_and_given_up_again():
    found, program, _schema = trigger("github", "issue_event")
    scope = {"repository": "octocat/hello-world", **subscribing("https://us.example/hooks/1", SECRET)}

    sent = render_call(program.subscribe, scope, AT, 5).request
    assert (sent.method, sent.url) == ("POST", "https://api.github.com/repos/octocat/hello-world/hooks")
    assert json.loads(sent.body)["config"] == {
        "url": "https://us.example/hooks/1",
        "content_type": "json",
        "secret": SECRET,
        "insecure_ssl": "0",
    }
    subscription = read_subscription(found.hook, {"id": 12345678, "active": True}, NOW)
    gone = render_call(program.unsubscribe, {**scope, "subscription": {"id": subscription.id}}, AT, 5).request
    assert (gone.method, gone.url) == ("DELETE", "https://api.github.com/repos/octocat/hello-world/hooks/12345678")


def test_an_issue_event_of_github_is_believed_with_its_signature_alone():
    _found, program, _schema = trigger("github", "issue_event")

    check_signature(program, from_github("issues", {"action": "opened"}), SECRET, NOW)
    with pytest.raises(Unsigned):
        check_signature(program, from_github("issues", {"action": "opened"}, "another"), SECRET, NOW)


def test_a_ping_of_github_is_no_event_and_an_event_has_its_issue():
    found, program, schema = trigger("github", "issue_event")
    event = {
        "action": "opened",
        "issue": {"id": 1, "number": 7, "title": "Found a bug", "user": {"login": "octocat"}},
        "repository": {"full_name": "octocat/hello-world"},
        "sender": {"login": "octocat"},
    }

    assert read_delivery(program, from_github("ping", {"zen": "Keep it logically awesome."})).items == []
    delivery = read_delivery(program, from_github("issues", event))
    assert (delivery.event, delivery.number) == ("issues", "72d3162e")
    items = [read_item(schema, get(item, found.result.at)) for item in delivery.items]
    assert [(item["action"], item["repository"], item["number"], item["author"]) for item in items] == [
        ("opened", "octocat/hello-world", 7, "octocat")
    ]


def from_slack(content, moment=NOW):
    body, told = json.dumps(content).encode(), str(int(moment.timestamp()))
    digest = hmac.new(SECRET.encode(), b"v0:" + told.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = (("X-Slack-Request-Timestamp", told), ("X-Slack-Signature", f"v0={digest}"))
    return Incoming(method="POST", url="https://us.example/hooks/2", headers=headers, body=body)


def test_the_challenge_of_slack_is_answered_only_with_its_signature():
    _found, program, _schema = trigger("slack", "new_event_message")
    challenge = from_slack({"type": "url_verification", "challenge": "3eZb"})

    assert handshake_reply(program, challenge, SECRET, NOW).reply.body == b'{"challenge":"3eZb"}'
    with pytest.raises(Unsigned):
        handshake_reply(program, challenge, "another", NOW)


def test_a_message_that_slack_posts_is_read_and_other_events_are_passed_over():
    found, program, schema = trigger("slack", "new_event_message")
    message = {"type": "message", "ts": "1355517523.000005", "channel": "C012AB3CD", "text": "Paid", "user": "U012AB3CD"}
    sent = from_slack({"type": "event_callback", "event_id": "Ev08MFMKH6", "event": message})

    check_signature(program, sent, SECRET, NOW)
    delivery = read_delivery(program, sent)
    assert delivery.number == "Ev08MFMKH6"
    assert [read_item(schema, get(item, found.result.at))["text"] for item in delivery.items] == ["Paid"]
    assert read_delivery(program, from_slack({"event_id": "Ev1", "event": {"type": "reaction_added"}})).items == []


def from_telegram(content, secret=SECRET):
    headers = (("X-Telegram-Bot-Api-Secret-Token", secret),)
    return Incoming(method="POST", url="https://us.example/hooks/3", headers=headers, body=json.dumps(content).encode())


def test_the_updates_of_a_telegram_bot_are_subscribed_to_with_a_secret_that_every_delivery_shows():
    _found, program, schema = trigger("telegram", "update_event")
    scope = {"kinds": ["message"], **subscribing("https://us.example/hooks/3", SECRET)}
    update = {"update_id": 7, "message": {"message_id": 42, "date": 1795510800, "chat": {"id": 1, "type": "private"}, "text": "Hi"}}

    sent = render_call(program.subscribe, scope, Base(origin="https://api.telegram.org", prefix=""), 5).request
    assert json.loads(sent.body) == {"url": "https://us.example/hooks/3", "secret_token": SECRET, "allowed_updates": ["message"]}
    check_signature(program, from_telegram(update), SECRET, NOW)
    with pytest.raises(Unsigned):
        check_signature(program, from_telegram(update, "another"), SECRET, NOW)
    delivery = read_delivery(program, from_telegram(update))
    assert (delivery.number, [read_item(schema, item)["text"] for item in delivery.items]) == ("7", ["Hi"])


def from_trello(content, secret=SECRET, method="POST", at="https://us.example/hooks/3"):
    body = json.dumps(content).encode() if content is not None else b""
    digest = hmac.new(secret.encode(), body + at.encode(), hashlib.sha1).digest()
    headers = (("X-Trello-Webhook", base64.b64encode(digest).decode()),)
    return Incoming(method=method, url="https://us.example/hooks/3", headers=headers, body=body)


def test_trello_hears_that_somebody_listens_and_signs_body_and_address():
    _found, program, _schema = trigger("trello", "card_event")
    event = {"action": {"id": "5f0c9a7bd2c4a21b9a6f0081", "type": "updateCard"}}

    assert handshake_reply(program, from_trello(None, method="HEAD"), SECRET, NOW).reply.status == 200
    assert handshake_reply(program, from_trello(event), SECRET, NOW) is None
    check_signature(program, from_trello(event), SECRET, NOW)
    for wrong in (from_trello(event, "another"), from_trello(event, at="https://us.example/hooks/4")):
        with pytest.raises(Unsigned):
            check_signature(program, wrong, SECRET, NOW)


def test_a_card_event_of_trello_tells_what_was_done():
    found, program, schema = trigger("trello", "card_event")
    data = {"card": {"id": "5f0c9a7bd2c4a21b9a6f0001", "name": "Order paper"}, "listAfter": {"name": "Done"}}
    sent = from_trello({"action": {"id": "5f0c9a7bd2c4a21b9a6f0081", "type": "updateCard", "data": data}, "model": {"id": "b"}})

    delivery = read_delivery(program, sent)
    assert (delivery.event, delivery.number) == ("updateCard", "5f0c9a7bd2c4a21b9a6f0081")
    items = [read_item(schema, get(item, found.result.at)) for item in delivery.items]
    assert [(item["kind"], item["card_name"], item["moved_to"]) for item in items] == [("updateCard", "Order paper", "Done")]
    assert read_delivery(program, from_trello({"action": {"id": "1", "type": "addMemberToBoard"}})).items == []


def test_the_events_of_an_audience_of_mailchimp_come_as_forms_to_an_address_with_a_secret():
    _found, program, schema = trigger("mailchimp", "audience_event")
    url = f"https://us.example/hooks/4?secret={SECRET}"
    body = b"type=subscribe&fired_at=2026-11-24+09%3A00%3A00&data%5Bid%5D=8a25ff1d98&data%5Blist_id%5D=57afe96172&data%5Bemail%5D=ada%40example.com"
    sent = Incoming(method="POST", url=url, headers=(("Content-Type", "application/x-www-form-urlencoded"),), body=body)
    scope = {"audience": "57afe96172", "on_subscribe": True, "from_api": False, **subscribing("https://us.example/hooks/4", SECRET)}

    asked = render_call(program.subscribe, scope, Base(origin="https://us6.api.mailchimp.com", prefix="/3.0"), 5).request
    assert json.loads(asked.body) == {"url": url, "events": {"subscribe": True}, "sources": {"api": False}}
    assert handshake_reply(program, Incoming(method="GET", url=url, headers=(), body=b""), SECRET, NOW) is not None
    check_signature(program, sent, SECRET, NOW)
    with pytest.raises(Unsigned):
        check_signature(program, sent, "another", NOW)
    (item,) = [read_item(schema, item) for item in read_delivery(program, sent).items]
    assert item == {
        "event": "subscribe",
        "fired_at": 1795510800,
        "audience_id": "57afe96172",
        "member_id": "8a25ff1d98",
        "email": "ada@example.com",
    }


def from_ghost(content, secret=SECRET, moment=NOW):
    body, told = json.dumps(content).encode(), str(int(moment.timestamp() * 1000))
    digest = hmac.new(secret.encode(), body + told.encode(), hashlib.sha256).hexdigest()
    headers = (("X-Ghost-Signature", f"sha256={digest}, t={told}"),)
    return Incoming(method="POST", url="https://us.example/hooks/4", headers=headers, body=body)


def test_a_member_event_of_ghost_is_believed_with_a_fresh_signature_and_has_the_member():
    found, program, schema = trigger("ghost", "member_event")
    event = {
        "member": {"current": {"id": "623199bfe8bc4d3097caefe0", "email": "ada@example.com", "labels": [{"name": "VIP"}]}, "previous": {}}
    }

    sent = render_call(program.subscribe, {"kind": "member.added", **subscribing("https://us.example/hooks/4", SECRET)}, AT, 5).request
    hook = {"event": "member.added", "target_url": "https://us.example/hooks/4", "secret": SECRET, "name": "Polyport"}
    assert json.loads(sent.body) == {"webhooks": [hook]}
    assert read_subscription(found.hook, {"webhooks": [{"id": "w1"}]}, NOW).id == "w1"
    check_signature(program, from_ghost(event), SECRET, NOW)
    for wrong in (from_ghost(event, "another"), from_ghost(event, moment=datetime(2026, 11, 25, 11, tzinfo=UTC))):
        with pytest.raises(Unsigned):
            check_signature(program, wrong, SECRET, NOW)
    items = [read_item(schema, get(item, found.result.at)) for item in read_delivery(program, from_ghost(event)).items]
    assert [(item["email"], item["labels"]) for item in items] == [("ada@example.com", ["VIP"])]


def test_an_event_of_paypal_is_read_back_from_paypal_before_it_counts():
    found, program, schema = trigger("paypal", "event")
    scope = {"kinds": ["PAYMENT.CAPTURE.COMPLETED"], **subscribing("https://us.example/hooks/5", None)}
    sent = render_call(program.subscribe, scope, Base(origin="https://api-m.paypal.com", prefix=""), 5).request
    assert json.loads(sent.body) == {"url": "https://us.example/hooks/5", "event_types": [{"name": "PAYMENT.CAPTURE.COMPLETED"}]}

    event = {"id": "WH-1-2", "event_type": "PAYMENT.CAPTURE.COMPLETED", "resource": {"id": "3C679366HH908993F"}}
    delivery = read_delivery(
        program, Incoming(method="POST", url="https://us.example/hooks/5", headers=(), body=json.dumps(event).encode())
    )
    assert (delivery.event, delivery.number) == ("PAYMENT.CAPTURE.COMPLETED", "WH-1-2")
    asked = render_call(program.follow_up, {"item": delivery.items[0]}, Base(origin="https://api-m.paypal.com", prefix=""), 5).request
    assert (asked.method, asked.url) == ("GET", "https://api-m.paypal.com/v1/notifications/webhooks-events/WH-1-2")
    assert read_item(schema, get(event, found.result.at))["resource_id"] == "3C679366HH908993F"
