"""The page's server: Gradio behind the gate, and one address for programs."""

import asyncio

import fastapi
import gradio
import uvicorn
from fastapi.responses import JSONResponse

from video_rs.inference.predictor import part_of
from video_rs.runs.demo_app.blocks import STYLE, THEME_FONTS, build_blocks
from video_rs.runs.demo_app.gate import PREDICT, Application, Gate
from video_rs.runs.demo_app.page import DemoPage
from video_rs.runtime.task_service import Busy

MOST_CONNECTIONS = 256


def build_application(page: DemoPage, names: set[str] | None) -> Application:
    """Return the whole application.

    Args:
        page: with its examples.
        names: that the server may be called by; None: any.
    """
    application = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @application.post(PREDICT)
    async def predict(request: fastapi.Request) -> JSONResponse:
        """Answer for the video that is the body of the request."""
        with page.folder.new_file() as file:
            with file.open("wb") as upload:
                async for chunk in request.stream():
                    upload.write(chunk)
            try:
                answer = await asyncio.to_thread(page.answers.predict, part_of(str(file)))
            except Busy:
                return JSONResponse({"error": "many videos wait; try again in a minute"}, 503, {"Retry-After": "30"})

        if answer.error is not None:
            return JSONResponse({"error": answer.error}, 422)

        found = answer.to_dict()
        del found["video"]
        return JSONResponse(found)

    theme = gradio.themes.Default(font=THEME_FONTS, font_mono=("ui-monospace", "monospace"))
    gradio.mount_gradio_app(
        application,
        build_blocks(page),
        "/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        max_file_size=page.limits.bytes,
        theme=theme,
        css=STYLE,
    )
    return Gate(application, page.folder, page.limits, names)


def build_server(application: Application, host: str, port: int) -> uvicorn.Server:
    """Return a server, which is to run in a thread of its own."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=3,
        ws="none",
    )
    return uvicorn.Server(config)
