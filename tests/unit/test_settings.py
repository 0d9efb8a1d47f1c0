"""Settings: defaults, then the file, then the environment; every fault named at once, no secret shown."""

from importlib.resources import files

import pytest

from polyport.errors import SetupError
from polyport.settings import environment_names, load_settings


def refused(environ, **overrides):
    with pytest.raises(SetupError) as caught:
        load_settings(environ, **overrides)
    return str(caught.value)


def test_the_defaults_are_a_whole_set_of_settings():
    found = load_settings({})
    assert (found.port, found.http.body_limit, found.runs.idempotency_hours, found.catalog.public) == (8080, 6291456, 24, False)
    assert found.partner_base_urls == {}


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path):
    config = tmp_path / "polyport.toml"
    config.write_text('port = 1\nworkers = 2\n[log]\nlevel = "debug"\n')
    found = load_settings({"POLYPORT_CONFIG": str(config), "POLYPORT_PORT": "3"})
    assert (found.port, found.workers, found.log.level, found.log.format) == (3, 2, "debug", "json")


def test_an_option_of_the_command_line_wins_over_all():
    assert load_settings({"POLYPORT_PORT": "3"}, port=4, host=None).port == 4


def test_lists_are_separated_by_commas():
    assert load_settings({"POLYPORT_ALLOW_NETWORKS": "10.0.0.0/8, ::1/128,"}).allow_networks == ("10.0.0.0/8", "::1/128")


def test_every_wrong_setting_is_named_at_once():
    told = refused(
        {
            "POLYPORT_PORT": "x",
            "POLYPORT_LOG_LEVEL": "loud",
            "POLYPORT_ALLOW_NETWORKS": "nowhere",
            "POLYPORT_WORKERS": "0",
            "POLYPORT_HTTP_PROXIES": "here",
        }
    )
    for name in ("POLYPORT_PORT", "POLYPORT_LOG_LEVEL", "POLYPORT_ALLOW_NETWORKS", "POLYPORT_WORKERS", "POLYPORT_HTTP_PROXIES"):
        assert name in told


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "x"])
@pytest.mark.parametrize(
    "name", ["POLYPORT_PARTNER_TIMEOUT", "POLYPORT_PARTNER_TIMEOUT_LIMIT", "POLYPORT_RUNS_ATTEMPTS", "POLYPORT_HTTP_DEPTH_LIMIT"]
)
def test_limits_are_more_than_nothing(name, value):
    assert name in refused({name: value})


@pytest.mark.parametrize("value", ["-1", "nan", "inf"])
def test_the_grace_time_is_a_time(value):
    assert "POLYPORT_HTTP_GRACE" in refused({"POLYPORT_HTTP_GRACE": value})
    assert load_settings({"POLYPORT_HTTP_GRACE": "0"}).http.grace == 0


def test_a_partner_may_be_sent_to_a_simulator():
    found = load_settings({"POLYPORT_PARTNER_POLYPORT_TOOLS_BASE_URL": "http://127.0.0.1:9000"})
    assert found.partner_base_urls == {"polyport-tools": "http://127.0.0.1:9000"}


@pytest.mark.parametrize("url", ["127.0.0.1:9000", "http://u:p@x", "http://x/path", "ftp://x", "http://x?a", ""])
def test_a_partners_address_is_scheme_host_and_port(url):
    assert "partner slack" in refused({"POLYPORT_PARTNER_SLACK_BASE_URL": url})


def test_origins_of_pages_are_named_one_by_one():
    assert load_settings({}).http.origins == ()
    given = load_settings({"POLYPORT_HTTP_ORIGINS": "https://app.example.com, http://127.0.0.1:9000"})
    assert given.http.origins == ("https://app.example.com", "http://127.0.0.1:9000")
    for text in ("*", "https://*.example.com", "app.example.com", "https://app.example.com/", "https://u@x", "null"):
        assert "POLYPORT_HTTP_ORIGINS" in refused({"POLYPORT_HTTP_ORIGINS": text})


def test_a_partners_address_may_stand_in_the_file_and_beats_no_environment(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('[partner_base_urls]\nslack = "http://a"\nhttp = "http://b"\n')
    found = load_settings({"POLYPORT_CONFIG": str(config), "POLYPORT_PARTNER_SLACK_BASE_URL": "http://c"})
    assert found.partner_base_urls == {"slack": "http://c", "http": "http://b"}
    config.write_text("partner_base_urls = 5")
    assert "PARTNER_BASE_URLS" in refused({"POLYPORT_CONFIG": str(config)})


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a = [", "is not valid TOML"), (b"\xff", "is not UTF-8"), (b"nope = 1", "POLYPORT_NOPE"), (b"http = 5", "POLYPORT_HTTP")],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, content, words):
    config = tmp_path / "c.toml"
    config.write_bytes(content)
    assert words in refused({"POLYPORT_CONFIG": str(config)})


def test_a_file_that_is_not_there_says_so(tmp_path):
    assert "cannot be read" in refused({"POLYPORT_CONFIG": str(tmp_path / "none")})
    assert "cannot be read" in refused({"POLYPORT_CONFIG": str(tmp_path)})


def test_other_names_in_the_environment_are_none_of_ours():
    assert load_settings({"PATH": "/bin", "PORT": "1", "POLYPORT_CORPUS": "x"}).port == 8080


def test_secrets_are_in_no_repr_and_in_no_fault():
    found = load_settings({"POLYPORT_MASTER_KEY": "canary-1234", "POLYPORT_BOOTSTRAP_PASSWORD": "canary-5678"})
    assert "canary" not in repr(found)
    assert "canary" not in refused({"POLYPORT_MASTER_KEY": "canary-1234", "POLYPORT_PORT": "x"})


def test_the_origin_is_the_public_address_or_where_it_listens():
    assert load_settings({}).origin == "http://127.0.0.1:8080"
    assert load_settings({"POLYPORT_PUBLIC_URL": "https://polyport.example/"}).origin == "https://polyport.example"


def test_every_default_has_its_name_in_the_environment():
    names = environment_names()
    assert "POLYPORT_HTTP_BODY_LIMIT" in names
    assert "POLYPORT_HOST" in names
    assert len(names) == len(set(names))
    text = files("polyport").joinpath("defaults.toml").read_text("utf-8")
    assert all(name.removeprefix("POLYPORT_").lower().rpartition("_")[2] in text for name in names)
