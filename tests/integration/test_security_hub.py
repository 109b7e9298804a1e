"""The Security Hub sink on moto, which keeps findings, though it checks little of them."""

import msgspec
import pytest
from aiobotocore.session import get_session

from detector.config import SecurityHubSinkConfig
from detector.sinks.sink import Delivered
from detector.state.store import Notification
from tests.alerts import alert
from tests.aws import CREDENTIALS, REGION
from tests.sinks import answers

pytestmark = pytest.mark.integration


async def test_an_incident_is_one_finding_which_its_end_archives(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    endpoint = f"http://{moto}"
    config = SecurityHubSinkConfig(
        name="hub", account="111122223333", region=REGION, endpoint_url=endpoint
    )
    made = msgspec.structs.replace(alert(), dedup_key="one")
    later = msgspec.structs.replace(made, id="later", count=7)
    over = msgspec.structs.replace(later, state="resolved")
    sent = [Notification(made), Notification(later, "updated"), Notification(over, "resolved")]
    assert await answers(config, *sent) == [Delivered()] * 3
    async with get_session().create_client("securityhub", REGION, endpoint_url=endpoint) as client:
        found = (await client.get_findings())["Findings"]
    (finding,) = (item for item in found if item["Id"].endswith("/one"))
    assert finding["RecordState"] == "ARCHIVED"
    assert finding["ProductFields"]["cloudtrail-detector/count"] == "7"
