"""Each mistake of a user ends with one clear sentence and a non-zero exit code, without a traceback."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from collector_fixtures import JCOLLECT, RETURN_FILTERED, Bench

from conditions import require_bpf
from jcollect.layout.gate import GATE_EVERY, GATE_LEAST_DURATION, GATE_LIMIT
from jcollect.layout.stub_library import STUB_LIBRARY_VERSION
from jcollect.rpc.address import parse_address
from jcollect.rpc.client import Client
from jprobe.v1.manifest_pb2 import Untraceable
from stub_image import ABSENT, BOOLEAN, ENTRY, LONG, RETURN, STRING, Method, StubImage, captured

PLACE = Method("com.acme.Orders", "place", (LONG, STRING), BOOLEAN, "(JLjava/lang/String;)Z")


def refused(result: subprocess.CompletedProcess[str], code: int = 1) -> str:
    assert result.returncode == code, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("jcollect: ")
    return line.removeprefix("jcollect: ")


@pytest.mark.parametrize("verb", ["attach", "probes"])
def test_a_pid_that_is_not_there(bench: Bench, verb: str) -> None:
    assert refused(bench.run(verb, 4_000_000)) == (
        "there is no process with PID 4000000; jcollect ps lists the processes"
    )


@pytest.mark.parametrize("verb", ["attach", "probes"])
def test_a_pid_that_is_no_jvm(bench: Bench, verb: str) -> None:
    if verb == "attach":
        require_bpf()
    message = refused(bench.run(verb, os.getpid()))
    assert message.removesuffix("; add --wait to wait for probes").endswith(
        "is not a JVM: it has no libjvm.so mapped, and no user-defined probes; "
        "give the PID of a java process, or of a program that defines its own probes"
    )
    assert message.endswith("--wait to wait for probes") == (verb == "attach")


def test_a_jvm_without_the_agent(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det", name="something.so")
    assert refused(bench.run("probes", target.pid)) == (
        f"PID {target.pid} (target) is a JVM without the jprobe agent; "
        "attach to it with --select, give it probes with jcollect select, or start it with "
        "java -javaagent:jprobe.jar"
    )


def test_an_agent_whose_selectors_have_matched_nothing(bench: Bench) -> None:
    target = bench.target(
        StubImage([], generation=0, selectors=["org.h2.**#*", "a.B#c"]), "", name="jprobe-1/0.so"
    )
    message = refused(bench.run("probes", target.pid))
    assert message.startswith(
        f"PID {target.pid} has the jprobe agent but no probes: "
        "'org.h2.**#*', 'a.B#c' trace no method of the classes loaded so far"
    )


REFUSAL = "the selectors match 70,001 methods, and the limit is 65,536; name fewer\x1b[2J"


@pytest.mark.parametrize("verb", ["attach", "probes"])
def test_an_agent_that_has_rejected_all_selected_methods(bench: Bench, verb: str) -> None:
    if verb == "attach":
        require_bpf()
    target = bench.target(StubImage([], generation=0, refusal=REFUSAL), "", name="jprobe-1/0.so")
    assert refused(bench.run(verb, target.pid)) == (
        f"PID {target.pid} traces nothing: "
        "the selectors match 70,001 methods, and the limit is 65,536; name fewer\\x1b[2J"
    )


@pytest.mark.parametrize(("generation", "is_refused"), [(2, True), (0, False)])
def test_the_newest_library_determines_if_a_refusal_still_applies(
    bench: Bench, generation: int, is_refused: bool
) -> None:
    other = bench.directory / "jprobe-1" / f"{generation}.so"
    other.parent.mkdir()
    other.write_bytes(StubImage([], generation=generation, refusal="too many").build())
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    target.map(other)
    result = bench.run("probes", target.pid)
    if is_refused:
        assert refused(result) == f"PID {target.pid} traces nothing: too many"
    else:
        assert len(result.stdout.splitlines()) == 4


UNTRACEABLE = [
    Untraceable(
        class_name="com.acme.Orders",
        class_loader_id=1,
        method="\x1b[2J",
        method_descriptor="()V",
        reason="it is abstract",
    ),
    Untraceable(class_name="com.acme.Hidden/0x1", reason="hidden classes cannot be\nwoven"),
]


def test_untraceable_methods_are_listed_on_demand(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE], untraceable=UNTRACEABLE), "nst", "d1t", "det")
    plain = bench.run("probes", target.pid)
    assert "TRACEABLE" not in plain.stdout
    result = bench.run("probes", target.pid, "--all")
    assert result.returncode == 0
    assert result.stdout.startswith(plain.stdout)
    assert result.stdout.removeprefix(plain.stdout).splitlines() == [
        "",
        "NOT TRACEABLE               REASON",
        "com.acme.Hidden/0x1         hidden classes cannot be\\nwoven",
        "com.acme.Orders#\\x1b[2J()V  it is abstract",
    ]
    assert result.stderr == "3 probes of 1 method; 2 selected but not traceable\n"
    usual = json.loads(bench.run("probes", target.pid, "--json").stdout)
    everything = json.loads(bench.run("probes", target.pid, "--json", "--all").stdout)
    assert everything[:3] == usual
    assert everything[3:] == [
        {
            "class": "com.acme.Hidden/0x1",
            "class_loader": 0,
            "traceable": False,
            "reason": "hidden classes cannot be\nwoven",
        },
        {
            "class": "com.acme.Orders",
            "class_loader": 1,
            "method": "\x1b[2J",
            "descriptor": "()V",
            "traceable": False,
            "reason": "it is abstract",
        },
    ]


def test_untraceable_methods_are_filtered_like_probes(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE], untraceable=UNTRACEABLE), "nst", "d1t", "det")

    def listed(glob: str) -> list[str]:
        output = bench.run("probes", target.pid, "--all", "--json", "--probe", glob).stdout
        return [each["class"] + "#" + each.get("method", "") for each in json.loads(output)]

    assert listed("com.acme.Hidden*") == ["com.acme.Hidden/0x1#"]
    assert listed("com.acme.Orders#*J") == ["com.acme.Orders#\x1b[2J"]
    assert listed("*__return") == ["com.acme.Orders#place"]
    assert listed("com.acme.Orders") == ["com.acme.Orders#place"] * 3 + ["com.acme.Orders#\x1b[2J"]
    message = refused(bench.run("probes", target.pid, "--all", "--probe", "nope"))
    assert message.startswith("--probe 'nope' matches none of the 3 probes")


@pytest.mark.parametrize("refusal", ["", "too many"])
def test_untraceable_methods_are_listed_even_if_no_method_is_traceable(bench: Bench, refusal: str) -> None:
    image = StubImage([], generation=0, selectors=["a.B#c"], untraceable=UNTRACEABLE, refusal=refusal)
    target = bench.target(image, "", name="jprobe-1/0.so")
    result = bench.run("probes", target.pid, "--all")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 3
    unmatched = "has the jprobe agent but no probes: 'a.B#c' traces no method of the classes loaded so far"
    reason = f"traces nothing: {refusal}" if refusal else unmatched
    assert result.stderr.startswith(f"PID {target.pid} {reason}")
    assert refused(bench.run("probes", target.pid))


def test_a_glob_that_matches_nothing(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    assert refused(bench.run("probes", target.pid, "--probe", "nope")) == (
        f"--probe 'nope' matches none of the 3 probes of PID {target.pid}; one of them is "
        "com_acme_Orders:place__entry, of com.acme.Orders#place"
    )


def test_no_privileges(bench: Bench) -> None:
    require_bpf()
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    result = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", JCOLLECT, "attach", str(target.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused(result) == (
        f"cannot attach to PID {target.pid}: needs CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; this root lacks "
        "it, as in a container; run jcollect on the host, or add the capability"
    )


def test_a_broken_stub_library_is_skipped_with_a_warning(bench: Bench) -> None:
    content = StubImage([PLACE], version=1).build()
    target = bench.target(content, "nst", "d1t", "det")
    result = bench.run("probes", target.pid)
    assert result.returncode == 1
    warning, error = result.stderr.splitlines()
    assert warning.startswith("jcollect: warning: skipping the stub library ")
    assert warning.endswith(f"its layout has version 1, and this jcollect reads {STUB_LIBRARY_VERSION}")
    assert error.startswith("jcollect: cannot read any stub library of PID")


def test_a_file_for_the_hit_counts_that_cannot_be_written(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    refused = bench.run("attach", target.pid, "--counts", "/nowhere/counts.json")
    assert refused.returncode == 1
    assert refused.stderr == (
        "jcollect: cannot write the hit counts to /nowhere/counts.json: "
        "/nowhere does not exist, or is not writable\n"
    )
    assert target.semaphores() == 0


def test_a_listen_address_in_use(bench: Bench) -> None:
    require_bpf()
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    bench.attach(target)
    address = f"unix:///run/jprobe/{target.pid}.sock"
    message = refused(bench.run("attach", target.pid, "--listen", address))
    assert message.startswith(f"cannot listen at {address}: the address is in use")
    other = bench.attach(target, "--insecure", "--listen", "127.0.0.1:0")
    address = other.status().split("serving ")[1]
    message = refused(bench.run("attach", target.pid, "--insecure", "--listen", address))
    assert message.startswith(f"cannot listen at {address}: the address is in use")
    assert target.semaphores() == 3


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("127.0.0.1:0", "any user of this machine"),
        ("[::1]:0", "any user of this machine"),
        ("localhost:0", "any user of this machine"),
        ("0.0.0.0:0", "any user of a machine that can reach it"),
    ],
)
def test_a_listen_address_that_others_can_connect_to(bench: Bench, address: str, who: str) -> None:
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    message = refused(bench.run("attach", target.pid, "--listen", address), 2)
    assert message == (
        f"cannot listen at {address}: {who} could connect over TCP and read what the probes capture; "
        "use a Unix socket, as in unix:///run/jprobe/NAME.sock, which only its owner can use, add "
        "--tls-cert, --tls-key and --tls-client-ca, or add --insecure"
    )
    assert target.semaphores() == 0


def test_an_invalid_listen_address(bench: Bench) -> None:
    assert "'nonsense' is not an address" in refused(bench.run("attach", 1, "--listen", "nonsense"), 2)


@pytest.mark.parametrize("verb", ["observe", "top"])
def test_no_collector_listens(bench: Bench, verb: str) -> None:
    address = f"unix://{bench.directory}/none.sock"
    assert refused(bench.run(verb, address)) == (
        f"no collector listens at {address}; start one with jcollect attach"
    )


def test_an_observer_whose_glob_matches_nothing(bench: Bench) -> None:
    require_bpf()
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    bench.attach(target)
    message = refused(bench.run("observe", target.pid, "--probe", "nope"))
    assert message.startswith("no probe of this collector matches nope at unix:///")
    assert message.endswith("; list them with jcollect probes PID")
    for verb in ("observe", "top"):
        near = refused(bench.run(verb, target.pid, "--probe", "place_entry"))
        assert near.endswith("; did you mean place__entry?"), near


def test_an_option_that_is_not_there(bench: Bench) -> None:
    message = refused(bench.run("attach", 1, "--frobnicate"), code=2)
    assert message.startswith("No such option")
    assert message.endswith("; see jcollect attach --help")


def test_probes_are_listed_for_people_and_for_programs(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    library = bench.directory / "jprobe-1" / "1.so"
    listed = json.loads(bench.run("probes", target.pid, "--json").stdout)
    assert [probe["name"] for probe in listed] == ["place__entry", "place__return", "place__throw"]
    first = listed[0]
    assert first.pop("location") > 0
    assert first.pop("semaphore") > 65536
    assert first == {
        "provider": "com_acme_Orders",
        "name": "place__entry",
        "kind": "entry",
        "class": "com.acme.Orders",
        "class_loader": 1,
        "method": "place",
        "descriptor": "(JLjava/lang/String;)Z",
        "selector": "com.acme.**#*",
        "values": [
            {"name": "arg0", "type": "long"},
            {"name": "arg1", "type": "java.lang.String"},
        ],
        "file": str(library),
        "semaphore_count": 0,
        "state": "dormant",
        "filtered": 0,
        "throttled": 0,
        "throttled_ns": 0,
    }
    table = bench.run("probes", target.pid, "--probe", "*__return").stdout.splitlines()
    assert len(table) == 2
    assert table[1].startswith("com_acme_Orders:place__return  dormant  0 ")
    assert table[1].endswith("com.acme.Orders#place(JLjava/lang/String;)Z boolean return")


def test_conditions_and_captured_paths_are_listed_with_the_filtered_calls(bench: Bench) -> None:
    asked = (captured("city", STRING), ABSENT)
    methods = [
        Method("a.B", "m", (LONG,), kinds=(ENTRY, RETURN), captures=asked, condition="when duration > 5ms"),
        Method("a.B", "v", kinds=(RETURN,), condition="every 100"),
    ]
    target = bench.target(StubImage(methods), "sat", "dsat", "d0t")
    target.hold(0, RETURN_FILTERED, 13)
    target.hold(1, RETURN_FILTERED, 17)
    listed = json.loads(bench.run("probes", target.pid, "--json").stdout)
    assert [probe["condition"] for probe in listed] == ["when duration > 5ms"] * 2 + ["every 100"]
    assert [probe["filtered"] for probe in listed] == [0, 13, 17]
    assert listed[1]["values"] == [
        {"name": "city", "type": "java.lang.String", "path": "arg0.city"},
        {"name": "absent", "type": "int"},
    ]
    table = bench.run("probes", target.pid).stdout.splitlines()
    assert table[2].endswith("  a.B#m()V java.lang.String city, int absent when duration > 5ms")
    assert table[3].endswith("  a.B#v()V every 100")


def test_a_filtering_gate_is_listed_with_its_current_settings(bench: Bench) -> None:
    methods = [Method("a.B", name, (LONG,), kinds=(ENTRY,), condition="every 7") for name in ("set", "open")]
    target = bench.target(StubImage(methods), "nt", "nt")
    for offset, number in ((GATE_LEAST_DURATION, 20_000_001), (GATE_EVERY, 100), (GATE_LIMIT, 20)):
        target.hold(0, offset, number)
    target.hold(1, GATE_EVERY, 1)
    table = bench.run("probes", target.pid).stdout.splitlines()
    assert table[1].endswith("a.B#set()V long arg0 every 7 [now: duration > 20ms every 100 at most 20/s]")
    assert table[2].endswith("a.B#open()V long arg0 every 7")
    listed = json.loads(bench.run("probes", target.pid, "--json").stdout)
    assert "per_second" not in listed[1]
    names = ("least_duration_ns", "every", "per_second")
    gates = [tuple(each.get(name, 0) for name in names) for each in listed]
    assert gates == [(20_000_001, 100, 20), (0, 1, 0)]
    require_bpf()
    bench.attach(target)
    served = Client(parse_address(str(target.pid))).list_probes()
    assert [(each.least_duration_nanos, each.every, each.per_second) for each in served] == gates


def test_probes_in_a_deleted_file_are_found(bench: Bench) -> None:
    target = bench.target(StubImage([PLACE]), "nst", "d1t", "det")
    (bench.directory / "jprobe-1" / "1.so").unlink()
    require_bpf()
    listed = json.loads(bench.run("probes", target.pid, "--json").stdout)
    assert len(listed) == 3
    assert listed[0]["file"].startswith(f"/proc/{target.pid}/map_files/")


def test_version_and_help(bench: Bench) -> None:
    assert bench.run("--version").stdout == "jcollect, version 0.1.0\n"
    text = bench.run("--help").stdout
    for verb in ("attach", "observe", "probes", "top"):
        assert f"  {verb} " in text
