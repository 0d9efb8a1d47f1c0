"""The command line. ``polyport --help`` says what there is."""

from __future__ import annotations

import gc

# What is imported stays: looking through all of it again and again for garbage took a tenth of the start.
gc.set_threshold(50_000, 20, 50)

from polyport.cli.app import main  # noqa: E402  what is above counts for all that this brings in

__all__ = ["main"]
