"""The fixtures of the page's tests, for what the page costs."""

from tests.ui.conftest import (  # noqa: F401 - pytest finds fixtures by their names here
    api_server,
    azure,
    login,
    looker,
    seed,
    settled,
    viewer,
)
