"""Auth kinds: an open set, one behaviour a file. ``Scheme`` is what a partner's file may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from polyport.kinds.auth.oauth2 import OAuth2
from polyport.kinds.auth.static import ApiKey, Basic, Bearer, NoAuth

Scheme = Annotated[NoAuth | ApiKey | Bearer | Basic | OAuth2, Field(discriminator="kind")]
