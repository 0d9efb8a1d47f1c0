"""The simulators of the bundled partners keep step with their folders: the engine itself calls them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

import bundled
import polyport
from polyport.engine.caller import open_caller
from polyport.engine.calls import list_choices, read_list, verify
from polyport.engine.operation import DirectLists, act, build_scope, compile_operation, read_reading, read_trigger, select, understand
from polyport.engine.schema import custom_name
from polyport.engine.trace import CallFailed
from polyport.kinds.fields import FileValue
from polyport.manifest.model import Trigger
from polyport.net.message import Reply
from polyport.testing.traffic import Incoming

pytestmark = pytest.mark.anyio

FOLDERS = Path(polyport.__file__).parent / "connectors"
# What lists depend on, as the simulators' seeds have it; every simulator finds something for "ex".
SEEDED = {
    "amazon-s3": {"bucket": "example-shop"},
    "airtable": {"base": "appA1b2C3d4E5f6G7", "table": "tblA1b2C3d4E5f6G7"},
    "google-sheets": {"spreadsheet": "1A2b3C4d5E6f7G8h9I0jKlMnOpQrStUvWxYz12345678", "sheet": 7},
    "github": {"repository": "octocat/hello-world"},
    "hubspot": {"pipeline": "default"},
    "jira": {"project": "10000", "issue_type": "10001", "issue": "OPS-1"},
    "mailchimp": {"audience": "57afe96172"},
    "notion": {"data_source": "248104cd-477e-80af-bc30-000bd28de8f9"},
    "pipedrive": {"pipeline_id": 1},
    "trello": {"board": "5f0c9a7bd2c4a21b9a6f0021"},
}
INLINE = {"name": "x", "contentType": "text/plain", "base64": "aGVsbG8="}
SIMULATED = sorted(folder.parent.name for folder in FOLDERS.glob("*/simulator.yaml"))


class SimulatedNetwork:
    """The engine's one network method, over a simulated partner."""

    def __init__(self, partner):
        self.partner = partner

    async def send(self, request):
        parts = urlsplit(request.url)
        headers = (("host", parts.netloc), *((name.lower(), value) for name, value in request.headers))
        answer = self.partner.answer(
            Incoming(
                method=request.method, path=parts.path, query=parts.query, headers=headers, body=request.body or b"", scheme=parts.scheme
            )
        )
        pairs = tuple((name.decode(), value.decode()) for name, value in answer.headers)
        return Reply(status=answer.status, headers=pairs, body=answer.body, url=request.url)


class Account:
    """A connection to one simulated partner."""

    def __init__(self, slug):
        self.manifest = bundled.partner(slug)
        moments = (datetime(2026, 11, 24, 12, tzinfo=UTC) + timedelta(seconds=tick) for tick in count())
        self.partner = bundled.simulator(slug, lambda: next(moments), lambda: "00000000-0000-4000-8000-000000000000").partner
        sample = bundled.cases(slug).connection
        self.caller = open_caller(
            self.manifest,
            sample.auth,
            sample.fields,
            SimulatedNetwork(self.partner),
            replaced=None,
            timeout=5,
            # Later than anything in the story, and near enough for signatures.
            clock=lambda: datetime(2026, 11, 24, 12, 10, tzinfo=UTC),
        )

    async def run(self, name, data, *selectors):
        operation = next(operation for operation in self.manifest.operations if operation.name == name)
        program = compile_operation(self.manifest, operation)
        lists = DirectLists(self.caller)
        selected = (await select(program, dict(enumerate(selectors, start=1)), lists)).values
        understood = await understand(program, data, lists, selected)
        assert not understood.checked.faults
        scope = build_scope(program, self.caller, understood, selected)
        if isinstance(operation, Trigger):
            return (await read_trigger(self.caller, program, understood, scope, read_reading(None, None, None), lambda _trace: None)).result
        return (await act(self.caller, program, understood, scope, lambda _trace: None)).result


@pytest.mark.parametrize("slug", sorted(bundled.FOLDERS))
async def test_the_simulator_of_every_partner_loads(slug):
    assert bundled.simulation(slug).problems == ()


@pytest.mark.parametrize("slug", SIMULATED)
async def test_a_connection_is_verified(slug):
    account = Account(slug)

    assert await verify(account.caller)


@pytest.mark.parametrize(
    ("slug", "name"), [(slug, path.stem) for slug in SIMULATED for path in sorted((FOLDERS / slug / "lists").glob("*.yaml"))]
)
async def test_every_list_has_choices(slug, name):
    account = Account(slug)
    if name == "notes":
        await account.run("create_note", {"content": "Hello", "person_id": 1})
    spec = account.manifest.lists[name]

    choices = list_choices(spec, await read_list(account.caller, spec, SEEDED.get(slug, {}), "ex"))

    assert choices.items


