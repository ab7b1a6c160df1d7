"""The pod that makes a RayJob and waits, against an API server that is a dictionary behind HTTP."""

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.infra.manifests import INFRA

spec = importlib.util.spec_from_file_location("run_rayjob", INFRA / "kuberay/run_rayjob.py")
run_rayjob = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_rayjob)

RAYJOB = {
    "apiVersion": "ray.io/v1",
    "kind": "RayJob",
    "metadata": {"name": "x", "labels": {"app": "raygen"}},
    "spec": {},
}
DONE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}


def failed(code):
    message = (
        f"Job entrypoint command failed with exit code {code}, last available logs (truncated to 20,000 chars):\n..."
    )
    return {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": message}


class ApiServer:
    """Keeps RayJobs; each GET of one moves it along the statuses that were planned for it."""

    def __init__(self):
        self.jobs, self.planned, self.created, self.refuse, self.away = {}, {}, [], None, 0

    def answer(self, method, path, body):
        if self.away:
            self.away -= 1
            return 503, {}
        if method == "POST":
            if self.refuse:
                return self.refuse, {"message": "forbidden: rayjobs"}
            name = body["metadata"]["name"]
            if name in self.jobs:
                return 409, {}
            self.jobs[name] = body
            self.created.append(body)
            return 201, body
        name = path.rpartition("/")[2]
        if name not in self.jobs:
            return 404, {}
        statuses = self.planned.get(name, [])
        if statuses:
            self.jobs[name] = {**self.jobs[name], "status": statuses.pop(0)}
        return 200, self.jobs[name]


@pytest.fixture
def api(tmp_path):
    server = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            assert self.headers["Authorization"] == "Bearer a-token"
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            code, content = server.answer(self.command, self.path, body)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_GET = do_POST = _answer

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    (tmp_path / "token").write_text("a-token\n")
    (tmp_path / "namespace").write_text("genomes")
    server.cluster = run_rayjob.Cluster(f"http://127.0.0.1:{http.server_port}", tmp_path)
    yield server
    http.shutdown()
    thread.join()
    http.server_close()


def run(api):
    return run_rayjob.run(api.cluster, RAYJOB, ("night-1", "uid-1"), 0.0)


@pytest.mark.parametrize(("end", "code"), [(DONE, 0), (failed(2), 2), (failed(3), 3), (failed(4), 4), (failed(137), 4)])
def test_a_job_is_made_waited_for_and_its_exit_code_returned(api, end, code):
    api.planned["night-1"] = [{}, {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, end]
    assert run(api) == code
    (made,) = api.created
    assert made["metadata"]["labels"] == {"app": "raygen"}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


def test_a_pod_that_takes_anothers_place_waits_for_the_job_that_is_there(api):
    api.jobs["night-1"] = RAYJOB
    api.planned["night-1"] = [{"jobDeploymentStatus": "Running"}, DONE]
    assert run(api) == 0
    assert api.created == []


def test_a_job_that_can_be_resumed_is_followed_by_the_next(api):
    api.jobs["night-1"] = {**RAYJOB, "status": failed(4)}
    api.planned["night-1-1"] = [DONE]
    assert run(api) == 0
    assert [made["metadata"]["name"] for made in api.created] == ["night-1-1"]


@pytest.mark.parametrize("code", [2, 3])
def test_a_job_that_cannot_be_resumed_is_not_made_again(api, code):
    api.jobs["night-1"] = {**RAYJOB, "status": failed(code)}
    assert run(api) == code
    assert api.created == []


def test_a_cluster_that_failed_before_raygen_ran_can_be_resumed(api):
    api.planned["night-1"] = [{"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}]
    assert run(api) == 4


def test_an_api_server_that_is_away_for_a_while_is_asked_again(api):
    api.away = 5
    api.planned["night-1"] = [DONE]
    assert run(api) == 0


def test_what_the_api_server_refuses_is_said(api):
    api.refuse = 403
    with pytest.raises(SystemExit, match=r"refuses the RayJob \(403\).*forbidden"):
        run(api)


def test_a_job_that_was_deleted_can_be_resumed(api):
    api.planned["night-1"] = [{"jobDeploymentStatus": "Running"}]
    original = api.answer

    def answer(method, path, body):
        found = original(method, path, body)
        if method == "GET" and not api.planned["night-1"]:
            api.jobs.clear()
        return found

    api.answer = answer
    assert run(api) == 4
