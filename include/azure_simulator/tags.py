"""The limits of tags, which ARM checks for every resource type (article "Use tags to organize resources").

The texts are ARM's; of the codes only ``InvalidTagNameCharacters`` is published.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from include.azure_simulator.errors import ArmError

MAX_TAGS = 50
MAX_NAME_LENGTH = 512
MAX_VALUE_LENGTH = 256
_RESERVED = "<>%&\\?/"


def check_tags(tags: Mapping[str, JsonValue]) -> None:
    """Refuse tags that ARM would refuse.

    :raises ArmError: 400 for too many tags, a long or reserved name, a long value.
    """
    if len(tags) > MAX_TAGS:
        text = (
            f"Too many tags on resource/resource group. Requested tag count - '{len(tags)}'. "
            f"Maximum number of tags allowed - '{MAX_TAGS}'."
        )
        raise ArmError(400, "TooManyTags", text)
    for name, value in tags.items():
        if any(character in _RESERVED or ord(character) < 32 for character in name):
            text = (
                f"The tag names '{name}' have reserved characters '{','.join(_RESERVED)}' or control characters. "
                "Tag names should not contain these characters."
            )
            raise ArmError(400, "InvalidTagNameCharacters", text)
        if len(name) > MAX_NAME_LENGTH:
            raise ArmError(400, "TagNameTooLong", _too_large("name", name, MAX_NAME_LENGTH))
        if len(str(value)) > MAX_VALUE_LENGTH:
            raise ArmError(400, "TagValueTooLong", _too_large("value", str(value), MAX_VALUE_LENGTH))


def _too_large(part: str, text: str, limit: int) -> str:
    return (
        f"Tag {part} too large. Following tag {part} '{text[:40]}' exceeded the maximum length. "
        f"Maximum allowed length for tag {part} - '{limit}' characters."
    )
