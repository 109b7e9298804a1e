import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert, AlertEpisode, Digest, DigestEntry
from detector.alerts.story import Reading
from detector.config import SecurityHubSinkConfig
from detector.sinks.security_hub.finding import finding_of, techniques_of, types_of
from detector.sinks.security_hub.resources import KNOWN_TYPES, type_of
from detector.sinks.sink import Answer, Delivered, Permanent, Retry
from detector.state.store import Notification
from tests.alerts import alert
from tests.aws import CREDENTIALS, REGION
from tests.records import record
from tests.servers.checking import Answer as Said
from tests.servers.checking import Fault
from tests.servers.security_hub import SecurityHubServer
from tests.sinks import answers, opened, sink_context
from tests.strategies import examples

ACCOUNT = "999988887777"
NOW = datetime(2026, 9, 16, 12, 7, 3, 500_000, UTC)
CONFIG = SecurityHubSinkConfig(name="hub", account=ACCOUNT, region=REGION)


def finding(made: Alert, kind: Any = "raised", config: SecurityHubSinkConfig = CONFIG) -> Any:
    return finding_of(Notification(made, kind), updated=NOW, config=config, reading=Reading())


def changed(**changes: Any) -> Alert:
    return msgspec.structs.replace(alert(), **changes)


@cache
def model() -> Any:
    return botocore.session.get_session().get_service_model("securityhub")


def check(made: Any) -> None:
    """Refuse what botocore, or the service by its documented limits, would."""
    shape = model().operation_model("BatchImportFindings").input_shape
    report = ParamValidator().validate({"Findings": [made]}, shape)
    assert not report.has_errors(), report.generate_report()
    SecurityHubServer.check_finding(made)


def test_an_incident_is_a_finding() -> None:
    made = finding(alert())
    check(made)
    incident = alert().id
    assert made["Id"] == f"cloudtrail-detector/{alert().rule_id}/{incident}"
    assert made["ProductArn"] == (
        f"arn:aws:securityhub:us-east-1:{ACCOUNT}:product/{ACCOUNT}/default"
    )
    assert made["AwsAccountId"] == ACCOUNT
    assert made["Title"] == "IAM policy changed"
    assert made["Severity"]["Label"] == "MEDIUM"
    assert made["FindingProviderFields"]["Severity"]["Label"] == "MEDIUM"
    assert made["Types"] == ["TTPs/Persistence", "TTPs/Privilege Escalation"]
    assert made["FirstObservedAt"] == "2026-09-16T12:00:00.000Z"
    assert made["UpdatedAt"] == "2026-09-16T12:07:03.500Z"
    assert made["RecordState"] == "ACTIVE"
    assert made["Resources"][0] == {
        "Type": "AwsIamUser",
        "Id": "arn:aws:iam::111122223333:user/bob",
        "Partition": "aws",
    }
    fields = made["ProductFields"]
    assert fields["cloudtrail-detector/accounts"] == "111122223333"
    assert fields["cloudtrail-detector/actors"] == "alice"
    assert fields["cloudtrail-detector/techniques"] == "T1098, T1098.003, T1484"
    assert fields["cloudtrail-detector/control/aws-security-hub"] == "CloudWatch.4"
    assert "v6.0.0: 5.4" in fields["cloudtrail-detector/control/cis-aws-foundations"]
    assert fields["cloudtrail-detector/event_id/1"] == "e0"
    assert made["Remediation"]["Recommendation"]["Text"].startswith("Find the change ticket")
    assert "Workflow" not in made
    assert "Note" not in made


def test_windows_of_an_incident_are_one_finding_that_ends() -> None:
    episode = AlertEpisode(
        id="e", start="2026-09-16T11:00:00Z", end="2026-09-16T12:05:00Z", windows=3, count=9
    )
    first, later = changed(dedup_key="i"), changed(id="later", dedup_key="i", episode=episode)
    assert finding(first)["Id"] == finding(later)["Id"]
    assert finding(later)["FirstObservedAt"] == "2026-09-16T11:00:00.000Z"
    assert finding(later)["ProductFields"]["cloudtrail-detector/count"] == "9"
    assert finding(changed(state="resolved"), "resolved")["RecordState"] == "ARCHIVED"


def test_a_test_and_a_digest_are_seen_to_be_that() -> None:
    assert finding(changed(test=True))["Title"].startswith("[TEST] ")
    entry = DigestEntry(
        rule_id="r",
        title="Root used",
        level="high",
        raised=4,
        updated=0,
        resolved=0,
        events=40,
        accounts=[],
        actors=[],
    )
    digest = Digest(notifications=4, raised=4, updated=0, resolved=0, events=40, entries=[entry])
    made = finding(changed(rule_id="detector.digest", counting="own", evidence=[], digest=digest))
    check(made)
    fields = made["ProductFields"]
    assert fields["cloudtrail-detector/digest"] == "4 notifications, 40 events"
    assert fields["cloudtrail-detector/digest_rules"] == "Root used"


def test_what_names_no_resource_is_about_its_accounts_or_the_findings_own() -> None:
    assert finding(changed(evidence=[]))["Resources"] == [
        {"Type": "AwsAccount", "Id": "AWS::::Account:111122223333", "Partition": "aws"}
    ]
    alone = finding(changed(evidence=[], accounts=[]))
    assert alone["Resources"][0]["Id"] == f"AWS::::Account:{ACCOUNT}"
    check(alone)


