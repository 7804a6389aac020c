"""One YAML file and the environment, read once into frozen settings."""

from __future__ import annotations

from gateway.config.dump import dump, example
from gateway.config.load import load, secrets_in
from gateway.config.schema import Config

__all__ = ["Config", "dump", "example", "load", "secrets_in"]
