"""A Kafka broker in KRaft mode on loopback, its metrics, and the performance tools as its load."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from java_target import Jdk, run
from recipes.running import JVM_OPTIONS, WORKING_SECONDS, JavaProgram, jvm_options

RECORDS = 20_011
CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={folder}/logs
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""
CLUSTER = "AAAAAAAAAAAAAAAAAAAAAA"


class Broker(JavaProgram):
    """A broker, which serves until it is closed."""

    def __init__(self, jdk: Jdk, class_path: str, folder: Path) -> None:
        port, controller = free_ports(2)
        self._tool = [jdk.java, *JVM_OPTIONS, *jvm_options(jdk), "-cp", class_path]
        self._address = f"127.0.0.1:{port}"
        configuration = folder / "server.properties"
        configuration.write_text(CONFIGURATION.format(port=port, controller=controller, folder=folder))
        self.run_tool("kafka.tools.StorageTool",
                      "format", "--cluster-id", CLUSTER, "--config", configuration)  # fmt: skip
        super().__init__(jdk, class_path, folder, "Server", configuration)
        self.replacements["localhost:9092"] = self._address
        try:
            # Waits until the broker serves.
            self.load("produce 11")
        except BaseException:
            self.close()
            raise

    def run_tool(self, *arguments: str | Path) -> str:
        done = run(*self._tool, *arguments, timeout=WORKING_SECONDS)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return str(done.stdout)

    def load(self, command: str) -> dict[str, int]:
        """Produces or consumes records. Returns how many the tool reports, and by how much the broker's own
        metrics have grown.
        """
        action, count = command.split()
        before = super().load("metrics 0")
        if action == "consume" and before["messagesIn"] < int(count):
            # This recipe runs without the ones before it.
            self._produce(count)
        reported = self._produce(count) if action == "produce" else self._consume(count)
        after = super().load("metrics 0")
        return reported | {name: after[name] - before[name] for name in after}

    def _produce(self, count: str) -> dict[str, int]:
        output = self.run_tool(
            "org.apache.kafka.tools.ProducerPerformance", "--topic", "orders", "--record-size", "100",
            "--num-records", count, "--throughput", "-1",
            "--producer-props", f"bootstrap.servers={self._address}", "client.id=recipes",
        )  # fmt: skip
        found = re.findall(r"^(\d+) records sent, .*99.9th", output, re.MULTILINE)
        assert found, output
        return {"sent": int(found[-1])}

    def _consume(self, count: str) -> dict[str, int]:
        output = self.run_tool(
            "org.apache.kafka.tools.ConsumerPerformance", "--topic", "orders", "--messages", count,
            "--bootstrap-server", self._address,
        )  # fmt: skip
        found = re.findall(r"^20\d\d-.*", output, re.MULTILINE)
        assert found, output
        return {"consumed": int(found[-1].split(", ")[4])}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_broker(jdk: Jdk, class_path: str, folder: Path) -> Broker:
    return Broker(jdk, class_path, folder)