async def test_a_person_created_at_pipedrive_is_got_found_listed_and_triggered():
    account = Account("pipedrive")
    data = {"name": "Ada Example", "visible_to": "3", "email": [{"value": "ada@example.com"}], "phone": [{"value_": "+442079460000"}]}
    created = await account.run("create_person", data)
    id_ = created["id"]

    assert created["email"] == [{"value": "ada@example.com", "label": "work", "primary": True}]
    assert (await account.run("get_person", {"id": id_}))["name"] == "Ada Example"
    assert (await account.run("find_persons", {"term": "ada@example"}))["first_id"] == id_
    assert [person["id"] for person in (await account.run("list_persons", {}))["persons"]] == [1, id_]
    assert [item["id"] for item in (await account.run("new_persons", {}))["items"]] == [id_, 1]
    assert (await account.run("update_person", {"id": id_, "name": "Eve Example"}))["first_name"] == "Eve"


async def test_custom_fields_of_pipedrive_go_there_and_come_back():
    account = Account("pipedrive")
    spec = account.manifest.lists["person_fields"]
    assert {"Tier", "Account number"} <= {label for _, label in list_choices(spec, await read_list(account.caller, spec, {})).items}

    data = {"name": "Ada", "cf__f1b2cd22dd8e67362263467115f592c8": "Gold", "cf__76e76829d1d7dbfebdb7945635163cab": "A-7"}
    created = await account.run("create_person", data)

    assert created["cf__f1b2cd22dd8e67362263467115f592c8"] == 11
    assert created["cf__76e76829d1d7dbfebdb7945635163cab"] == "A-7"


async def test_organizations_deals_and_notes_of_pipedrive_hang_together():
    account = Account("pipedrive")
    organization = (await account.run("create_organization", {"name": "Other Ltd"}))["id"]
    deal = (await account.run("create_deal", {"title": "New roof", "value": "19.90", "org_id": organization}))["id"]
    note = (await account.run("create_note", {"content": "Call", "deal_id": deal}))["id"]

    assert (await account.run("find_deals", {"term": "roof"}))["deals"][0]["organization_name"] == "Other Ltd"
    assert (await account.run("find_notes", {"deal": deal}))["first_id"] == note
    assert (await account.run("new_deals", {}))["items"][0]["id"] == deal
    assert (await account.run("find_organizations", {"term": "other"}))["first_id"] == organization


async def test_a_message_posted_at_slack_stands_in_its_channel():
    account = Account("slack")
    posted = await account.run("post_message", {"channel": "#orders", "text": "Paid"})
    await account.run("update_message", {"channel": "C061FA5PB", "ts": posted["ts"], "text": "Shipped"})

    items = (await account.run("new_messages", {"channel": "C061FA5PB"}))["items"]

    assert [(item["ts"], item["text"]) for item in items] == [(posted["ts"], "Shipped")]
    assert (await account.run("find_user_by_email", {"email": "ada@example.com"}))["id"] == "U012AB3CD"
    assert (await account.run("send_direct_message", {"user": "U012AB3CD", "text": "Hi"}))["channel"] == "D069C7QFK"


async def test_a_contact_created_at_hubspot_is_found_and_triggered():
    account = Account("hubspot")
    created = await account.run("create_contact", {"cf__0c83f57c786a0b4a39efab23731c7ebc": "ada@example.com"})

    assert (await account.run("get_contact", {"id": created["id"]}))["id"] == created["id"]
    assert (await account.run("find_contact", {"value": "ada@example.com"}))["id"] == created["id"]
    assert [item["id"] for item in (await account.run("new_contacts", {}))["items"]] == [created["id"], "1"]


def test_conditions_that_callers_write_are_understood_and_refused():
    partner = Account("hubspot").partner

    def search(*filters):
        body = msgspec.json.encode({"filterGroups": [{"filters": list(filters)}]})
        headers = (("authorization", "Bearer abcdefgh"), ("content-type", "application/json"))
        answer = partner.answer(Incoming(method="POST", path="/crm/v3/objects/contacts/search", headers=headers, body=body))
        return answer.status, msgspec.json.decode(answer.body).get("total")

    assert search({"propertyName": "firstname", "operator": "EQ", "value": "Grace"}) == (200, 1)
    assert search({"propertyName": "firstname", "operator": "NEQ", "value": "Grace"}) == (200, 0)
    assert search({"propertyName": "firstname", "operator": "IN", "values": ["Ada", "Grace"]}) == (200, 1)
    assert search({"propertyName": "createdate", "operator": "GTE", "value": "1767600000000"}) == (200, 1)
    assert search({"propertyName": "createdate", "operator": "GT", "value": "1767600000000"}) == (200, 0)
    assert search({"propertyName": "firstname", "operator": "LIKE", "value": "Grace"}) == (400, None)
    assert search({"propertyName": "firstname", "operator": "EQ"}) == (400, None)
    assert search("nonsense") == (400, None)


