"""The command line. ``polyport --help`` says what there is."""

from __future__ import annotations

from polyport.cli.app import main

__all__ = ["main"]
