"""Create a RayJob and wait for it: python run_rayjob.py rayjob.yaml [--entrypoint COMMAND]

For a pod of a Kubernetes Job (environment: JOB_NAME, JOB_UID). Ends with the exit code of raygen: 0 done, 2 settings, 3 input,
4 stopped and can be resumed, 70 a fault of raygen; 4 too where the cluster failed before raygen could say anything.

The RayJob is named after the Job, so a pod that takes another's place finds it and waits for it. Only one that ended with 4 is
followed by the next, NAME-1 and so on, which goes on from what is committed. It belongs to the Job: deleting that deletes it.
SIGTERM ends the waiting, not the run. Standard library and PyYAML only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

RESUMABLE = 4
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc"


class Cluster:
    """The few calls to the API server that are needed."""

    def __init__(self, api: str = API, account: Path = ACCOUNT) -> None:
        namespace = (account / "namespace").read_text().strip()
        self._url = f"{api}/apis/ray.io/v1/namespaces/{namespace}/rayjobs"
        self._account = account
        certificate = account / "ca.crt"
        self._tls = ssl.create_default_context(cafile=str(certificate)) if certificate.exists() else None

    def get(self, name: str) -> dict[str, Any] | None:
        """A RayJob, or None where there is none of this name."""
        try:
            return self._ask("GET", f"{self._url}/{name}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def create(self, rayjob: dict[str, Any]) -> None:
        self._ask("POST", self._url, json.dumps(rayjob).encode())

    def _ask(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        token = (self._account / "token").read_text().strip()  # it is renewed now and then
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
            return json.load(answer)


def run(cluster: Cluster, rayjob: dict[str, Any], owner: tuple[str, str], seconds_between: float) -> int:
    """Wait for the newest RayJob of this owner (name and uid of a Job); make one where none is at work."""
    name, uid = owner
    number = 0
    while True:
        own = name if number == 0 else f"{name}-{number}"
        found = ask_again(lambda own=own: cluster.get(own), seconds_between)
        if found is None:
            create(cluster, rayjob, own, name, uid)
            print(f"created RayJob {own}", flush=True)
            return wait(cluster, own, seconds_between)
        code = exit_code(found)
        if code is None:
            print(f"RayJob {own} is at work already", flush=True)
            return wait(cluster, own, seconds_between)
        if code != RESUMABLE:
            return say_end(own, found, code)
        number += 1


def create(cluster: Cluster, rayjob: dict[str, Any], name: str, owner: str, uid: str) -> None:
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": uid, "controller": False}
    metadata = {**rayjob["metadata"], "name": name, "ownerReferences": [reference]}
    try:
        cluster.create({**rayjob, "metadata": metadata})
    except urllib.error.HTTPError as error:
        if error.code == 409:  # made by a pod whose answer was lost
            return
        said = error.read().decode(errors="replace")
        sys.exit(f"error: the API server refuses the RayJob ({error.code}): {said}")


def wait(cluster: Cluster, name: str, seconds_between: float) -> int:
    before = None
    while True:
        found = ask_again(lambda: cluster.get(name), seconds_between)
        if found is None:
            print(f"error: RayJob {name} was deleted", file=sys.stderr)
            return RESUMABLE
        code = exit_code(found)
        if code is not None:
            return say_end(name, found, code)
        status = found.get("status", {})
        now = f"{status.get('jobDeploymentStatus') or 'New'} {status.get('jobStatus') or ''}".strip()
        if now != before:
            print(f"RayJob {name}: {now}", flush=True)
            before = now
        time.sleep(seconds_between)


def exit_code(rayjob: dict[str, Any]) -> int | None:
    """Of a finished RayJob; None while it is at work.

    Ray says it in words: "Job entrypoint command failed with exit code 3, ...".
    """
    status = rayjob.get("status", {})
    if status.get("jobDeploymentStatus") not in ("Complete", "Failed"):
        return None
    if status.get("jobStatus") == "SUCCEEDED":
        return 0
    said = re.search(r"failed with exit code (\d+)", status.get("message") or "")
    code = int(said[1]) if said else RESUMABLE
    return code if code in (2, 3, RESUMABLE) else RESUMABLE


def say_end(name: str, rayjob: dict[str, Any], code: int) -> int:
    status = rayjob.get("status", {})
    reason = status.get("reason") or status.get("jobStatus") or ""
    print(f"RayJob {name} ended: {reason}, exit code {code}", flush=True)
    return code


def ask_again(ask: Any, seconds_between: float, tries: int = 20) -> Any:
    """An API server may be away for a while; a run of hours is not given up for that."""
    for left in reversed(range(tries)):
        try:
            return ask()
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403)
            if refused or not left:
                sys.exit(f"error: the API server does not answer: {error}")
            time.sleep(seconds_between)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--entrypoint", help="in place of the manifest's")
    parser.add_argument("--seconds-between", type=float, default=15)
    args = parser.parse_args()
    rayjob = yaml.safe_load(args.manifest.read_text())
    if args.entrypoint:
        rayjob["spec"]["entrypoint"] = args.entrypoint
    return run(Cluster(), rayjob, (os.environ["JOB_NAME"], os.environ["JOB_UID"]), args.seconds_between)


if __name__ == "__main__":
    sys.exit(main())
