"""The pages and modules of `gateway/web`: the softphone, and what other people's pages load from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope as AsgiScope

from gateway.api.core.door import Door
from gateway.keys.key import Scope

_FOLDER = Path(__file__).resolve().parent.parent / "web"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, and nobody frames the page (CSP level 3)."""
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class _Modules(StaticFiles):
    """The modules, which pages of every origin may load: they hold no secret."""

    async def get_response(self, path: str, scope: AsgiScope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-cache"
        return response


def add(api: FastAPI, door: Door, targets: Callable[[], Sequence[str]]) -> None:
    """`targets`: who can be called by an exact name, as the dialplan is now."""
    api.mount("/web", _Modules(directory=str(_FOLDER)), name="web")

    @api.get("/phone", include_in_schema=False)
    async def phone() -> FileResponse:
        """The softphone."""
        return FileResponse(_FOLDER / "phone.html", media_type="text/html", headers=_HEADERS)

    @api.get("/phone/targets", include_in_schema=False)
    async def called(request: Request) -> dict[str, Any]:
        """Who can be called. Needs a key with the scope `web_calls`, where the node asks for keys."""
        await door.admit(request.headers, request.query_params, Scope.WEB_CALLS)
        return {"targets": list(targets())}
