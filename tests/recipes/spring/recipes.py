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
