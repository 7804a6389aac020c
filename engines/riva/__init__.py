"""Riva's gRPC, both ways: any engine served as Riva serves its own, and any Riva server used as an engine."""
