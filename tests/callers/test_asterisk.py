from __future__ import annotations

from pathlib import Path

import pytest

from callers.asterisk import Asterisk, AsteriskMissing
from callers.asterisk_chroot import Unavailable, mirror


def test_the_mirror_comes_from_the_machine_or_is_said_to_be_missing() -> None:
    try:
        found = mirror()
    except Unavailable as reason:
        assert "mirror" in str(reason)
    else:
        assert found.rstrip("/").endswith("/debian")


def test_an_empty_folder_is_no_asterisk_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(AsteriskMissing, match="cure: python -m callers.asterisk_chroot"):
        Asterisk(tmp_path)
    assert not list(tmp_path.iterdir())
