"""What a client puts into a prompt, as text a model reads. Pure."""

import base64
import binascii
from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import unquote, urlsplit

from acp_agent.domain.message import Image
from acp_agent.surfaces.acp.faults import InvalidParams
from acp_agent.surfaces.acp.params import (
    BlobResource,
    ContentBlock,
    ImageBlock,
    LinkBlock,
    ResourceBlock,
    TextBlock,
    TextResource,
)

MOST_IMAGES = 8
LARGEST_IMAGE = 5 * 1024 * 1024
"""Characters of base64; what providers take is of that size."""
PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
"""The kinds that every provider takes, and how a file of each begins."""


def text_of(blocks: Sequence[ContentBlock], cwd: str) -> str:
    """The blocks in their order: links below `cwd` by relative paths, resources as marked context, pictures as a note.

    Raises InvalidParams for what was not advertised, and for a prompt with nothing in it.
    """
    text = "\n\n".join(part for block in blocks if (part := _text(block, cwd)))
    if not text.strip():
        raise InvalidParams("prompt: is empty")
    return text


def images_of(blocks: Sequence[ContentBlock]) -> tuple[Image, ...]:
    """The pictures of a prompt. Raises InvalidParams for one that is none, and for more than a model can take."""
    found = [(number, block) for number, block in enumerate(blocks) if isinstance(block, ImageBlock)]
    if len(found) > MOST_IMAGES:
        raise InvalidParams(f"prompt: has {len(found)} images", hint=f"at most {MOST_IMAGES} at once")
    return tuple(_image(number, block) for number, block in found)


def _image(number: int, block: ImageBlock) -> Image:
    if block.mime_type not in PICTURES:
        raise InvalidParams(
            f"prompt[{number}].mimeType: is no kind of picture that models take", hint=", ".join(PICTURES)
        )
    if len(block.data) > LARGEST_IMAGE:
        raise InvalidParams(f"prompt[{number}].data: the image is too large", hint="at most 5 MB in base64")
    try:
        data = base64.b64decode(block.data, validate=True)
    except (ValueError, binascii.Error):
        raise InvalidParams(f"prompt[{number}].data: is not base64") from None
    if not data.startswith(PICTURES[block.mime_type]):
        raise InvalidParams(f"prompt[{number}].data: is not {block.mime_type}")
    return Image(mime_type=block.mime_type, data=block.data)


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
        case ImageBlock(uri=uri, mime_type=kind):
            return f"[image: {place(uri, cwd)}]" if uri else f"[image: {kind}]"
        case _:
            raise InvalidParams("prompt: audio is not supported", hint="send text, images, links or text resources")


def place(uri: str, cwd: str) -> str:
    """A file URI as a path, relative where it lies below `cwd`; any other URI as it is."""
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return uri
    path = PurePath(unquote(parts.path))
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
