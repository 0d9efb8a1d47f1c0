"""Files that are read while they are sent: which may be, and what comes of sources that do not keep their word."""

import email.parser

import pytest

from polyport.engine.caller import open_caller
from polyport.engine.calls import prepare
from polyport.engine.operation import compile_operation
from polyport.engine.render import compile_call
from polyport.engine.streams import FileAtAddress
from polyport.engine.trace import Sent, trace_of
from polyport.kinds.bodies import ENCODERS, encode_whole
from polyport.kinds.fields import FileValue
from polyport.manifest.model import AuthChoice
from polyport.net.message import NetworkFault, Request, Stream
from polyport.template import RenderFault
from ready import NOW, Line
from samples import action, field, partner

pytestmark = pytest.mark.anyio
FILES = [field("a", "file"), field("b", "file"), field("name")]


class Given:
    """A source with these pieces."""

    def __init__(self, *told, size=None):
        self.told, self.size = told, size

    async def pieces(self):
        for piece in self.told:
            yield piece


class Shelf:
    """A network whose answers are opened; each is status, headers and pieces."""

    def __init__(self, *answers):
        self.answers, self.requests, self.closed = list(answers), [], 0

    async def open(self, request):
        self.requests.append(request)
        status, headers, pieces = self.answers.pop(0)
        shelf = self

        class Opened(Given):
            def close(self):
                shelf.closed += 1

        opened = Opened(*pieces)
        opened.status, opened.headers = status, tuple(headers.items())
        return opened


def sized(*pieces, told=None, **headers):
    size = sum(map(len, pieces)) if told is None else told
    return (200, {"Content-Length": str(size), **headers}, pieces)


def at(shelf, limit=100):
    return FileAtAddress(shelf, "https://x.example/f", limit=limit, until=None)


async def whole(source):
    return b"".join([piece async for piece in source.pieces()])


def streamed(*calls, **keys):
    made = action(calls=list(calls), fields=FILES, **keys)
    return compile_operation(partner(made), made).streamed


def upload(**keys):
    return {"method": "POST", "path": "/x", "encoding": "multipart", **keys}


@pytest.mark.parametrize(
    ("calls", "keys", "found"),
    [
        ([upload(body={"f": "{{a}}", "n": "{{name}}", "k": 1})], {}, {"a", "name"}),
        ([upload(body={"{{name}}": ["{{a}}", "x"]})], {}, {"a", "name"}),
        ([upload(body="{{b}}", encoding="bytes")], {}, {"b"}),
        ([upload(body={"f": "{{a | base64}}", "g": "{{b}}"})], {}, {"b"}),
        ([upload(body={"f": "{{a}}"}, encoding="json")], {}, set()),
        ([upload(body={"f": "{{a}}"}), upload(body={"f": "{{a}}"}, encoding="json")], {}, set()),
        ([upload(body={"f": "{{a}}", "g": "{{b}}"}, query={"n": "{{a.name}}"})], {}, {"b"}),
        ([upload(body={"f": "{{a}}"})], {"result": {"value": "{{a}}"}}, set()),
    ],
)
def test_a_file_is_streamed_where_nothing_but_uploads_reads_it_as_it_is(calls, keys, found):
    assert streamed(*calls, **keys) == found


async def test_a_file_is_read_from_the_answer_that_told_its_size():
    shelf = Shelf(sized(b"ab", b"c", **{"Content-Type": "image/png; x=1"}))
    source = at(shelf)
    assert await source.begin() == 200
    assert (source.size, source.content_type) == (3, "image/png")
    assert await whole(source) == b"abc"
    source.close()
    assert shelf.closed == 1
    assert shelf.requests[0].header("Accept-Encoding") == "identity"


async def test_a_second_reading_asks_again():
    shelf = Shelf(sized(b"abc"), sized(b"abc"))
    source = at(shelf)
    await source.begin()
    assert (await whole(source), await whole(source)) == (b"abc", b"abc")
    assert shelf.closed == 2


@pytest.mark.parametrize("again", [sized(b"abcd"), (404, {"Content-Length": "3"}, (b"abc",))])
async def test_a_file_that_is_another_the_second_time_is_refused(again):
    shelf = Shelf(sized(b"abc"), again)
    source = at(shelf)
    await source.begin()
    await whole(source)
    with pytest.raises(NetworkFault, match="has changed"):
        await whole(source)
    assert shelf.closed == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (sized(b"ab", told=3), "broke off"),
        (sized(b"abcd", told=3), "more bytes than was told"),
        ((200, {}, (b"x" * 60, b"x" * 60)), "larger than 100 bytes"),
    ],
)
async def test_a_source_that_does_not_keep_its_word_breaks_the_upload(answer, words):
    shelf = Shelf(answer)
    source = at(shelf)
    await source.begin()
    with pytest.raises(NetworkFault, match=words):
        await whole(source)
    assert shelf.closed == 1