async def test_what_is_sent_at_twilio_is_read_back_and_only_what_came_in_is_new():
    account = Account("twilio")
    first = await account.run("send_sms", {"to": "+14155552346", "from": "+14155552345", "body": "Paid"})
    later = {
        "to": "+14155552346",
        "messaging_service_sid": "MG" + "1" + "0" * 31,
        "media_url": ["https://example.com/a", "https://example.com/b"],
    }
    second = await account.run("send_sms", {**later, "send_at": "2026-11-25T12:00:00Z"})

    assert (first["status"], second["status"], second["media_count"]) == ("queued", "scheduled", 2)
    assert (await account.run("get_message", {"sid": first["sid"]}))["body"] == "Paid"
    page = await account.run("list_messages", {"page_size": 2})
    assert [message["sid"] for message in page["messages"]] == [second["sid"], first["sid"]]
    rest = await account.run("list_messages", {"page_size": 2, "next_page": page["next_page"]})
    assert [message["direction"] for message in rest["messages"]] == ["inbound"]
    assert "next_page" not in rest
    assert [item["body"] for item in (await account.run("new_messages", {}))["items"]] == ["Where is my order?"]
    assert (await account.run("cancel_message", {"sid": second["sid"]}))["status"] == "canceled"
    assert (await account.run("redact_message", {"sid": first["sid"]}))["body"] == ""


async def test_calls_at_twilio_are_made_and_ended_and_numbers_looked_up():
    account = Account("twilio")
    call = await account.run(
        "make_call", {"to": "+14155552346", "from": "London office, front desk (+442079460000)", "twiml": "<Response/>"}
    )

    assert (call["from"], call["status"]) == ("+442079460000", "queued")
    assert (await account.run("end_call", {"sid": call["sid"]}))["status"] == "completed"
    assert [item["from"] for item in (await account.run("new_calls", {}))["items"]] == ["+14155552346"]
    assert (await account.run("lookup_phone_number", {"phone_number": "(415) 555-2345"}))["e164"] == "+14155552345"


async def test_a_work_item_made_in_jira_is_read_found_commented_on_and_new():
    account = Account("jira")
    severity = custom_name("customfield_10101")
    made = await account.run("create_issue", {"summary": "Printer is on fire", severity: "Major"}, "Operations (OPS)", "Bug")
    assert made["key"] == "OPS-10042"
    assert (await account.run("update_issue", {"issue": made["key"], "summary": "Printer was on fire"})) == {}
    read = await account.run("get_issue", {"issue": made["key"]})
    assert (read["summary"], read["project_key"]) == ("Printer was on fire", "OPS")
    assert (await account.run("find_issue", {"jql": "project = OPS"}))["id"] == made["id"]
    assert (await account.run("add_comment", {"issue": made["key"], "text": "On my way."}))["id"] == "10501"
    items = (await account.run("new_issues", {"project": "10000"}))["items"]
    assert [item["key"] for item in items] == ["OPS-10042", "OPS-1"]


async def test_a_page_made_in_notion_is_changed_read_and_new():
    account = Account("notion")
    name, price = custom_name("Name"), custom_name("Price")
    made = await account.run("create_page", {name: "Lamp", price: "12.5"}, "Things")
    changed = await account.run("update_page", {"page_id": made["id"], price: None}, "Things")
    assert (made[price], changed.get(price)) == (Decimal("12.5"), None)
    assert (await account.run("get_page", {"page_id": made["id"]}, "Things"))["id"] == made["id"]
    assert (await account.run("new_pages", {}, "Things"))["items"][0]["id"] == made["id"]
    assert (await account.run("append_text", {"page_id": made["id"], "text": "Bought in May."}))["block_id"]


async def test_an_issue_opened_at_github_is_read_closed_commented_on_found_and_new():
    account = Account("github")
    here = {"repository": "octocat/hello-world"}
    data = {**here, "title": "Printer is on fire", "labels": ["bug"], "assignees": ["octocat"], "milestone": "v1.0 (example)"}
    made = await account.run("create_issue", data)
    number = made["number"]

    assert (made["labels"], made["assignees"], made["milestone"], made["state"]) == (["bug"], ["octocat"], 1, "open")
    said = await account.run("create_comment", {**here, "issue_number": number, "body": "On my way."})
    assert (await account.run("update_comment", {**here, "comment_id": said["id"], "body": "Done."}))["body"] == "Done."
    assert [row["id"] for row in (await account.run("list_comments", {**here, "issue_number": number}))["comments"]] == [said["id"]]
    closed = await account.run("update_issue", {**here, "issue_number": number, "state": "closed", "state_reason": "completed"})
    assert (closed["state"], closed["state_reason"]) == ("closed", "completed")
    assert (await account.run("get_issue", {**here, "issue_number": number}))["title"] == "Printer is on fire"
    assert (await account.run("search_issues", {**here, "query": "fire label:bug"}))["total"] == 1
    items = (await account.run("new_issues", here))["items"]
    assert [item["number"] for item in items] == [number, 1]
    assert (await account.run("updated_issues", here))["items"][0]["number"] == number
    assert [item["id"] for item in (await account.run("new_comments", here))["items"]] == [said["id"]]


async def test_the_issues_of_github_come_page_by_page():
    account = Account("github")
    here = {"repository": "octocat/hello-world", "with_state": "all", "page_size": 1}
    first = await account.run("list_issues", here)
    second = await account.run("list_issues", {**here, "page_number": first["next_page"]})

    assert [row["number"] for page in (first, second) for row in page["issues"]] == [2, 1]
    assert first["next_page"] == 2
    assert "next_page" not in second


