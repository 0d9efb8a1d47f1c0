"""Polyport: run any action or trigger of any SaaS app with your customers' own connections, through one HTTP API."""

from importlib.metadata import version

__version__ = version("polyport")