async def test_a_file_that_is_told_to_be_too_large_is_refused_at_once():
    shelf = Shelf(sized(b"", told=101))
    with pytest.raises(NetworkFault, match="larger than 100 bytes"):
        await at(shelf).begin()
    assert shelf.closed == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Length": "x"},
        {"Content-Length": "²"},
        {"Content-Length": "9" * 30},
        {"Content-Length": "3", "Content-Encoding": "gzip"},
    ],
)
async def test_a_size_that_says_nothing_of_the_file_is_none(headers):
    source = at(Shelf((200, headers, (b"abc",))))
    await source.begin()
    assert source.size is None
    assert await whole(source) == b"abc"


async def test_what_was_opened_and_not_read_is_closed_once():
    shelf = Shelf(sized(b"abc"))
    source = at(shelf)
    source.close()
    await source.begin()
    source.close()
    source.close()
    assert shelf.closed == 1


# Bodies


async def test_an_upload_of_a_source_is_the_same_form_in_pieces():
    file = FileValue(source=Given(b"ab", b"cd", size=4), name="a.bin", content_type="x/y")
    kind, body = ENCODERS["multipart"]({"n": "1", "f": file, "g": FileValue(content=b"z", name="z")})
    sent = b"".join([piece async for piece in body.pieces()])
    assert body.size == len(sent)
    message = email.parser.BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + sent)
    parts = [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in message.get_payload()
    ]
    assert parts == [("n", None, b"1"), ("f", "a.bin", b"abcd"), ("g", "z", b"z")]


def test_the_boundary_around_a_source_cannot_be_foreseen():
    bodies = [ENCODERS["multipart"]({"f": FileValue(source=Given(b"a"))})[0] for _ in range(2)]
    assert bodies[0] != bodies[1]


async def test_a_source_of_unknown_size_makes_a_body_of_unknown_size():
    _kind, body = ENCODERS["bytes"](FileValue(source=Given(b"a")))
    assert (body.size, body.shown) == (None, b"(a file)")
    assert [piece async for piece in body.pieces()] == [b"a"]
    assert Stream((b"x", Given(size=5), b"y")).shown == b"x(a file of 5 bytes)y"


def test_a_file_has_no_place_in_a_request_that_is_made_whole():
    with pytest.raises(RenderFault, match="no place in this request"):
        encode_whole("bytes", FileValue(source=Given(b"a")))
    with pytest.raises(RenderFault, match="has to be fetched"):
        encode_whole("multipart", {"a": FileValue(url="https://x.example/f")})
    assert encode_whole("json", {"a": 1}) == ("application/json", b'{"a":1}')
    with pytest.raises(RenderFault, match="no place in JSON"):
        encode_whole("json", {"a": FileValue(source=Given(b"a"))})


def test_a_streamed_request_keeps_its_stream_and_is_shown_without_it():
    call = action(call=upload(body="{{a}}", encoding="bytes"), fields=FILES).call
    caller = open_caller(partner(), None, {}, Line(), replaced=None, timeout=5, clock=lambda: NOW)
    request = prepare(caller, compile_call(call), {"a": FileValue(source=Given(size=7), content_type="x/y")})
    assert (request.body, request.stream.size, request.header("Content-Type")) == (None, 7, "x/y")
    assert request.with_header("X", "1").stream is request.stream
    assert trace_of(caller, Sent(step="call", request=request)).body == "(a file of 7 bytes)"
    assert isinstance(request, Request)


@pytest.mark.parametrize(
    ("scheme", "reads"),
    [
        ({"kind": "bearer", "token": "x"}, False),
        ({"kind": "api_key", "in": "header", "param": "X", "value": "x"}, False),
        ({"kind": "api_key", "in": "body", "param": "x", "value": "x"}, True),
        ({"kind": "api_key", "in": "header", "param": "X", "value": "x", "also": [{"in": "body", "param": "x", "value": "x"}]}, True),
        (
            {
                "kind": "signature",
                "key": "k",
                "signs": "{{request.body}}",
                "place": [{"in": "header", "param": "X", "value": "{{signature}}"}],
            },
            True,
        ),
        ({"kind": "sigv4", "service": "s3", "region": "eu-west-1"}, True),
        ({"kind": "sigv4", "service": "s3", "region": "eu-west-1", "unsignedPayload": True}, False),
    ],
)
def test_a_scheme_that_signs_the_body_says_so(scheme, reads):
    choice = AuthChoice.model_validate({"name": "a", "label": "A", "fields": [], "scheme": scheme}, by_alias=True, by_name=False)
    assert choice.scheme.reads_body is reads