async def test_a_contact_added_at_sendgrid_is_found_changed_and_deleted():
    account = Account("sendgrid")
    tier, day = custom_name("e1_T"), custom_name("e3_D")
    added = {"email": "Ada@example.com", "first_name": "Ada", "list_ids": ["Customers"], tier: "Gold", day: "2026-03-14"}
    await account.run("upsert_contact", added)
    await account.run("upsert_contact", {"email": "ada@example.com", "last_name": "Example"})
    found = await account.run("find_contact", {"address": "ada@example.com"})

    assert (found["first_name"], found["last_name"], len(found["list_ids"])) == ("Ada", "Example", 1)
    assert (found[custom_name("tier")], found[custom_name("first_order")]) == ("Gold", "2026-03-14")
    assert (await account.run("search_contacts", {"query": "true"}))["total"] == 2
    await account.run("delete_contact", {"contact_id": found["id"]})
    assert (await account.run("search_contacts", {"query": "true"}))["total"] == 1


async def test_mail_for_sendgrid_is_taken_and_bounces_are_read_and_forgotten():
    account = Account("sendgrid")
    mail = {"from_email": "desk@example.com", "text": "Hello", "to": [{"email": "ada@example.com"}]}

    assert (await account.run("send_mail", mail))["message_id"] == "simulated-00000001"
    assert await account.run("send_mail", {**mail, "sandbox": True}) == {"status": 200}
    assert [item["email"] for item in (await account.run("new_bounces", {}))["items"]] == ["gone@example.com"]
    assert (await account.run("get_bounce", {"email": "gone@example.com"}))["found"] is True
    await account.run("delete_bounce", {"email": "gone@example.com"})
    assert await account.run("get_bounce", {"email": "gone@example.com"}) == {"found": False}
    made = await account.run("create_contact_list", {"name": "Suppliers"})
    page = await account.run("list_contact_lists", {"page_size": 1})
    assert (await account.run("list_contact_lists", {"page_size": 1, "next_page": page["next_page"]}))["lists"][0]["id"] == made["id"]


async def test_a_record_made_in_airtable_is_changed_read_listed_and_deleted():
    account, chosen = Account("airtable"), ("Example shop", "Things")
    name, price = custom_name("fldA1b2C3d4E5f6G7"), custom_name("fldB1b2C3d4E5f6G7")
    made = await account.run("create_record", {name: "Lamp", price: "12.5"}, *chosen)
    changed = await account.run("update_record", {"record_id": made["id"], name: "Big lamp"}, *chosen)
    assert (changed[name], changed[price]) == ("Big lamp", Decimal("12.5"))
    listed = await account.run("list_records", {"page_size": 1}, *chosen)
    rest = await account.run("list_records", {"cursor": listed["next_cursor"]}, *chosen)
    assert {record["id"] for record in listed["records"] + rest["records"]} == {"recA1b2C3d4E5f6G7", made["id"]}
    assert (await account.run("delete_record", {"record_id": made["id"]}, *chosen))["deleted"] is True


async def test_several_records_made_in_airtable_at_once_are_told():
    name = custom_name("fldA1b2C3d4E5f6G7")
    made = await Account("airtable").run("create_records", {"records": [{name: "Lamp"}, {name: "Chair"}]}, "Example shop", "Things")
    assert [record[name] for record in made["records"]] == ["Lamp", "Chair"]


async def test_a_ticket_opened_at_zendesk_is_commented_on_changed_found_listed_and_new():
    account = Account("zendesk")
    product = custom_name("27648")
    opened = await account.run("create_ticket", {"comment": "Smoke!", "requester_id": 20978392, product: "Printer", "group_id": "Printers"})
    ticket = {"ticket_id": opened["id"]}

    assert (opened["subject"], opened["status"], opened[product], opened["group_id"]) == ("Smoke!", "new", "product_printer", 98738)
    await account.run("add_comment", {**ticket, "comment": "On my way.", "attachments": [{"file": INLINE, "filename": "map.txt"}]})
    assert (await account.run("update_ticket", {**ticket, "status": "solved"}))["status"] == "solved"
    assert (await account.run("get_ticket", ticket))[product] == "product_printer"
    assert (await account.run("list_comments", ticket))["comments"][0]["text"] == "Smoke!"
    assert (await account.run("find_tickets", {"query": "smoke!"}))["first_id"] == opened["id"]
    assert [item["id"] for item in (await account.run("new_tickets", {}))["items"]] == [opened["id"], 35436]
    assert (await account.run("updated_tickets", {}))["items"][0]["id"] == opened["id"]
    first = await account.run("list_tickets", {"page_size": 1})
    second = await account.run("list_tickets", {"page_size": 1, "after": first["next_after"]})
    assert [page["tickets"][0]["id"] for page in (first, second)] == [opened["id"], 35436]
    assert (first["has_more"], second["has_more"]) == (True, False)
    await account.run("delete_ticket", ticket)
    assert (await account.run("find_tickets", {"query": "smoke!"}))["found"] is False


async def test_a_user_of_zendesk_is_added_once_and_found():
    account = Account("zendesk")
    plan = custom_name("plan")
    added = await account.run("upsert_user", {"name": "Ada", "email": "ada@example.com", plan: "Silver"})
    changed = await account.run("upsert_user", {"name": "Ada Example", "email": "ada@example.com"})

    assert (added["id"], added[plan]) == (changed["id"], "plan_silver")
    found = await account.run("find_user", {"query": "email:ada@example.com"})
    assert (found["total"], found["id"], found["name"], found[plan]) == (1, added["id"], "Ada Example", "plan_silver")
    assert (await account.run("get_user", {"user_id": added["id"]}))["email"] == "ada@example.com"


