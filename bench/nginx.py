"""nginx (Debian), in two parts: as the partner, answering in microseconds what ``bench.partner`` says, and as the proxy that others are held against."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.partner import ARRIVALS, answers

_MODULES: Final = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
_ECHO: Final = "ngx_http_echo_module.so"
SLOW: Final = "slow"  # while a file of this name lies beside the configuration, answers take their time
_HEAD: Final = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error; {user}
{modules}
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json; client_max_body_size 64m; client_body_buffer_size 16k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
"""
_PROXY: Final = (
    _HEAD
    + """\
  upstream partner {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://partner; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
)
_PARTNER: Final = (
    _HEAD
    + """\
  server {{
    listen 127.0.0.1:{port} backlog=4096; root {folder}/answers;
    location = {arrivals} {{ stub_status; }}
    location / {{
      error_page 418 = @slow;
      if (-f {folder}/{slow}) {{ return 418; }}
      if ($request_method = POST) {{ return 201 '{created}'; }}
      try_files $uri.json =404;
    }}
    location @slow {{ echo_sleep {seconds}; echo_exec @answer; }}
    location @answer {{
      if ($request_method = POST) {{ return 201 '{created}'; }}
      try_files $uri.json =404;
    }}
  }}
}}
"""
)


def find_nginx() -> str | None:
    """The program, where it is installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def nginx_version(program: str) -> str:
    """Its version."""
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    return told.strip().rpartition("/")[2] or "of unknown version"


def find_echo() -> str | None:
    """The module that lets an answer wait (Debian: libnginx-mod-http-echo), where it is installed."""
    return next((f"{folder}/{_ECHO}" for folder in _MODULES if Path(folder, _ECHO).is_file()), None)


def write_proxy(home: Path, port: int, upstream: int) -> Path:
    """The configuration of a proxy with one worker and kept connections."""
    return _write(home, _PROXY.format(folder=home, user=_user(), modules="", port=port, upstream=upstream))


def write_partner(home: Path, port: int, echo: str, delay: int) -> Path:
    """The configuration of the partner, and its answers: a POST has the person that was made, a GET a file. ``delay`` is in ms, for while it is slow."""
    known = answers()
    created = {json.dumps(value) for (method, _path), (_status, value) in known.items() if method == "POST"}
    if len(created) != 1:
        raise ValueError("nginx gives one answer to every POST")
    for (method, path), (_status, value) in known.items():
        if method == "GET":
            file = home / "answers" / f"{path.removeprefix('/')}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value), "utf-8")
    text = _PARTNER.format(
        folder=home,
        user=_user(),
        modules=f"load_module {echo};",
        port=port,
        arrivals=ARRIVALS,
        slow=SLOW,
        created=created.pop().replace("\\", "\\\\").replace("'", "\\'"),
        seconds=delay / 1000,
    )
    return _write(home, text)


def _write(home: Path, text: str) -> Path:
    config = home / "nginx.conf"
    config.write_text(text, "utf-8")
    return config


def _user() -> str:
    """A worker of root's would else be somebody who may not read the folder."""
    return "user root root;" if os.geteuid() == 0 else ""


def arrivals_told(text: str) -> int:
    """How many requests there were, from what stub_status tells."""
    return int(text.splitlines()[2].split()[2])
