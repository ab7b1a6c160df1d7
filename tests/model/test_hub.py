"""What a hub can answer, by one on this machine: each becomes a sentence that names the cause."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest

from raygen.errors import InputError, SettingsError
from raygen.model.cards import is_hub_id
from raygen.model.hub import fetch_from_hub
from raygen.model.loading import load_network

CONTENT = b"x" * 1000
ANSWERS = {
    "gated": (403, "GatedRepo", "Access is restricted"),
    "missing": (404, "RepoNotFound", "Repository not found"),
    "norevision": (404, "RevisionNotFound", "Invalid rev"),
    "badtoken": (401, "", "Invalid credentials in Authorization header"),
    "forbidden": (403, "", "Your token lacks a permission"),
    "broken": (500, "", "Internal error"),
}


class Hub(BaseHTTPRequestHandler):
    """``<mode>/model`` answers by its mode; ``good`` has two files, of which ``short`` sends half."""

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        mode = parts[2] if parts[0] == "api" else parts[0]
        if mode in ANSWERS:
            status, code, said = ANSWERS[mode]
            headers = {"X-Error-Code": code, "X-Error-Message": said, "Content-Type": "application/json"}
            self.send(status, json.dumps({"error": said}).encode(), headers, with_body)
        elif mode == "portal":
            self.send(200, b"<html>Log in to this network</html>", {"Content-Type": "text/html"}, with_body)
        elif parts[0] == "api" and "tree" in parts:
            tree = [{"type": "file", "path": name, "size": len(CONTENT), "oid": name} for name in ("a.json", "code.py")]
            self.send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"}, with_body)
        elif parts[0] == "api":
            about = {
                "id": f"{mode}/model",
                "sha": "d" * 40,
                "siblings": [{"rfilename": "a.json"}, {"rfilename": "code.py"}],
            }
            self.send(200, json.dumps(about).encode(), {"Content-Type": "application/json"}, with_body)
        else:
            headers = {"X-Repo-Commit": "d" * 40, "ETag": f'"{parts[-1]}"', "Content-Length": str(len(CONTENT))}
            self.send(200, CONTENT[: 500 if mode == "short" else None], headers, with_body)
            self.close_connection = True

    def send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    at = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", at)
    template = at + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield
    server.shutdown()
    server.server_close()


def test_only_the_files_that_were_asked_for_are_fetched() -> None:
    folder = fetch_from_hub("good/model", None, ["*.json"])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"a.json": CONTENT}


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("gated", r"gated/model is gated: accept its conditions"),
        ("missing", r"The hub has no model missing/model, or it is private"),
        ("norevision", r"norevision/model has no main revision: name one with model\.revision"),
        (
            "badtoken",
            r"which answers 401: .*Invalid credentials.*\. Is the token valid, and may it read this model\? Else log in",
        ),
        ("forbidden", r"which answers 403: .*lacks a permission\. Is the token valid"),
        ("broken", r"which answers 500: .*Internal error\. Try again later\."),
        ("portal", r"portal/model cannot be fetched from the hub: .*the same command goes on"),
        ("short", r"short/model cannot be fetched from the hub: .*the same command goes on"),
    ],
)
def test_each_answer_has_its_sentence(mode: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library waits between tries
    with pytest.raises(InputError, match=sentence):
        fetch_from_hub(f"{mode}/model", None, ["*.json"])


@pytest.mark.parametrize("name", ["models/evo--1", "models/evo1.", "models/evo1-", "models/a..b", "models/x.git"])
def test_a_path_that_no_hub_id_can_be_is_no_hub_id(name: str) -> None:
    assert not is_hub_id(name) and is_hub_id("models/evo-1.5_8k")
    with pytest.raises(SettingsError, match="there is no such folder"):
        load_network(name)
