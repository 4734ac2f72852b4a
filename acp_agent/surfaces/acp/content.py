"""What a client puts into a prompt, as text a model reads. Pure."""

from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import unquote, urlsplit

from acp_agent.surfaces.acp.faults import InvalidParams
from acp_agent.surfaces.acp.params import (
    BlobResource,
    ContentBlock,
    LinkBlock,
    ResourceBlock,
    TextBlock,
    TextResource,
)


def text_of(blocks: Sequence[ContentBlock], cwd: str) -> str:
    """The blocks in their order. Links to files below `cwd` become relative paths, resources a marked context.

    Raises InvalidParams for what was not advertised, and for a prompt with nothing in it.
    """
    text = "\n\n".join(part for block in blocks if (part := _text(block, cwd)))
    if not text.strip():
        raise InvalidParams("prompt: is empty")
    return text


def _text(block: ContentBlock, cwd: str) -> str:
    match block:
        case TextBlock(text=text):
            return text
        case LinkBlock():
            described = f": {block.description}" if block.description else ""
            return f"[{block.title or block.name}]({place(block.uri, cwd)}){described}"
        case ResourceBlock(resource=TextResource() as resource):
            return f'<resource uri="{place(resource.uri, cwd)}">\n{resource.text}\n</resource>'
        case ResourceBlock(resource=BlobResource() as resource):
            return f"[{place(resource.uri, cwd)}: binary, {len(resource.blob) * 3 // 4} bytes, not shown]"
        case _:
            raise InvalidParams("prompt: images and audio are not supported", hint="send text, links or text resources")


def place(uri: str, cwd: str) -> str:
    """A file URI as a path, relative where it lies below `cwd`; any other URI as it is."""
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return uri
    path = PurePath(unquote(parts.path))
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
