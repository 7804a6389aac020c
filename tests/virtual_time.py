"""The jumping loop of the product's rehearsals, for tests of whole calls."""

from __future__ import annotations

from gateway.rehearsal.virtual_time import Deadlock, VirtualLoop, run_virtual

__all__ = ["Deadlock", "VirtualLoop", "run_virtual"]
