"""The command ``wenmo``."""

from wenmo.cli.application import main

__all__ = ["main"]
