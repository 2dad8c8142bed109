"""What the site does with a page before it is built: links to files that are no pages of it become plain text."""

import re
from typing import Any

UP = r"(?:\.\./)+"
OUTSIDE = rf"{UP}(?!\w+\.md)[^)]*|{UP}(?:README|CONTRIBUTING|CHANGELOG)\.md|(?:half_million|laptop|toy)/[^)]*"
LINK = re.compile(rf"\[([^\]]+)\]\((?:{OUTSIDE})\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The text of such a link stays."""
    return LINK.sub(r"\1", markdown)
