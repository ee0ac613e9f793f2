"""Starts the programs of the recipes, and runs their commands as docs/recipes.md prints them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from conditions import wait_until
from java_target import (
    JAR,
    JCOLLECT,
    NATIVE_ACCESS_WARNINGS_SINCE,
    NOBODY,
    Jdk,
    Process,
    end_bpftrace,
    probes_of,
    run,
    states_of,
)
from recipes.recipe import Recipe, Run, Started

STARTING_SECONDS = 90.0
WORKING_SECONDS = 120.0
# Programs with small heaps start faster, and fit into a small machine.
JVM_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


SHORT = re.compile(r"(sudo )?(jcollect (select|unselect|set|status|reset|probes|find|diff)|cat|head)\b")
ENDS_ON_ITS_OWN = "jcollect run|--duration|--max-events"
LIBRARY = "/tmp/jprobe-PID-RANDOM/N.so"


def jvm_options(jdk: Jdk) -> list[str]:
    if jdk.version < NATIVE_ACCESS_WARNINGS_SINCE:
        return []
    return ["--enable-native-access=ALL-UNNAMED"]


def figures_of(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", text)}


class JavaProgram:
    """A program that reads commands from stdin: see common/Commands.java."""

    def __init__(self, jdk: Jdk, class_path: str, folder: Path, main: str, *arguments: Path) -> None:
        options = [*JVM_OPTIONS, *jvm_options(jdk), f"-Djava.io.tmpdir={folder}"]
        self._process = Process([jdk.java, *options, "-cp", class_path, main, *arguments])
        self.pid = self._process.pid
        classes, _, libraries = class_path.partition(":")
        self.replacements = {
            "/srv/app": str(folder),
            "app/": f"{classes}/",
            "libs/": libraries.removesuffix("*"),
        }
        try:
            self._process.wait_for_line("ready", STARTING_SECONDS)
        except BaseException:
            self.close()
            raise

    def load(self, command: str) -> dict[str, int]:
        self._process.send(command)
        return figures_of(self._process.wait_for_line("done ", WORKING_SECONDS))

    def close(self) -> None:
        """Lets the program exit normally, so that its agent removes its files."""
        self._process.finish_input()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait()
        self._process.end()


def java_program(main: str) -> Callable[[Jdk, str, Path], Started]:
    """Returns the function that starts a program with this main class."""
    return lambda jdk, class_path, folder: JavaProgram(jdk, class_path, folder, main)


def run_recipe(recipe: Recipe, program: Started, jdk: Jdk, folder: Path) -> Run:
    """Runs the commands of a recipe in order. The program works while the last one runs that does not end on
    its own. Commands in the background end last.
    """
    result = Run()
    started: list[Process] = []
    main = [command for command in recipe.commands if not is_short(command)][-1]
    try:
        for command in recipe.commands:
            process = Process(arguments_of(command, program, jdk), cwd=folder)
            started.append(process)
            if "jcollect run" in command:
                # The programs of the recipes run until the end of their input.
                process.finish_input()
            if is_short(command):
                assert process.wait(WORKING_SECONDS) == 0, merged(process)
                continue
            wait_until_ready(process, command, program)
            if command is main:
                result.figures = program.load(recipe.load) if recipe.load else {}
                end(process, command)
        for command, process in zip(recipe.commands, started, strict=True):
            if command.endswith("&"):
                end(process, command)
        result.output = [merged(process) for process in started]
    finally:
        for process in reversed(started):
            process.end()
    return result


def is_short(command: str) -> bool:
    """Returns true for a command that ends on its own before the program works."""
    return bool(SHORT.match(command))


def arguments_of(command: str, program: Started, jdk: Jdk) -> list[str]:
    """Returns the words of a command, with this run's values for placeholders."""
    words = shlex.split(command.removesuffix("&").replace("\\\n", " "))
    values = {"PID": str(program.pid), **program.replacements}
    if LIBRARY in command:
        values[LIBRARY] = library_of(program.pid)
    names = re.compile("|".join(sorted(map(re.escape, values), key=len, reverse=True)))
    words = [names.sub(lambda match: values[match[0]], word) for word in words]
    if words[0] == "sudo" and os.geteuid() == 0:
        words = words[1:] if "SUDO_UID" in os.environ else without_sudo(words[1:])
    programs = {"jcollect": [str(JCOLLECT)], "java": [jdk.java, *jvm_options(jdk)]}
    return [part for word in words for part in programs.get(word, [word])]


def without_sudo(words: list[str]) -> list[str]:
    """Returns the words of a command of root, who has not called sudo: `jcollect run` is told for which user
    the program runs.
    """
    if words[:2] != ["jcollect", "run"]:
        return words
    reads_checkout = run(*NOBODY, "test", "-r", JAR).returncode == 0
    return ["jcollect", "run", "--user", "nobody" if reads_checkout else "root", *words[2:]]


def as_in_page(line: str, program: Started) -> str:
    """Returns a line of output with the page's names for this run's process and folders."""
    line = re.sub(rf"\b{program.pid}\b", "PID", line) if program.pid else line
    for name, value in program.replacements.items():
        line = line.replace(value, name) if value.startswith("/") else line
    return line


def library_of(pid: int) -> str:
    """Returns the path of the stub library of the newest probes."""
    return str(probes_of(pid)[-1]["file"])


def wait_until_ready(process: Process, command: str, program: Started) -> None:
    """Waits until a tracer is attached. `jcollect run` does that itself."""
    if "jcollect run" in command:
        return
    if "--select" in command or re.search("jcollect (attach|jvm)", command):
        process.wait_for_line("armed [1-9]", WORKING_SECONDS)
    elif re.search("jcollect (observe|top --events)", command):
        wait_until(lambda: "subscriber: " in run(JCOLLECT, "status", program.pid).stdout, "a subscriber")
    elif "bpftrace" in command:
        wait_until(lambda: states_of(program.pid)["armed"], "bpftrace to attach")


def end(process: Process, command: str) -> None:
    """Ends a command as a user does, with Ctrl-C, unless it ends on its own."""
    if "bpftrace" in command:
        end_bpftrace(process)
        return
    if "jcollect" in command and not re.search(ENDS_ON_ITS_OWN, command):
        process.signal(signal.SIGINT)
    code = process.wait(WORKING_SECONDS)
    assert code == 0, f"{command} has ended with exit code {code}: {merged(process)}"


def merged(process: Process) -> list[str]:
    """Returns the output as a terminal shows it: what jcollect reports at its start, events, and the end."""
    start = max((i for i, line in enumerate(process.err) if re.search(r"\barmed ", line)), default=-1) + 1
    return [*process.err[:start], *process.out, *process.err[start:]]
