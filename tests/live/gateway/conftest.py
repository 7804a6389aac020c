"""What the node's live tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.gateway.listening import Listener


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """The recogniser, loaded once."""
    made = Listener()
    yield made
    made.close()
