"""Recipes for a web application: Spring Boot with its Tomcat and Logback."""

from __future__ import annotations

import re

from recipes.recipe import Program, Recipe, Run, to_number
from recipes.running import java_program

PATTERN = "org.springframework.web.servlet.HandlerMapping.bestMatchingPattern"


def check_slow_requests(run: Run) -> None:
    # On a busy machine, other requests may be slow too.
    reports = [event for event in run.events if event.captures["path"].startswith("/reports/")]
    assert len(reports) == run.figures["reports"] == 11
    for event in reports:
        assert event.captures["status"] == ("204" if event.captures["path"] == "/reports/none" else "200")
        assert event.captures["endpoint"] == "/reports/{name}"
    assert all(event.number("ns") > 50_000_000 for event in run.events)
    assert run.hits["hits"] == run.figures["requestCount"] == 21 * 11


def check_exceptions(run: Run) -> None:
    assert run.hits["hits"] == run.figures["requestCount"] == 101
    assert len(run.events) == run.figures["errorCount"] == run.figures["declined"] == 10
    messages = [event.captures["why"] for event in run.events]
    assert messages == [f"card {card} was declined" for card in range(7, 101, 10)]


def check_endpoints(run: Run) -> None:
    lines = run.lines[next(i for i, line in enumerate(run.lines) if line.startswith("totals ")) :]
    rows = [re.fullmatch(r" *([\d,]+) .* (\S+#\S+)", line) for line in lines]
    calls = {row[2]: to_number(row[1]) for row in rows if row}
    reports = run.figures["reports"]
    assert calls == {"shop.Shop#order": 20 * reports, "shop.Shop#report": reports}
    assert sum(calls.values()) == run.figures["requestCount"]


def check_log_messages(run: Run) -> None:
    own = [event for event in run.events if event.captures["logger"] == "shop.Shop"]
    assert len(own) == run.figures["declined"] == 3
    assert [event.captures["message"] for event in own] == [f"card {n} was declined" for n in (7, 17, 27)]


def check_slow_report(run: Run) -> None:
    final = run.lines[next(i for i, line in enumerate(run.lines) if line.startswith("the 3 slowest calls")) :]
    assert final[0] == f"the 3 slowest calls of {run.figures['reports']}:"
    blocks = [line for line in final if re.match(r"[123]\. 1\d\dms  shop\.Shop#report", line)]
    assert len(blocks) == 3
    # The report sleeps for 120 ms.
    assert sum("120ms blocked or asleep" in line for line in final) >= 2, final
    assert any("at shop.Shop.report(Shop.java:" in line for line in final)


def check_tree(run: Run) -> None:
    roots = [line for line in run.lines if "DispatcherServlet#doDispatch" in line]
    reports = [line for line in run.lines if "shop.Shop#report" in line]
    assert len(roots) == len(reports) == run.figures["reports"] == 5
    # All orders are faster than --min.
    assert not any("shop.Shop#order" in line for line in run.lines)


def check_callers(run: Run) -> None:
    folded = [line for line in run.output[1] if re.search(r";shop\.Shop\.order \d+$", line)]
    assert sum(int(line.split()[-1]) for line in folded) == 20 * run.figures["reports"] == 60


def check_split(run: Run) -> None:
    assert len(run.events) == run.hits["delivered"] == run.figures["requestCount"] == 21 * 3
    reports = [event for event in run.events if event.method == "report" and "on CPU" in event.rest]
    assert reports
    # A report sleeps.
    for event in reports:
        off = re.search(r"off CPU ([\d.]+)ms", event.rest)
        assert off is not None
        assert float(off[1]) > 0.8 * event.nanos / 1e6, event.rest


def check_difference(run: Run) -> None:
    compared = run.output[1]
    calls = sum(to_number(match[1]) for line in compared[:2] if (match := re.search(r"([\d,]+) calls", line)))
    assert calls == run.figures["requestCount"] == 21 * 11
    report = compared[next(i for i, line in enumerate(compared) if "shop.Shop#report" in line) :]
    median = next(line for line in report if re.match(r" +median ", line))
    assert all(110 < float(value) < 200 for value in re.findall(r"([\d.]+)ms", median)[:2]), median


def check_exception_counts(run: Run) -> None:
    rows = [line for line in run.lines if "card N was declined" in line]
    (row,) = [line for line in rows if re.match(r" *\d+ ", line)]
    assert int(row.split()[0]) == run.figures["errorCount"] == run.figures["declined"] == 10
    assert any("in shop.Shop#pay" in line for line in run.lines)


