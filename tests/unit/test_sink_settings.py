"""Sections `timeseries` and `metadata`."""

import pytest
from pydantic import ValidationError

from connectors.settings import MetadataSettings, TimeseriesSettings


def test_without_a_url_the_embedded_store_is_meant() -> None:
    for section in (TimeseriesSettings(), MetadataSettings()):
        assert section.embedded
        assert section.shown_url == ""
        assert section.credentials() == ("", "")


def test_credentials_in_the_url_are_decoded_and_never_shown() -> None:
    section = MetadataSettings(url="mongodb://me%40home:p%3Ass%2Fw@db1:27017,db2:27018/x?replicaSet=rs")
    assert section.credentials() == ("me@home", "p:ss/w")
    assert section.shown_url == "mongodb://db1:27017,db2:27018/x?replicaSet=rs"
    assert "p%3A" not in repr(section)


def test_keys_win_over_the_url_and_are_never_shown() -> None:
    section = TimeseriesSettings.model_validate(
        {"url": "https://me:one@influx", "username": "you", "password": "two", "token": "three"}
    )
    assert section.credentials() == ("you", "two")
    assert not {"one", "two", "three"} & set(repr(section).replace("'", " ").replace(":", " ").split())


@pytest.mark.parametrize("url", ["", "influx:8086", "ftp://influx", "http://", "http://me:geheim@", "http://[geheim"])
def test_a_wrong_url_is_named_without_its_content(url: str) -> None:
    for section in (TimeseriesSettings, MetadataSettings):
        with pytest.raises(ValidationError, match="must start with") as caught:
            section(url=url)
        assert "geheim" not in str(caught.value)
