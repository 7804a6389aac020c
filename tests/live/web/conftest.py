"""What the browser's live tests share with the node's."""

from tests.live.gateway.conftest import listener

__all__ = ["listener"]
