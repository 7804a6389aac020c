"""`/docs` and `/redoc`: the description as pages, without anything from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_ASSETS = "/docs/assets"


def add(api: FastAPI) -> None:
    """The pages, and the scripts that they load, which come with the package `fastapi-offline`."""
    api.mount(_ASSETS, StaticFiles(directory=str(files("fastapi_offline") / "static")), name="docs")
    title, described = f"{api.title} API", str(api.openapi_url)

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """Swagger UI."""
        return get_swagger_ui_html(
            openapi_url=described,
            title=title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )

    @api.get("/redoc", include_in_schema=False)
    async def redoc() -> HTMLResponse:
        """ReDoc."""
        return get_redoc_html(
            openapi_url=described,
            title=title,
            redoc_js_url=f"{_ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{_ASSETS}/favicon.png",
            with_google_fonts=False,
        )
