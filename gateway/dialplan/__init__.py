"""Which calls are taken, and what happens in them. Start at `plan.py`."""
