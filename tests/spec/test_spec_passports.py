"""``image.passports``: a place that means the same on every worker, and holds no secret."""

from __future__ import annotations

import pytest
from golden_pools.spec.image import Passports
from pydantic import ValidationError


@pytest.mark.parametrize(
    "path",
    ["/var/passports", "abfs://passports@teamstorage/pools", "s3://bucket", "file:///srv/p", "webhdfs://host:9870/p"],
)
def test_a_path_or_a_url_is_taken(path: str) -> None:
    assert Passports(path=path).path == path


@pytest.mark.parametrize(
    "path", ["passports", "./passports", "", "abfs://c@a/p?sig=secret", "s3://key:secret@bucket/p", "s3://bucket/a b"]
)
def test_a_relative_path_or_a_secret_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        Passports(path=path)
