"""In place of a Kubernetes API server: checks what is posted against the API's schema, and runs it.

No pod, no image and no volume: a job's command runs here, in an empty folder like the one that its
container would start in.
"""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kubernetes_validate

# Kinds that the client leaves out of what it posts; the address says them.
KINDS = {"secrets": ("v1", "Secret"), "jobs": ("batch/v1", "Job")}


class Api:
    """The server; a context manager. `jobs` and `problems` fill up while it is used."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.jobs: dict[str, dict] = {}
        self.problems: list[str] = []
        self.processes: dict[str, subprocess.Popen] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, body: dict) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(api.posted(self.path.rsplit("/", 1)[-1], body))

            def do_GET(self):
                self.answer(api.asked(self.path))

            def do_DELETE(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> "Api":
        self.folder.mkdir(parents=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
        for process in self.processes.values():
            process.kill()
            process.wait()

    def client(self) -> Path:
        """A kubeconfig that leads here."""
        server = {"server": f"http://127.0.0.1:{self.server.server_port}"}
        path = self.folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "here",
                    "clusters": [{"name": "here", "cluster": server}],
                    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                    "users": [{"name": "me", "user": {}}],
                }
            )
        )
        return path

    def posted(self, resource: str, body: dict) -> dict:
        """Check a new resource; start it if it is a job."""
        version, kind = KINDS[resource]
        body = {"apiVersion": version, "kind": kind} | body
        problems = against_schema(body)
        if kind == "Job":
            problems += beyond_schema(body)
            name = body["metadata"]["name"]
            self.jobs[name] = body
            if not problems:
                self.processes[name] = self.start(name, body)
        self.problems += problems
        return body

    def start(self, name: str, job: dict) -> subprocess.Popen:
        """Run the command of a job's container."""
        (container,) = job["spec"]["template"]["spec"]["containers"]
        workdir = self.folder / name
        workdir.mkdir()
        with open(workdir / "log", "w") as log:
            return subprocess.Popen(
                [*container["command"], *container["args"]], cwd=workdir, stdout=log, stderr=log
            )

    def asked(self, path: str) -> dict:
        """State of a job, or pods (there are none)."""
        if "/pods" in path:
            return {"kind": "PodList", "apiVersion": "v1", "items": []}
        name = path.split("/jobs/")[1].split("/")[0]
        code = self.processes[name].poll() if name in self.processes else 1
        status = {} if code is None else {"failed" if code else "succeeded": 1}
        return self.jobs[name] | {"status": status}

    def logs(self) -> str:
        """The ends of what jobs printed."""
        return "\n".join(path.read_text()[-1500:] for path in self.folder.glob("*/log"))


def against_schema(body: dict) -> list[str]:
    """What the API's schema says against a resource: unknown fields count as well."""
    version = kubernetes_validate.latest_version()
    try:
        kubernetes_validate.validate(body, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{body['kind']}: {error}"]
    return []


def beyond_schema(job: dict) -> list[str]:
    """What the API server refuses although the schema allows it."""
    problems = []
    for container in job["spec"]["template"]["spec"]["containers"]:
        resources = container["resources"]
        requests, limits = resources.get("requests", {}), resources.get("limits", {})
        for name, wanted in requests.items():
            # Extended resources (with a domain in their name) cannot be overcommitted.
            if "/" in name and limits.get(name) != wanted:
                problems.append(f"{name}: requested {wanted}, but its limit is {limits.get(name)}")
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        if len(set(paths)) != len(paths):
            problems.append(f"volumeMounts: a path is mounted twice: {paths}")
        volumes = {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        problems += [f"volumeMounts: no volume {name}" for name in sorted(mounted - volumes)]
    return problems
