"""Reading descriptions of anybody's making: what is whole is read, what is hostile is refused, nothing hangs."""

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest
import yaml

from petshop import built, imported, pets, taking, with_path
from polyport.importers import documents, references
from polyport.importers.documents import Refused, clean_text, read_document
from polyport.importers.fetching import fetch
from polyport.importers.partner import beside, read_service
from polyport.importers.references import Dangling, References
from polyport.importers.run import Import, import_guarded
from polyport.net.message import NetworkFault, Reply


def bomb(levels: int = 9) -> str:
    lines = ['a0: &a0 ["x", "x"]'] + [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)]
    return "\n".join(lines)


def test_yaml_keeps_countries_and_days_as_texts() -> None:
    assert read_document(b"country: NO\nday: 2026-11-24\nyes: true\n") == {"country": "NO", "day": "2026-11-24", "yes": True}


def test_aliases_that_multiply_cost_no_more_than_they_are() -> None:
    found = read_document((bomb() + "\nopenapi: 3.0.0\npaths: {}\n").encode())
    assert found["openapi"] == "3.0.0"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[1, 2]", "holds no object"),
        (b"{", "neither JSON nor YAML"),
        (b"\xff\x00", "not UTF-8"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "nests too deep"),
        (b"- " * 5000 + b"x", "nests too deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nests too deep"),
        (b"a: &a [*a]", "neither"),
        (b"? {a: 1}\n: 2\n", "neither JSON nor YAML"),
        (b"a: !!python/object:os.system {}", "neither JSON nor YAML"),
    ],
)
def test_what_is_no_description_is_refused_with_a_sentence(content: bytes, words: str) -> None:
    with pytest.raises(Refused) as caught:
        _read(content)
    assert words in str(caught.value) or "no OpenAPI" in str(caught.value)


def _read(content: bytes) -> None:
    read_service(read_document(content))


def test_merges_that_multiply_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "NODES_LIMIT", 500)
    keys = ", ".join(f"k{number}: 1" for number in range(100))
    text = f"a: &a {{{keys}}}\n" + "\n".join(f"b{number}: {{<<: *a}}" for number in range(50))
    with pytest.raises(Refused, match=r"multiplies itself|too large"):
        read_document(text.encode())


def test_a_document_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "SIZE_LIMIT", 10)
    with pytest.raises(Refused, match="larger than"):
        read_document(b"openapi: 3.0.0")


def test_texts_lose_their_markup_and_control_characters() -> None:
    assert clean_text("All <script>alert(1)</script><b>pets</b>\x00, 1 < 2") == "All pets , 1 < 2"
    assert "<" not in clean_text("<img src=x onerror=alert(1)>")
    assert clean_text("x" * 5000, 100).endswith("…")
    assert clean_text(None) == ""


def test_references_go_round_and_nowhere_without_harm() -> None:
    found = References({"a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}, "list": [1, {"x": 2}]})
    with pytest.raises(Dangling, match="circle"):
        found.follow({"$ref": "#/a"})
    with pytest.raises(Dangling, match="nowhere"):
        found.resolve("#/list/7")
    with pytest.raises(Dangling, match="no text"):
        found.resolve(7)
    assert found.resolve("#/list/1/x") == 2


def test_files_beside_the_document_are_read_and_none_outside(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.yaml").write_text("a: 1")
    (tmp_path / "in/parts").mkdir()
    (tmp_path / "in/parts/pet.yaml").write_text(
        'Pet: {type: object, properties: {food: {$ref: "#/Food"}, toy: {$ref: "toy.yaml#/Toy"}}}\nFood: {type: string}'
    )
    (tmp_path / "in/parts/toy.yaml").write_text("Toy: {type: integer}")
    (tmp_path / "in/link.yaml").symlink_to(tmp_path / "secret.yaml")
    document = taking({"$ref": "parts/pet.yaml#/Pet"})
    found = imported(document, folder=tmp_path / "in")
    assert {"food", "toy"} <= {line.split(": ")[1] for line in found.files["actions/make.yaml"].splitlines() if line.startswith("- name: ")}
    read = beside(tmp_path / "in")
    for name in ("../secret.yaml", "link.yaml", "nothing.yaml", "/etc/passwd"):
        with pytest.raises(Dangling):
            References({}, read).resolve(f"{name}#/a")
    with pytest.raises(Dangling, match="leads out"):
        References({}, read).resolve("http://127.0.0.1/x.yaml#/a")


def test_a_description_is_never_too_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "FILES_MOST", 0)
    with pytest.raises(Dangling, match="too many files"):
        References({}, lambda _name: b"a: 1").resolve("x.yaml#/a")


def test_broken_parts_are_left_out_and_named_and_the_rest_is_there() -> None:
    document = with_path("/broken", {"get": {"operationId": "broken", "parameters": [{"$ref": "#/nope"}], "responses": {}}, "post": 7})
    document["paths"]["/gone"] = {"$ref": "#/paths/nowhere"}
    document["paths"]["/schema"] = {
        "post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/none"}}}}, "responses": {}}
    }
    found = built(document)
    told = {(left.what, left.why.split('"')[0]) for left in found.left}
    assert {what for what, _why in told} >= {"a parameter of GET /broken", "POST /broken", "/gone", "a schema"}
    assert {"list_pets", "create_pet", "broken"} <= found.actions.keys()


