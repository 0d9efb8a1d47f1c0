"""Where ``polyport`` begins."""

from __future__ import annotations

import asyncio
import json
import sys

import typer

from polyport.errors import PolyportError, SetupError


def main() -> None:
    """Run the command line; what an operator can mend is one sentence, not a stack."""
    try:
        _commands(sys.argv[1:])()
    except SetupError as error:
        sys.stderr.write(f"polyport: {error}\n")
        raise SystemExit(1) from None
    except PolyportError as error:
        sys.stderr.write(json.dumps(error.as_record(), indent=2, ensure_ascii=False) + "\n")
        raise SystemExit(1) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(130) from None
    except OSError as error:
        sys.stderr.write(f"polyport: {error.strerror or error}: {error.filename or ''}\n")
        raise SystemExit(1) from None


def _commands(arguments: list[str]) -> typer.Typer:
    """All commands; for a server the one that starts it: to make the others takes a fifteenth of a start."""
    if arguments[:1] == ["serve"]:
        from polyport.cli.start import starter  # noqa: PLC0415  see above

        return starter
    from polyport.cli.app import app  # noqa: PLC0415  as above

    return app