async def test_a_customer_made_at_stripe_is_found_billed_and_new():
    account = Account("stripe")
    made = await account.run(
        "create_customer", {"email": "ada@example.com", "name": "Ada Example", "metadata": [{"key": "order", "value": "7"}]}
    )
    assert (await account.run("find_customer", {"email_address": "ada@example.com"}))["id"] == made["id"]
    assert (await account.run("update_customer", {"customer": "Ada Example", "description": "From the fair"}))[
        "description"
    ] == "From the fair"
    item = await account.run("create_invoice_item", {"customer": made["id"], "amount": "12.5", "currency": "EUR"})
    assert item["amount_minor"] == 1250
    invoice = await account.run("create_invoice", {"customer": made["id"], "days_until_due": 14})
    assert (await account.run("send_invoice", {"invoice": invoice["id"]}))["status"] == "open"
    items = (await account.run("new_customers", {}))["items"]
    assert [item["email"] for item in items] == ["ada@example.com", "grace@example.com"]


async def test_a_customer_made_at_shopify_is_changed_found_listed_and_new():
    account = Account("shopify")
    made = await account.run("create_customer", {"email": "ada@example.com", "first_name": "Ada", "last_name": "Example"})
    changed = await account.run("update_customer", {"id": made["id"], "note": "Likes lamps"})
    assert (changed["email"], changed["note"]) == ("ada@example.com", "Likes lamps")
    assert (await account.run("find_customer", {"email_address": "ada@example.com"}))["id"] == made["id"]
    first = await account.run("list_customers", {"page_size": 1})
    rest = await account.run("list_customers", {"page_size": 1, "cursor": first["next_cursor"]})
    assert [first["customers"][0]["id"], rest["customers"][0]["id"]] == [made["id"], "gid://shopify/Customer/900"]
    assert [item["email"] for item in (await account.run("new_customers", {}))["items"]] == ["ada@example.com", "grace@example.com"]
    assert (await account.run("get_order", {"id": "gid://shopify/Order/800"}))["items"][0]["price"] == Decimal("12.45")


async def test_a_message_sent_by_a_telegram_bot_is_changed_forwarded_and_deleted():
    account = Account("telegram")
    ada = {"chat_id": "123456789"}
    sent = await account.run("send_message", {**ada, "text": "On its way.", "buttons": [{"text_": "Thanks", "data": "thanks"}]})
    message = {**ada, "message_id": sent["message_id"]}

    assert (sent["message_id"], sent["chat_number"], sent["text_sent"]) == (42, 123456789, "On its way.")
    assert (await account.run("edit_message", {**message, "text": "Here."}))["text_sent"] == "Here."
    assert (await account.run("forward_message", {**message, "chat_id": "-1001234567890", "from_chat_id": "123456789"}))["message_id"] == 43
    assert await account.run("delete_message", message) == {"deleted": True}
    assert (await account.run("get_chat", {"chat_id": "-1001234567890"}))["title"] == "Order desk"


@pytest.mark.parametrize(
    "photo",
    [
        {"photo": INLINE},
        {"source": "address", "photo_url": "https://example.com/a.png"},
        {"source": "file_id", "photo_id": "AgACAgIAAxkDexample"},
    ],
)
async def test_a_telegram_bot_sends_a_photo_from_an_upload_an_address_or_a_file_id(photo):
    account = Account("telegram")

    sent = await account.run("send_photo", {"chat_id": "123456789", "caption": "Our shop", **photo})

    assert (sent["caption_sent"], sent["photo_file_id"]) == ("Our shop", "AgACAgIAAxkDexample")


async def test_the_updates_of_a_telegram_bot_go_on_behind_the_last_one_that_was_worked_on():
    account = Account("telegram")

    items = (await account.run("new_updates", {}))["items"]
    assert [(item["update_id"], item.get("text"), item.get("press_data")) for item in items] == [
        (700000001, "Where is my order?", None),
        (700000002, None, "paid-1027"),
    ]
    assert [item["update_id"] for item in (await account.run("new_updates", {"last_update_id": 700000001}))["items"]] == [700000002]


async def test_a_row_added_in_google_sheets_is_changed_found_read_new_and_gone():
    account, chosen = Account("google-sheets"), ("an example", "Orders")
    name, mail = custom_name("Name"), custom_name("E-mail")
    added = await account.run("append_row", {name: "Ada", mail: "ada@example.com"}, *chosen)
    assert (added["row"], added[mail]) == (4, "ada@example.com")
    changed = await account.run("update_row", {"row": 4, name: "Ada Example", mail: "ada@example.com"}, *chosen)
    assert changed[name] == "Ada Example"
    found = await account.run("find_row", {"column": "E-mail", "value": "ada@example.com"}, *chosen)
    assert (found["row"], found[name]) == (4, "Ada Example")
    listed = await account.run("list_rows", {}, *chosen)
    assert [(row["row"], row[name]) for row in listed["rows"]] == [(2, "Grace"), (3, "Linus"), (4, "Ada Example")]
    assert [item["row"] for item in (await account.run("new_rows", {}, *chosen))["items"]] == [2, 3, 4]
    await account.run("clear_rows", {"first_row": 3}, *chosen)
    assert (await account.run("get_row", {"row": 3}, *chosen))["found"] is False
    assert [item["row"] for item in (await account.run("new_rows", {}, *chosen))["items"]] == [2, 4]
    await account.run("delete_rows", {"first_row": 4}, *chosen)
    assert (await account.run("find_row", {"column": "E-mail", "value": "ada@example.com"}, *chosen)) == {"found": False}
    made = await account.run("add_sheet", {"title": "Stock", "headings": ["Article"]}, chosen[0])
    assert (made["sheet_id"], made["title"]) == (8, "Stock")


