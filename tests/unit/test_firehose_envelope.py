import base64
import gzip
import json
import re
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.envelopes.firehose import (
    MAX_ERROR_CHARACTERS,
    MAX_ID_CHARACTERS,
    RequestError,
    claimed_size,
    delivered_at,
    header_id,
    open_error_record,
    open_firehose_request,
    plain_name,
    response_body,
    stream_name,
)
from detector.envelopes.log_file import LogFile, skipped_by_name
from detector.envelopes.payload import Limits, open_payload
from detector.envelopes.types import Inner
from detector.errors import PayloadError
from tests.records import log_file, record
from tests.servers.firehose_sender import STREAM_ARN, body_of, form_fault_of
from tests.strategies import examples

NOW = 1_789_560_000.0
STRICT_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
ID = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f"


def form_fault(status: int, body: bytes, request_id: str) -> str | None:
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    return form_fault_of(status, headers, body, request_id)


@examples(50)
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20))
def test_any_records_survive_the_way(records: list[bytes]) -> None:
    request = open_firehose_request(body_of(records, ID, NOW))
    assert (request.request_id, request.sent_at, request.records) == (ID, NOW, records)


def test_the_documented_request_is_read() -> None:
    request = open_firehose_request(
        b'{"requestId": "ed4acda5-034f-9f42-bba1-f29aea6d7d8f", "timestamp": 1578090901599,'
        b' "records": [{"data": "aGVsbG8="}, {"data": "aGVsbG8gd29ybGQ="}]}'
    )
    assert request.records == [b"hello", b"hello world"]
    assert request.sent_at == 1_578_090_901.599


def test_data_may_be_empty_and_a_time_and_other_fields_need_not_be_known() -> None:
    request = open_firehose_request(
        b'{"requestId":"a","records":[{"data":"","more":1}],"other":[{}]}'
    )
    assert (request.records, request.sent_at) == ([b""], None)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["requestId", "timestamp", "records", "data", "x"]), inner, max_size=4
        ),
    ),
    max_leaves=8,
)


