"""The settings of `podium serve`."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.main import get_command

from api.cli.failures import CalledWrongly
from api.cli.program import app
from api.cli.serve import read_settings
from api.settings import ServeSettings, is_loopback


def test_every_setting_has_a_description_and_a_default() -> None:
    """A setting that must be given would stop `podium serve` alone from working."""
    fields = ServeSettings.model_fields
    assert [name for name, field in fields.items() if not field.description] == []
    assert [name for name, field in fields.items() if field.is_required()] == []


def test_every_setting_is_a_flag_with_an_environment_twin() -> None:
    """And every flag is a setting: none is read by anybody else."""
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    environment = {option.name: option.envvar for option in command.params if option.name != "help"}
    assert environment == {name: f"PODIUM_{name.upper()}" for name in ServeSettings.model_fields}


def test_flags_win_over_the_environment_which_wins_over_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order in which people expect to be heard."""
    monkeypatch.setenv("PODIUM_PORT", "9000")
    monkeypatch.setenv("PODIUM_DATA", "/data")
    settings = read_settings({"port": 9001})
    assert (settings.port, settings.data, settings.host) == (9001, Path("/data"), "127.0.0.1")


def test_settings_cannot_be_changed() -> None:
    """What was read at the start holds until the end."""
    settings = ServeSettings()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_permission(host: str) -> None:
    """Only this machine reaches it."""
    assert is_loopback(host)
    assert read_settings({"host": host}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com"])  # noqa: S104 (that is the point)
def test_any_other_host_needs_credentials_or_the_word_insecure(host: str, tmp_path: Path) -> None:
    """Who listens beyond this machine and asks for nothing must say that they mean it."""
    assert read_settings({"host": host, "key_file": tmp_path / "keys.json"}).host == host
    assert read_settings({"host": host, "oidc_issuer": "https://issuer.example"}).host == host
    with pytest.raises(CalledWrongly, match="--insecure"):
        read_settings({"host": host})
    assert read_settings({"host": host, "insecure": True}).host == host


@pytest.mark.parametrize("name", ["workflow_status_sink", "task_status_sink"])
def test_sink_of_a_listener_is_checked_at_the_start(name: str) -> None:
    """A server that tells nobody, because of a typing mistake, would look as if nothing happened."""
    for sink in ("", "kafka:flows", "conductor:flows", "https://example.org/hook"):
        assert getattr(read_settings({name: sink}), name) == sink
    with pytest.raises(CalledWrongly, match="sink"):
        read_settings({name: "sqs:flows"})


def test_every_wrong_setting_is_named_by_its_flag() -> None:
    """One answer tells all that is wrong."""
    with pytest.raises(CalledWrongly) as refused:
        read_settings({"port": 70_000, "body_bytes_max": 1, "kafka": "no-port", "log_level": "loud"})
    for flag in ("--port", "--body-bytes-max", "--kafka", "--log-level"):
        assert flag in str(refused.value)


def test_the_settings_page_has_one_heading_per_setting_with_its_default() -> None:
    """Whoever reads the page can set every setting, and knows what holds if they do not."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text()
    sections = page.split("\n## ")[1:]
    flags = {f"`--{name.replace('_', '-')}`": field for name, field in ServeSettings.model_fields.items()}
    assert [section.splitlines()[0] for section in sections] == list(flags)
    for section, field in zip(sections, flags.values(), strict=True):
        default = getattr(field.default, "value", field.default)
        assert field.description is not None
        assert field.description in section
        assert f"Default: `{'none' if default is None else default}`" in section