def test_another_partition_and_product_are_taken_over() -> None:
    gov = msgspec.structs.replace(CONFIG, region="us-gov-west-1")
    made = finding(alert(), config=gov)
    assert made["ProductArn"].startswith("arn:aws-us-gov:securityhub:us-gov-west-1:")
    assert made["Resources"][0]["Partition"] == "aws-us-gov"
    arn = "arn:aws:securityhub:us-east-1::product/acme/detector"
    own = msgspec.structs.replace(CONFIG, product_arn=arn)
    assert finding(alert(), config=own)["ProductArn"] == arn


def test_types_come_from_tags_and_there_is_always_one() -> None:
    assert types_of(["attack.t1098", "cis"]) == ["Unusual Behaviors/User"]
    assert types_of(["attack.defense_evasion", "attack.stealth", "attack.impact"]) == [
        "TTPs/Defense Evasion",
        "Effects/Resource Consumption",
    ]
    assert techniques_of(["attack.t1098", "attack.tactic", "t1098"]) == ["T1098"]


def test_resource_types_are_those_that_security_hub_knows() -> None:
    known = set(model().shape_for("ResourceDetails").members)
    assert set(KNOWN_TYPES) <= known
    assert type_of("AWS::EC2::VPC") == "AwsEc2Vpc"
    assert type_of("AWS::DynamoDB::Table") == "AwsDynamoDbTable"
    assert type_of("AWS::SSO::PermissionSet") == "Other"


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_LISTS = st.lists(
    st.builds(lambda text, times: text * times, _TEXTS, st.sampled_from([1, 100])), max_size=40
)
_SCALARS = _TEXTS | st.integers() | st.booleans() | st.none()


@examples(25)
@given(
    title=_TEXTS.filter(str.strip),
    level=st.sampled_from(["informational", "low", "medium", "high", "critical"]),
    group=st.dictionaries(_TEXTS, _SCALARS, max_size=60),
    controls=st.dictionaries(_TEXTS, _TEXTS | st.dictionaries(_TEXTS, _TEXTS), max_size=60),
    tags=_LISTS,
    accounts=_LISTS,
    actors=_LISTS,
    event_ids=_LISTS,
    description=_TEXTS.map(lambda text: text * 50),
    runbook=_TEXTS.map(lambda text: text * 50),
    names=_LISTS,
    kind=st.sampled_from(["raised", "updated", "resolved"]),
)
def test_whatever_is_in_an_alert_security_hub_takes_it(
    names: list[str], kind: str, **fields: Any
) -> None:
    evidence = [
        record(requestParameters={"userName": name, "policyArn": f"arn:aws:iam::1:policy/{name}"})
        for name in names
    ]
    check(finding(changed(**fields, evidence=evidence), kind))


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


async def sent_to(address: str, *notifications: Notification) -> list[Answer]:
    config = msgspec.structs.replace(CONFIG, endpoint_url=address)
    return await answers(config, *notifications)


@pytest.mark.usefixtures("credentials")
async def test_each_update_is_later_than_the_last() -> None:
    context = sink_context()
    stopped = type(context)(context.reading, context.egress, lambda: 1e9, context.spool)
    with SecurityHubServer() as server:
        config = msgspec.structs.replace(CONFIG, endpoint_url=server.address)
        async with opened(config, stopped) as sink:
            for _ in range(3):
                assert await sink.send(Notification(alert())) == Delivered()
        times = [item.json["Findings"][0]["UpdatedAt"] for item in server.accepted]
        assert times == sorted(set(times))
        assert len(times) == 3


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("code", "kind"),
    [("InvalidInput", Permanent), ("InternalError", Retry), ("LimitExceeded", Retry)],
)
async def test_a_refusal_within_an_answer_of_200_is_read(code: str, kind: type[Answer]) -> None:
    with SecurityHubServer() as server:
        server.always = Fault(SecurityHubServer.failed(code, "Finding does not adhere\nto it"))
        (answer,) = await sent_to(server.address, Notification(alert()))
    assert isinstance(answer, kind)
    assert not isinstance(answer, Delivered)
    assert answer.why == f"BatchImportFindings: {code}: Finding does not adhere to it"


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidInputException", Permanent),
        (401, "InvalidAccessException", Permanent),
        (403, "AccessDeniedException", Permanent),
        (429, "LimitExceededException", Retry),
        (429, "TooManyRequestsException", Retry),
        (400, "ThrottlingException", Retry),
        (403, "ExpiredTokenException", Retry),
        (500, "InternalException", Retry),
    ],
)
async def test_a_refused_call_is_told_by_its_code(
    status: int, code: str, kind: type[Answer]
) -> None:
    with SecurityHubServer() as server:
        said = Said(status, '{"Message":"no"}', {"x-amzn-ErrorType": code})
        server.always = Fault(said)
        (answer,) = await sent_to(server.address, Notification(alert()))
    assert isinstance(answer, kind)
    assert not isinstance(answer, Delivered)
    assert answer.why == f"BatchImportFindings: {code}: no"


def test_the_end_of_an_incident_is_not_before_its_beginning() -> None:
    early = finding(changed(last_event_time="2026-09-16T11:00:00Z"))
    assert early["FirstObservedAt"] <= early["LastObservedAt"]
    ahead = (NOW + timedelta(days=1)).isoformat()
    assert finding(changed(first_event_time=ahead))["CreatedAt"] <= finding(alert())["UpdatedAt"]
    assert re.fullmatch(r"\S+Z", finding(changed(first_event_time=ahead))["FirstObservedAt"])