async def test_a_card_made_at_trello_has_its_custom_fields_is_moved_commented_on_found_and_new():
    account, board = Account("trello"), "5f0c9a7bd2c4a21b9a6f0021"
    order, price, paid, supplier = (custom_name(f"5f0c9a7bd2c4a21b9a6f0a0{n}") for n in (1, 2, 4, 5))
    made = await account.run("create_card", {"list": "To do", "name": "Order paper", price: "12.50", supplier: "Paper Ltd"}, board)
    card = {"card": made["id"]}

    assert (made[price], made[supplier]) == (Decimal("12.50"), "5f0c9a7bd2c4a21b9a6f0b01")
    changed = await account.run("update_card", {**card, "list": "Done", "members": ["Ada Example (@ada)"], paid: True, order: "A-7"}, board)
    assert (changed["list"], changed["members"], changed[paid], changed[order]) == (
        "5f0c9a7bd2c4a21b9a6f0012",
        ["5f0c9a7bd2c4a21b9a6f0031"],
        True,
        "A-7",
    )
    assert (await account.run("get_card", card, board))[order] == "A-7"
    assert (await account.run("add_comment", {**card, "text": "Ordered."}))["card_id"] == made["id"]
    assert (await account.run("add_attachment", {**card, "file": INLINE}))["size"] == 5
    assert (await account.run("find_cards", {"query": "paper"}))["first_id"] == made["id"]
    assert [item["card_id"] for item in (await account.run("new_cards", {"board": board}))["items"]] == [
        made["id"],
        "5f0c9a7bd2c4a21b9a6f0001",
    ]
    assert (await account.run("updated_cards", {"board": board}))["items"][0]["list_name"] == "Done"
    await account.run("delete_card", card)
    assert (await account.run("list_cards", {"board": "Example office"}))["cards"][0]["name"] == "Example card"
    assert {"board": (await account.run("create_board", {"name": "Attic"}))["name"]} == {"board": "Attic"}


async def test_a_member_added_at_mailchimp_is_changed_tagged_found_new_and_archived():
    account, audience = Account("mailchimp"), "Example friends of the shop"
    first_name, tier = custom_name("FNAME"), custom_name("TIER")
    ada = {"email": "ada@example.com"}
    added = await account.run(
        "upsert_member", {"email": "Ada@Example.com", "status": "subscribed", first_name: "Ada", tier: "Gold"}, audience
    )
    changed = await account.run("upsert_member", {**ada, tier: "Silver", "tags": [{"name": "Fair"}]}, audience)

    assert (changed["id"], changed[first_name], changed[tier]) == (added["id"], "Ada", "Silver")
    assert (await account.run("get_member", ada, audience))["tag_names"] == ["Fair"]
    assert (await account.run("find_member", {"query": "ada@example"}, audience))["address"] == "ada@example.com"
    assert [item["address"] for item in (await account.run("new_subscribers", {}, audience))["items"]] == [
        "ada@example.com",
        "grace@example.com",
    ]
    await account.run("archive_member", ada, audience)
    eve = await account.run("add_member", {"email": "eve@example.com", "status": "subscribed", "tags": ["Fair"]}, audience)
    assert (eve["address"], eve["tag_names"]) == ("eve@example.com", ["Fair"])
    assert (await account.run("update_member", {"email": "eve@example.com", "vip": True}, audience))["is_vip"] is True
    await account.run("archive_member", {"email": "EVE@example.com"}, audience)
    assert (await account.run("list_members", {}, audience))["total"] == 1
    assert (await account.run("list_campaigns", {}))["campaigns"][0]["subject"] == "What is new in May"


async def test_a_message_and_a_call_of_vonage_with_its_text_digits_and_end():
    account = Account("vonage")
    numbers = {"to": "+44 7700 900000", "from": "447700900001"}
    assert (await account.run("send_text", {**numbers, "text": "Hello"}))["message_id"] == "aaaaaaaa-bbbb-4ccc-8ddd-000000000001"
    made = await account.run("create_call", {**numbers, "text": "Hello"})
    call = {"call": made["id"]}

    assert (await account.run("get_call", call))["to_number"] == "447700900000"
    assert (await account.run("talk", {**call, "text": "Please hold the line."}))["message"] == "Talk started"
    assert (await account.run("send_digits", {**call, "digits": "17"}))["message"] == "DTMF sent"
    await account.run("update_call", {**call, "action": "hangup"})
    assert (await account.run("list_calls", {"with_status": "completed"}))["total"] == 1
    assert [item["id"] for item in (await account.run("new_calls", {}))["items"]] == [made["id"]]


