"""What fuzz targets begin from: the project's own fixtures, rules, configurations and states.

    python3 tests/fuzz/seeds.py CORPUS
"""

import hashlib
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = pathlib.Path(sys.argv[1])


def put(target: str, content: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{hashlib.sha1(content).hexdigest()[:12]}").write_bytes(content)


def frames(path: pathlib.Path) -> bytes:
    """A file of state as `state::file` takes it: a 1, then each frame's length and payload."""
    data, at, out = path.read_bytes(), 12, b"\x01"
    while at + 8 <= len(data) and len(out) < 60_000:
        (length,) = struct.unpack_from("<I", data, at)
        payload = data[at + 8 : at + 8 + length]
        if length < 65_536:
            out += struct.pack("<H", length) + payload
        at += 8 + length
    return out


# A fixture is worth a try with every decoder that reads its kind of bytes.
DECODERS = [path.stem for path in (ROOT / "tests/fuzz/src/bin").glob("*.rs")]
for path in (ROOT / "crates/wire/tests/fixtures").rglob("*"):
    if path.is_file() and path.suffix not in {".md", ".py"} and path.stat().st_size < 65_536:
        for target in DECODERS:
            kind = "json" if path.suffix in {".json", ".ndjson"} else "proto"
            fits = {
                "alerts": kind == "json" and "alertmanager" in str(path),
                "changes": kind == "json",
                "json_logs": kind == "json",
                "json_metrics": kind == "json",
                "prometheus_kafka_adapter": kind == "json",
                "remote_write_1": kind == "proto",
                "remote_write_2": kind == "proto",
                "packed": kind == "proto",
            }.get(target, target.startswith("otlp") and target.endswith(kind))
            if fits:
                content = path.read_bytes()
                put(target, b"\0" + content if target == "packed" else content)

for path in [*ROOT.glob("rules/**/*.y*ml"), *ROOT.glob("crates/rules/tests/**/*.y*ml")]:
    text = path.read_bytes()
    if len(text) < 65_536:
        put("rules", text)
        put("rule_tests", text)
        for expression in re.findall(rb"expr: (.*)", text):
            put("promql", expression)
            put("logql", expression)
for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S):
    put("config", text.encode())
    put("web_config", text.encode())
for path in [*ROOT.glob("tests/e2e/*.rs"), *ROOT.glob("tests/cli/*.txt")]:
    for text in re.findall(r'"\n((?:[a-z{#-].*\n|  .*\n)+)"', path.read_text()):
        put("config", text.replace("{{", "{").replace("}}", "}").encode())
for text in [
    b"{{ $labels.job }} is {{ $value | humanize }}",
    b'{{ range query "up" }}{{ .Labels.job }}{{ else }}{{ printf "%v" 1 }}{{ end }}',
    b'{{ with $x := 1 }}{{ if gt $x 0.5 }}{{ $x | humanizePercentage }}{{ end }}{{ end }}',
    b'{{ define "a" }}{{ . | toUpper | reReplaceAll "A" "b" }}{{ end }}{{ template "a" "a" }}',
]:
    put("template", text)
for text in [
    b'sum by (job) (rate({app="api"} |= "error" | json | latency > 1s [5m]))',
    b'{app="x"} | logfmt | line_format "{{.msg}}" | pattern "<ip> - <_>" != `a` | unwrap bytes(size)',
]:
    put("logql", text)
put("web_config", b"basic_auth_users:\n  ada: $2b$04$HASH\nread_only: [ada]\n")

STATE = ROOT / "crates/runtime/fixtures/state-0.1.0"
for target, folder in [("signal_log", "signals"), ("journal", "journal"), ("snapshot_file", "snapshots")]:
    for path in (STATE / folder).iterdir():
        if path.suffix in {".log", ".snapshot"}:
            put(target, frames(path))
            put(target, b"\0" + path.read_bytes()[:60_000])
put("outbox", frames(STATE / "outbox/outbox.log"))
