"""The page as Gradio draws it."""

import gradio

from video_rs.runs.demo_app.page import DemoPage
from video_rs.video.plain_files import USUAL

TITLE = "Video classification"
# No font is fetched from elsewhere.
THEME_FONTS = ("system-ui", "sans-serif")
STYLE = """
footer { display: none !important; }
#note textarea { font-weight: 600; }
#timeline .html-container { padding: 0; }
"""


def build_blocks(page: DemoPage) -> gradio.Blocks:
    """Return the page."""
    private = {"api_visibility": "private"}
    with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gradio.Markdown(f"# {TITLE}")
        gradio.Markdown(page.about)
        chosen = gradio.State()
        made = gradio.State()

        with gradio.Row():
            with gradio.Column():
                upload = gradio.File(label="Video", elem_id="upload", height=150)
                player = gradio.Video(
                    show_label=False, interactive=False, visible=False, elem_id="player", loop=True, autoplay=True
                )
                limits = f"{page.limits.megabytes:g} MB and {page.limits.seconds:g} s"
                gradio.Markdown(f"{USUAL}; at most {limits}. What you send is removed after some minutes.")
            with gradio.Column():
                label = gradio.Label(label="Best classes", num_top_classes=5, elem_id="answer")
                remark = gradio.Textbox(
                    show_label=False, container=False, interactive=False, visible=False, elem_id="note", lines=1
                )
                with gradio.Row(equal_height=True):
                    look = gradio.Button("Where does the network look?", elem_id="look")
                    ask_when = gradio.Button("What happens when?", elem_id="when")
                strip = gradio.HTML(visible=False, elem_id="timeline", apply_default_css=False)
                # Its own first line says what it shows.
                looked = gradio.Video(show_label=False, interactive=False, visible=False, elem_id="film", loop=True)

        answer = [label, remark, chosen, looked, strip, player]
        if page.examples:
            examples = gradio.Dataset(
                label="Examples: validation videos of the run, each with the class of its list",
                components=[gradio.Textbox(visible=False)],
                samples=[[example.name] for example in page.examples],
                type="index",
                elem_id="examples",
            )
            examples.click(page.example, examples, [upload, *answer], **private)

        # The answer comes first, then the film.
        upload.upload(page.uploaded, upload, answer, **private).then(page.play, chosen, player, **private)
        upload.clear(page.cleared, None, answer, **private)
        look.click(page.look, chosen, [looked, remark], **private)
        # The second step knows which video is there when the first one has ended. A click meanwhile has its turn then.
        ask_when.click(page.timeline, chosen, [made, remark], trigger_mode="always_last", **private).then(
            page.show_timeline, [chosen, made], [strip, remark], **private
        )

    # One more than these is told by Gradio that the queue is full.
    blocks.queue(max_size=page.limits.waiting, default_concurrency_limit=2, api_open=False)
    return blocks