async def test_people_questions_and_queries_of_metabase():
    account = Account("metabase")
    made = await account.run("create_user", {"email": "new@example.com", "first_name": "Nina", "groups": ["Example desk"]})
    assert (await account.run("find_user", {"text": "new@example.com"}))["id"] == made["id"]
    await account.run("update_user", {"user": made["id"], "last_name": "Sample"})
    await account.run("deactivate_user", {"user": made["id"]})
    gone = await account.run("get_user", {"user": made["id"]})
    assert (gone["full_name"], gone["active"]) == ("Nina Sample", False)
    assert [item["id"] for item in (await account.run("new_users", {}))["items"]][-1] == made["id"]
    asked = await account.run("create_question", {"name": "Orders", "database": "Example shop", "query": "SELECT 1"})
    assert (await account.run("run_question", {"question": asked["id"]}))["rows"] == [[1]]
    assert (await account.run("search", {"text": "orders"}))["total"] == 2
    with pytest.raises(CallFailed, match="syntax error"):
        await account.run("run_query", {"database": 2, "query": "fail"})
    assert len((await account.run("new_questions", {}))["items"]) == 2
    assert (await account.run("get_dashboard", {"dashboard": "Example sales"}))["cards"][0]["question_id"] == 42


async def test_a_customer_of_netsuite_is_added_once_orders_is_billed_and_new():
    account = Account("netsuite")
    made = await account.run("upsert_customer", {"external_id": "crm-5", "company_name": "Sample Ltd", "email": "ada@example.com"})
    assert await account.run("upsert_customer", {"external_id": "crm-5", "company_name": "Sample & Sons"}) == made
    assert (await account.run("find_customer", {"text": "ada@example.com"}))["company_name"] == "Sample & Sons"
    assert await account.run("find_customer", {"text": "nobody@example.com"}) == {"found": False}
    await account.run("update_customer", {"customer": made["id"], "phone": "+442079460000"})
    assert (await account.run("get_customer", {"customer": made["id"]}))["phone"] == "+442079460000"
    order = await account.run("create_sales_order", {"customer": made["id"], "items": [{"item": "Lamp (example)", "quantity": "2"}]})
    assert (await account.run("get_sales_order", {"sales_order": order["id"]}))["items"] == [{"item": "98", "quantity": 2}]
    invoice = await account.run("invoice_sales_order", {"sales_order": order["id"], "date": "2026-11-25"})
    assert (await account.run("get_invoice", {"invoice": invoice["id"]}))["status"] == "Open"
    assert [item["id"] for item in (await account.run("new_customers", {}))["items"]] == [made["id"], "107"]
    assert [item["id"] for item in (await account.run("new_sales_orders", {}))["items"]] == [order["id"]]


async def test_a_post_is_written_at_ghost_published_found_and_deleted_and_a_member_joins():
    account = Account("ghost")
    made = await account.run("create_post", {"title": "Hello, world", "html": "<p>Hi</p>"})
    post = {"post": made["id"]}

    assert (made["status"], made["author_names"]) == ("draft", ["Ada Example"])
    changed = await account.run("update_post", {**post, "status": "Published", "published_at": "2026-11-24T12:00:00Z"})
    assert (changed["status"], changed["title"]) == ("published", "Hello, world")
    assert (await account.run("get_post", post))["html"] == "<p>Hi</p>"
    assert (await account.run("find_posts", {"text": "Hello"}))["first_id"] == made["id"]
    assert [item["id"] for item in (await account.run("published_posts", {}))["items"]] == [made["id"], "5ddc9141c35e7700383b2937"]
    image = await account.run("upload_image", {"file": INLINE})
    assert image["url"].startswith("https://acme.ghost.io/")
    await account.run("delete_post", post)
    assert (await account.run("list_posts", {}))["total"] == 1

    member = await account.run("create_member", {"email": "ada@example.com", "labels": "VIP", "newsletters": "Example weekly"})
    assert (member["labels"], member["newsletters"]) == (["VIP"], ["62750bff2b868a34f814af08"])
    assert (await account.run("update_member", {"member": member["id"], "name": "Ada"}))["name"] == "Ada"
    assert (await account.run("find_member", {"address": "ada@example.com"}))["id"] == member["id"]
    assert (await account.run("list_members", {"with_status": "Free"}))["total"] == 2
    assert [item["email"] for item in (await account.run("new_members", {}))["items"]] == ["ada@example.com", "grace@example.com"]