def check_compilations(run: Run) -> None:
    compiled = [line for line in run.lines if re.search(r" compile +[\d.]+(us|ms)  C1 \S+#", line)]
    counted = next(re.search(r"compile: ([\d,]+) event", line) for line in run.lines if "compile: " in line)
    assert counted is not None
    assert len(compiled) == to_number(counted[1]) >= 1


def check_start(run: Run) -> None:
    beans = next(int(line.removeprefix("beans=")) for line in run.lines if line.startswith("beans="))
    assert run.hits["hits"] == beans > 100
    assert len(run.events) == run.hits["delivered"] >= 1
    assert all(event.nanos > 20e6 for event in run.events)


PROGRAM = Program(
    name="spring",
    title="A web application: Spring Boot 3.5",
    introduction="A Spring Boot application with three endpoints; the reports need 120 ms.",
    start=java_program("shop.Shop"),
    recipes=(
        Recipe(
            question="Which requests are slow, and what did they answer?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__entry' --select \\\n"
                "    'org.apache.catalina.core.StandardEngine#logAccess"
                "(path=arg0.getDecodedRequestURI(), status=arg1.getStatus(), ns=arg2, "
                f'endpoint=arg0.attributes.get("{PATTERN}")) when arg2 > 50_000_000\'',
            ),
            load="reports 11",
            shows=(("^armed", "path=.*status=200", "path=.*status=204", "^detached"),),
            reading="Tomcat calls `logAccess` once for each request, after the answer, with the time in ns. The status "
            "is therefore the final one, also after an error. Spring stores the path of the mapping in an attribute of "
            "the request: `.get(…)` reads it from the map. Faster requests are counted as filtered, and fire nothing. "
            "The number of hits equals Tomcat's own `requestCount`.",
            check=check_slow_requests,
        ),
        Recipe(
            question="Why are the slowest requests slow?",
            commands=("sudo jcollect slow PID -n 3 --select 'shop.Shop#report' --over 50ms",),
            load="reports 11",
            shows=(
                ("^armed", "^the 3 slowest", "^1\\. ", "name = ", "of 1", "at shop.Shop.report", "^detached"),
            ),
            reading="`slow` prints each call that takes more than 50 ms when it ends, and the slowest three at the end: the "
            "arguments, where the time went, and who called. The thread slept, as `report` does for 120 ms: it did not wait "
            "for a CPU, and the JVM was not paused. The number of calls equals the program's own.",
            check=check_slow_report,
        ),
        Recipe(
            question="What do slow requests spend their time in?",
            commands=(
                "sudo jcollect tree PID --min 50ms --select \\\n"
                "    'org.springframework.web.servlet.DispatcherServlet#doDispatch;shop.Shop#*;"
                "org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerAdapter#handleInternal'",
            ),
            load="reports 5",
            shows=(("^armed", "doDispatch", "handleInternal", "shop.Shop#report", "trees of"),),
            reading="Each request is a tree of the selected methods. The asterisks lead down the slowest path, to the method "
            "with the time in SELF. Requests that take less than 50 ms are left out.",
            check=check_tree,
        ),
        Recipe(
            question="Who calls a method, as a flame graph?",
            commands=(
                "sudo jcollect flame PID --weight count -o orders.folded --select 'shop.Shop#order'",
                "cat orders.folded",
            ),
            load="reports 3",
            shows=(("^armed", "^wrote", "^detached"), ("shop.Shop.order [0-9]",)),
            reading="`flame` captures the stack of each call, and describes each different one once. `-o orders.html` writes a "
            "page for the browser instead; without `--weight count`, the width of a frame is the time of its calls. The "
            "counts of the folded stacks add up to the number of requests.",
            check=check_callers,
        ),
        Recipe(
            question="Does a request compute, or wait?",
            commands=(
                "sudo jcollect attach PID -o compact --explain cpu --probe '*__return' --select \\\n"
                "    '@org.springframework.web.bind.annotation.GetMapping'",
            ),
            load="reports 3",
            shows=(("^armed", "report return .* on CPU", "order return .* on CPU", "^detached"),),
            reading="Each line has the duration of the request, and how long its thread ran on a CPU, waited for one (run "
            "queue), or was blocked (off CPU). The reports sleep nearly all of their time, and the orders compute.",
            check=check_split,
        ),
        Recipe(
            question="What has changed between two times?",
            commands=(
                "sudo jcollect record PID -w calls.jprec --select '@org.springframework.web.bind.annotation.GetMapping'",
                "jcollect diff calls.jprec@..+600ms calls.jprec@+600ms..",
            ),
            load="reports 11",
            shows=(("^armed", "^recorded"), ("^A: ", "^B: ", "shop.Shop#report", "mean", "median")),
            reading="`diff` compares two recordings, or two parts of one, method by method. It says how certain each change is: "
            "here, the reports need as long as before, and the intervals contain 0.",
            check=check_difference,
        ),
        Recipe(
            question="Which exceptions are thrown how often, and where?",
            commands=(
                "sudo jcollect exceptions PID --fold-digits --select \\\n"
                "    '@org.springframework.web.bind.annotation.RestController#*'",
            ),
            load="payments 101",
            shows=(
                (
                    "^armed",
                    "COUNT",
                    "card N was declined",
                    "in shop.Shop#pay",
                    "at shop.Shop.pay",
                    "^detached",
                ),
            ),
            reading="One row per class and message. With `--fold-digits`, messages that differ only in their numbers count as "
            "one. Only throw probes are attached to, so calls that return cost nothing. The count equals Tomcat's own "
            "`errorCount`.",
            check=check_exception_counts,
        ),
        Recipe(
            question="What does the JVM compile while it serves?",
            commands=("sudo jcollect jvm PID --events compile,gc,safepoint",),
            load="reports 5",
            shows=(("^armed", " compile ", " compile ", "^compile: ", "^detached"),),
            reading="The events come from HotSpot's own probes: no agent is loaded, and no method is selected. Pauses would be "
            "listed as well. The JVM of the recipes has only the compiler C1.",
            check=check_compilations,
        ),
        Recipe(
            question="Which exceptions leave the controllers, with which message?",
            commands=(
                "sudo jcollect attach PID -o compact --select \\\n"
                "    '@org.springframework.web.bind.annotation.RestController#*(thread.name, why=exception.message)"
                " when exception != null'",
            ),
            load="payments 101",
            shows=(("^armed", "throw", "throw", "^detached"),),
            reading="The selector matches all methods of the classes with the annotation. Each line has the "
            "exception, its message and the thread; the 91 calls that returned are filtered. The number of events equals "
            "Tomcat's own `errorCount`.",
            check=check_exceptions,
        ),
        Recipe(
            question="Which endpoints are called how often, and how fast are they?",
            commands=(
                "sudo jcollect top PID --sort total --select '@org.springframework.web.bind.annotation.GetMapping'",
            ),
            load="reports 13",
            shows=(("^armed", "^totals", "CALLS", "Shop#report", "Shop#order", "^2 methods"),),
            reading="`top` refreshes the table every second, and prints the totals at the end. One line per endpoint: the "
            "sum, mean, median, 99th percentile and maximum of the times, and the number of exceptions. `--sort total` "
            "begins with the endpoint that needs the most time. The calls add up to Tomcat's own `requestCount`.",
            check=check_endpoints,
        ),
        Recipe(
            question="What does the application log, and from which thread?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__entry' --select \\\n"
                "    'ch.qos.logback.classic.Logger#callAppenders"
                "(logger=this.name, level=arg0.getLevel().levelStr, thread.name, message=arg0.getFormattedMessage())'",
            ),
            load="payments 30",
            shows=(("^armed", 'shop.Shop"', "Servlet.service", "^detached"),),
            reading="Logback calls `callAppenders` for each message that its level lets pass. The error of "
            "`[dispatcherServlet]` is Tomcat's own message about the same exception.",
            check=check_log_messages,
        ),
        Recipe(
            question="Which beans make the start slow?",
            commands=(
                "sudo jcollect run -o compact --events beans.txt --probe '*__return' --select \\\n"
                "    'org.springframework.beans.factory.support.AbstractAutowireCapableBeanFactory"
                "#createBean(String,RootBeanDefinition,Object[])(bean=arg0) when duration > 20ms' \\\n"
                "    -- java -cp 'app/:libs/*' shop.Shop",
                "cat beans.txt",
            ),
            shows=(("armed", "^beans=", "detached"), ("createBean", "createBean")),
            reading="`jcollect run` traces a program from its first instruction on. The time of a bean contains that of the "
            "beans that it needs. The number of hits equals the number of beans with a `spring.beans.instantiate` step "
            "in Spring's own startup metrics, which this program prints.",
            check=check_start,
        ),
    ),
)
