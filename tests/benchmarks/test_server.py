"""A server of a benchmark ends with the benchmark."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""
BENCHMARK = """
import sys, time
from pathlib import Path
from _server import answering
with answering([sys.executable, "-c", sys.argv[1], sys.argv[2]], int(sys.argv[2]), Path(sys.argv[3])) as url:
    print(url, flush=True)
    time.sleep(60)
"""


def test_a_benchmark_that_is_told_to_stop_leaves_no_server_behind(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", BENCHMARK, SERVER, str(port), str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=BENCHMARKS, stdout=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stdout is not None
        assert benchmark.stdout.readline() == f"http://127.0.0.1:{port}/v1\n"
        benchmark.send_signal(signal.SIGTERM)
        assert benchmark.wait(20) == 143
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
