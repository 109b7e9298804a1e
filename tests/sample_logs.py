"""The sample logs of the embedded default, and what is known of them."""

from tests.conftest import REPOSITORY

SAMPLE_LOGS = REPOSITORY / "deploy" / "local" / "logs"

SAMPLE_RECORDS = {
    "in": 139,
    "matched": 14,
    "unmatched": 119,
    "duplicate": 4,
    "skipped": 1,
    "rejected": 1,
}