@examples(200)
@given(st.one_of(st.binary(max_size=80), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_get_a_response_of_the_allowed_form(body: bytes) -> None:
    try:
        request = open_firehose_request(body)
    except RequestError as error:
        answer = response_body("", NOW, error.message)
        assert (error.status, form_fault(400, answer, "")) == (400, None)
    else:
        assert form_fault(200, response_body(request.request_id, NOW), request.request_id) is None


def one(data: str) -> bytes:
    return json.dumps({"requestId": "a", "records": [{"data": data}]}).encode()


@examples(200)
@given(st.text(alphabet="aQg=+/-_ \n", max_size=9))
def test_base64_is_taken_in_its_strict_form_alone(data: str) -> None:
    expected = base64.b64decode(data) if STRICT_BASE64.fullmatch(data) else None
    try:
        found: bytes | None = open_firehose_request(one(data)).records[0]
    except RequestError:
        found = None
    assert found == expected


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[" * 100_000, ""),
        (b"[]", "Expected `object`"),
        (b'{"requestId":"a"}', "missing required field `records`"),
        (b'{"records":[{"data":""}]}', "missing required field `requestId`"),
        (b'{"requestId":"a","records":[]}', "there must be 1 to 10000 records, not 0"),
        (b'{"requestId":"a","records":[' + b",".join([b'{"data":""}'] * 10_001) + b"]}", "10001"),
        (b'{"requestId":"a","records":[' + b"1," * 100_001 + b"1]}", "more than 100000 values"),
        (b'{"requestId":"","records":[{"data":""}]}', "requestId must have 1 to 1024"),
        (b'{"requestId":7,"records":[{"data":""}]}', "requestId"),
        (b'{"requestId":"a","timestamp":"1","records":[{"data":""}]}', "timestamp"),
        (b'{"requestId":"a","records":[{"data":""},{"data":"a"}]}', "record 1: Invalid base64"),
        (b'{"requestId":"a","records":[{"data":""},{}]}', "record 1: Object missing"),
        (b'{"requestId":"a","records":[{"data":{"owner":"1"}}]}', "record 0: Expected `bytes`"),
        (b'{"requestId":"a","records":[{"data":"\xff"}]}', "record 0"),
    ],
)
def test_what_is_no_request_is_refused_as_a_whole_and_says_why(body: bytes, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        open_firehose_request(body)
    assert (caught.value.status, caught.value.reason) == (400, "malformed")
    assert says in caught.value.message


def test_ten_thousand_records_are_taken() -> None:
    assert len(open_firehose_request(body_of([b"x"] * 10_000, ID)).records) == 10_000


@examples(50)
@given(st.text(max_size=10), st.text(max_size=20))
def test_an_error_of_any_length_has_the_allowed_form(request_id: str, message: str) -> None:
    request_id = request_id.encode(errors="replace").decode()
    for error in (message, message * 1000):
        assert form_fault(500, response_body(request_id, NOW, error), request_id) is None
    long = msgspec.json.decode(response_body("a", NOW, "x" * 10_000))
    assert len(long["errorMessage"]) == MAX_ERROR_CHARACTERS


@pytest.mark.parametrize(
    ("sent", "counts"),
    [
        (None, NOW),
        (NOW - 60, NOW - 60),
        (NOW - 7200, NOW - 7200),
        (NOW + 1, NOW),
        (NOW * 1000, NOW),
        (NOW - 9000, NOW),
        (0.0, NOW),
        (-1e300, NOW),
        (1e300, NOW),
    ],
)
def test_a_time_that_cannot_be_is_not_believed(sent: float | None, counts: float) -> None:
    assert delivered_at(sent, NOW) == counts


@pytest.mark.parametrize("text", [ID, "a", "A.b_c-9", "x" * 64])
def test_an_ordinary_name_stands_for_itself(text: str) -> None:
    assert plain_name(text) == text


@examples(100)
@given(
    st.one_of(
        st.text(max_size=100),
        st.sampled_from(["a_CloudTrail-Digest", "CloudTrail-Insight", "b_CloudTrail-Insight_c"]),
    )
)
def test_a_name_of_any_text_is_short_and_means_nothing_in_an_origin(text: str) -> None:
    name = plain_name(text)
    assert 0 < len(name) <= 64
    assert name.isascii()
    assert not set(name) & set("/: \n")
    assert skipped_by_name(f"firehose:{name}/{name}/0") is None
    assert plain_name(text) == name


def test_odd_names_are_told_apart() -> None:
    assert len({plain_name(text) for text in ("", "/", "//", "x" * 65, "x" * 66, "é")}) == 6


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (STREAM_ARN, "trail"),
        ("arn:aws-cn:firehose:cn-north-1:111122223333:deliverystream/a.b", "a.b"),
        ("arn:aws:sns:us-east-1:111122223333:trail", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_stream_is_called_by_its_name(arn: str | None, name: str) -> None:
    assert stream_name(arn) == name


@pytest.mark.parametrize("value", ["", "a\x7f", "é", "\udcff", "x" * (MAX_ID_CHARACTERS + 1)])
def test_an_id_that_no_response_could_repeat_is_refused(value: str) -> None:
    with pytest.raises(RequestError, match="X-Amz-Firehose-Request-Id"):
        header_id(value)
    assert (header_id(None), header_id(ID)) == (None, ID)


def test_gzip_tells_its_size_beforehand() -> None:
    assert claimed_size(gzip.compress(bytes(70_000))) == 70_000
    assert claimed_size(b"plain") == 5
    assert claimed_size(b"\x1f\x8b") == 0x8B1F


def failed(**fields: object) -> bytes:
    line = {
        "attemptsMade": 4,
        "arrivalTimestamp": 1_578_090_901_599,
        "errorCode": "HttpEndpoint.DestinationException",
        "errorMessage": "503",
        "attemptEndingTimestamp": 1_578_090_911_599,
        "rawData": "aGVsbG8=",
    }
    return json.dumps({**line, **fields}).encode()


@pytest.mark.parametrize(
    ("line", "raw"),
    [
        (failed(), b"hello"),
        (failed(attemptsMade="4", arrivalTimestamp="1578090901599", lambdaArn="arn"), b"hello"),
        (failed(rawData=""), b""),
    ],
)
def test_a_record_is_taken_out_of_a_line_of_an_error_prefix(line: bytes, raw: bytes) -> None:
    assert open_error_record(line) == [Inner(raw)]


@pytest.mark.parametrize(
    "line",
    [
        failed(rawData="aGVsbG8"),
        failed(rawData=None),
        b'{"rawData":"aGVsbG8="}',
        b'{"Records":[]}',
        b"",
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_line_of_an_error_prefix_is_refused(line: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        open_error_record(line)
    assert caught.value.reason == "unrecognised"


@examples(100)
@given(st.one_of(st.binary(max_size=50), JSON.map(lambda value: json.dumps(value).encode())))
def test_no_line_of_an_error_prefix_is_another_exception(line: bytes) -> None:
    with suppress(PayloadError):
        open_error_record(line)


def test_an_object_of_an_error_prefix_is_read_as_the_records_in_it() -> None:
    lines = [failed(rawData=base64.b64encode(log_file(record())).decode()) for _ in range(3)]
    contents = list(open_payload(b"\n".join(lines), Limits()))
    assert [len(item.raw()) for item in contents if isinstance(item, LogFile)] == [1, 1, 1]
    assert len(contents) == 3
