"""What mkdocs does beside Markdown: the table of options comes from the options themselves."""

from video_rs.config import OPTIONS, Option

MARKER = "<!-- options -->"


def on_page_markdown(markdown: str, **_) -> str:
    """Replace the marker on a page by the table of all options."""
    if MARKER not in markdown:
        return markdown
    return markdown.replace(MARKER, options_table())


def options_table() -> str:
    """Return every option in Markdown, a table for each group of keys."""
    groups: dict[str, list[Option]] = {}
    for option in OPTIONS:
        group = option.key.rpartition(".")[0]
        groups.setdefault(group, []).append(option)

    lines = []
    for group, options in groups.items():
        lines += [f"### {group or 'The run'}", "", "| key | default | meaning |", "|---|---|---|"]
        lines += [_row(option) for option in options]
        lines.append("")
    return "\n".join(lines)


def _row(option: Option) -> str:
    meaning = option.meaning
    if option.choices:
        meaning += f" ({', '.join(f'`{choice}`' for choice in option.choices)})"
    elif option.is_bounded:
        meaning += f" ({option.bounds})"
    default = option.default
    if default is None:
        shown = "the network's"
    elif default == "":
        shown = "none"
    else:
        shown = f"`{default}`"
    return f"| `{option.key}` | {shown} | {meaning} |"
