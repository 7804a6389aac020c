"""NVIDIA NeMo's cache-aware streaming recognisers: one step advances every call that has sound."""
