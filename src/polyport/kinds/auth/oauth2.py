"""OAuth2 authorization code: what a partner declares, and how a call is signed with the access token it led to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyport.kinds.auth.base import Flow, Material, SchemeBase
from polyport.net.message import Request
from polyport.template import RenderFault


class OAuth2(SchemeBase):
    """The partner's endpoints and habits. The client id and secret are the operator's and never stand in a folder.

    ``separator`` joins scopes. ``client_auth`` is how the client shows itself at the token endpoint. ``pkce``: whether the partner takes
    S256. The access token is the connection's field ``access_token``.
    """

    kind: Literal["oauth2"]
    authorize_url: str = Field(pattern=r"^https://")
    token_url: str = Field(pattern=r"^https://")
    scopes: tuple[str, ...] = ()
    separator: str = " "
    client_auth: Literal["basic", "body"] = "body"
    pkce: bool = True
    authorize_params: dict[str, str] = Field(default_factory=dict)
    token_params: dict[str, str] = Field(default_factory=dict)
    header_prefix: str = "Bearer"

    def flow(self, request: Request, connection: Material) -> Flow:
        """Yield the request with the access token."""
        token = connection.get("access_token")
        if not isinstance(token, str) or not token:
            raise RenderFault("the connection has no access token")
        yield request.with_secrets(token).with_header("Authorization", f"{self.header_prefix} {token}")
