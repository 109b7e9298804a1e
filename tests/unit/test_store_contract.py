"""Every implementation of `Store`, held to the same contract."""

from pathlib import Path

import pytest

from detector.state.sqlite import SQLiteStore

pytest.register_assert_rewrite("tests.unit.store_contract")

from tests.unit.store_contract import (  # noqa: E402 - its asserts must be rewritten first
    DurableStoreContract,
    OpenStore,
    StoreContract,
)


class TestSQLiteFile(DurableStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return lambda: SQLiteStore.open(tmp_path / "deep" / "state.sqlite3")


class TestSQLiteInMemory(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return SQLiteStore.in_memory
