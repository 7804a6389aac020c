"""Live tests need the native wheel; without it they fail with the cure instead of being passed over."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture(scope="session", autouse=True)
def native_wheel() -> None:
    """PJSIP's binding and the frame bus are installed."""
    missing = [name for name in ("pjsua2", "framebus") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not installed; cure: python media/pjsip/build.py --install")