def test_nothing_to_import_is_refused() -> None:
    with pytest.raises(Refused, match="describes no operations"):
        built(pets(paths={}))
    with pytest.raises(Refused, match="no OpenAPI"):
        built({"hello": 1})


def test_a_document_is_read_in_a_process_of_its_own_that_may_die() -> None:
    from petshop import TODAY  # noqa: PLC0415  of this test alone

    content = json.dumps(pets()).encode()
    assert import_guarded(Import(content=content, slug="pets", today=TODAY)).report["counts"]["actions"] == 3
    with pytest.raises(Refused, match="no OpenAPI"):
        import_guarded(Import(content=b"{}", slug="pets", today=TODAY))
    large = json.dumps(pets() | {"x-more": ["x" * 1000] * 60_000}).encode()
    with pytest.raises(Refused, match=r"memory|failed"):
        import_guarded(Import(content=large, slug="pets", today=TODAY), memory=120 * 1024**2)


class Web:
    """Files by their address."""

    def __init__(self, **files: bytes) -> None:
        self.files, self.asked = files, list[str]()

    async def send(self, request):
        name = request.url.partition("?")[0].rsplit("/", 1)[-1].replace(".", "_")
        self.asked.append(request.url)
        if name == "down_yaml":
            raise NetworkFault("the connection was refused", reached=False)
        return Reply(status=200 if name in self.files else 404, body=self.files.get(name, b""))


@pytest.mark.anyio
async def test_a_description_is_fetched_with_the_files_that_it_needs_and_nothing_from_other_hosts() -> None:
    from petshop import TODAY  # noqa: PLC0415  of this test alone

    pets_yaml = yaml.safe_dump(
        pets(components={"schemas": {"Pet": {"$ref": "pet.yaml#/Pet"}, "B": {"$ref": "https://evil.example/x.yaml"}}})
    )
    web = Web(
        api_yaml=pets_yaml.encode(),
        pet_yaml=b'Pet: {$ref: "toy.yaml#/T"}',
        toy_yaml=b"T: {type: object, properties: {ball: {type: string}}}",
    )
    fetched = await fetch(web, "https://docs.example/v1/api.yaml?key=secret")
    wanted = Import(content=fetched.content, slug="pets", today=TODAY, origin=fetched.url, elsewhere=True)
    found = await asyncio.to_thread(import_guarded, wanted, read=partial(fetched.read, asyncio.get_running_loop()))

    assert fetched.files.keys() == {"pet.yaml", "toy.yaml"}
    assert "ball" in found.files["actions/create_pet.yaml"]
    assert all(url.startswith("https://docs.example/v1/") for url in web.asked)
    for name in ("none.yaml", "down.yaml"):
        with pytest.raises(OSError, match=r"cannot be fetched|answers with status 404"):
            await fetched.file(name)
    for url, words in (
        ("ftp://x/y", "https://"),
        ("https://a:b@x/y", "no user"),
        ("https://x:y/", "https://"),
        ("https://x/none.yaml", "404"),
        ("https://x/down.yaml", "refused"),
    ):
        with pytest.raises(Refused, match=words):
            await fetch(web, url)


@pytest.mark.anyio
async def test_files_beside_a_fetched_description_have_bounds() -> None:
    web = Web(api_yaml=b"a: 1", one_yaml=b"x" * 60, two_yaml=b"x" * 60, three_yaml=b"x")
    fetched = await fetch(web, "https://docs.example/v1/api.yaml", limit=100)
    assert (await fetched.file("one.yaml"), await fetched.file("two.yaml")) == (
        b"x" * 60,
        b"x" * 60,
    )  # what comes is bounded by the network
    with pytest.raises(OSError, match="there is no three"):
        await fetched.file("three.yaml")
    with pytest.raises(Refused, match=r"x/none\.yaml answers"):
        await fetch(web, "https://docs.example/x/none.yaml?token=secret")