async def test_an_object_put_into_amazon_s3_is_copied_listed_read_new_and_gone():
    account, shop = Account("amazon-s3"), "example-shop"
    key, image = "2026/lamp 1.png", FileValue(content=b"PNG!", name="lamp.png", content_type="image/png")
    made = await account.run(
        "put_object", {"key": key, "file": {"name": "lamp.png", "contentType": "image/png", "base64": "UE5HIQ=="}}, shop
    )
    await account.run("put_object", {"key": "notes/a.txt", "source": "text", "text": "Hi", "content_type": "text/plain"}, shop)
    assert (await account.run("get_object_info", {"key": key}, shop))["etag"] == made["etag"]
    got = (await account.run("get_object", {"key": key}, shop))["file"]
    assert (got.content, got.content_type) == (image.content, image.content_type)
    await account.run(
        "copy_object", {"key": "old/lamp.png", "source_bucket": shop, "source_key": key, "storage_class": "GLACIER_IR"}, "example-archive"
    )
    assert [item["storage_class"] for item in (await account.run("list_objects", {}, "example-archive"))["objects"]] == ["GLACIER_IR"]
    first = await account.run("list_objects", {"page_size": 1}, shop)
    rest = await account.run("list_objects", {"cursor": first["next_cursor"]}, shop)
    assert [item["key"] for item in first["objects"] + rest["objects"]] == [key, "example.txt", "notes/a.txt"]
    assert [item["key"] for item in (await account.run("new_objects", {"prefix": "2026/"}, shop))["items"]] == [key]
    await account.run("delete_object", {"key": key}, shop)
    with pytest.raises(CallFailed):
        await account.run("get_object", {"key": key}, shop)


async def test_a_message_sent_with_pushover_has_an_image_or_a_receipt_and_is_confirmed():
    account = Account("pushover")
    assert "receipt" not in await account.run("send_message", {"message": "Look", "image": INLINE, "sound": "Example bike"})
    sent = await account.run("send_message", {"message": "Fire", "priority": 2, "recipient": "Example on call"})
    receipt = {"receipt": sent["receipt"]}

    assert (await account.run("get_receipt", receipt))["acknowledged"] is True
    assert [item["receipt"] for item in (await account.run("confirmed_message", receipt))["items"]] == [sent["receipt"]]
    assert "request" in await account.run("cancel_emergency", receipt)


async def test_a_member_of_a_group_of_pushover_is_added_shown_and_taken_out():
    account, group = Account("pushover"), {"group": "Example on call"}
    ada = {**group, "user": "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"}
    await account.run("add_group_member", {**ada, "memo": "Ada"})

    assert [member["memo"] for member in (await account.run("get_group", group))["members"]] == ["Ada"]
    await account.run("remove_group_member", ada)
    assert (await account.run("get_group", group))["members"] == []
    assert (await account.run("find_recipient", {"recipient": ada["user"]}))["devices"] == ["iphone-example", "desk"]


async def test_an_event_goes_out_signed_by_pusher_and_channels_and_users_are_read():
    account = Account("pusher")
    sent = {"channels": ["my-channel", "other"], "event": "order-paid", "data": {"order": 7}}

    assert await account.run("trigger_event", sent | {"info": ["subscription_count"]}) == {}
    await account.run("trigger_batch", {"events": [{"channel": "my-channel", "event": "a", "data": "{}"}]})
    assert await account.run("list_channels", {"prefix": "presence-", "info": "user_count"}) == {
        "channels": [{"channel": "presence-room", "user_count": 2}]
    }
    assert (await account.run("get_channel", {"channel": "presence-room", "info": ["user_count"]}))["user_count"] == 2
    users = await account.run("list_channel_users", {"channel": "presence-room"})
    assert (
        (await account.run("channel_users", {"channel": "presence-room"}))["items"]
        == users["users"]
        == [{"id": "user-7"}, {"id": "user-8"}]
    )
    assert await account.run("terminate_user", {"user_id": "user-7"}) == {"user_id": "user-7"}


async def test_an_order_of_paypal_is_captured_and_refunded_and_an_invoice_sent():
    account = Account("paypal")
    made = await account.run("create_order", {"amount": "12.50", "currency": "EUR", "description": "Order 7"})
    order = {"order": made["id"]}

    assert (made["amount"], made["status"]) == (Decimal("12.50"), "PAYER_ACTION_REQUIRED")
    assert made["approve_url"] == f"https://www.sandbox.paypal.com/checkoutnow?token={made['id']}"
    assert (await account.run("update_order", {**order, "description": "Order 8"}))["description"] == "Order 8"
    captured = await account.run("capture_order", order)
    assert (captured["status"], captured["payer_email"]) == ("COMPLETED", "ada@example.com")
    refund = await account.run("create_refund", {"capture": captured["capture_id"], "amount": "2.50", "currency": "EUR"})
    assert (await account.run("get_refund", {"refund": refund["id"]}))["amount"] == Decimal("2.50")

    draft = await account.run(
        "create_invoice", {"currency": "EUR", "email": "ada@example.com", "items": [{"name": "Lamp", "price": "12.50"}]}
    )
    assert (await account.run("send_invoice", {"invoice": draft["id"]}))["status"] == "SENT"
    assert (await account.run("find_invoices", {"email": "ada@example.com"}))["first_id"] == draft["id"]
    assert {item["id"] for item in (await account.run("new_invoices", {}))["items"]} == {draft["id"], "INV2-Z56S-5LLA-Q52L-CPZ5"}
    await account.run("cancel_invoice", {"invoice": draft["id"]})
    assert (await account.run("get_invoice", {"invoice": draft["id"]}))["status"] == "CANCELLED"
    assert (await account.run("new_transactions", {}))["items"] == []
