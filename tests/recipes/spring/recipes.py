"""Recipes for a web application: Spring Boot with its Tomcat and Logback."""

from __future__ import annotations

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program


def check_slow_requests(run: Run) -> None:
    # On a busy machine, other requests may be slow too.
    reports = [event for event in run.events if event.captures["path"].startswith("/reports/")]
    assert len(reports) == run.figures["reports"] == 11
    for event in reports:
        assert event.captures["status"] == ("204" if event.captures["path"] == "/reports/none" else "200")
    assert all(event.number("ns") > 50_000_000 for event in run.events)
    assert run.hits["hits"] == 21 * 11


def check_exceptions(run: Run) -> None:
    assert run.hits["hits"] == run.figures["payments"] == 101
    assert len(run.events) == run.figures["declined"] == 10
    messages = [event.captures["why"] for event in run.events]
    assert messages == [f"card {card} was declined" for card in range(7, 101, 10)]


def check_endpoints(run: Run) -> None:
    assert any("Shop#order" in line for line in run.lines)
    assert run.hits["delivered"] == run.hits["hits"] == 2 * 21 * run.figures["reports"]


def check_log_messages(run: Run) -> None:
    own = [event for event in run.events if event.captures["logger"] == "shop.Shop"]
    assert len(own) == run.figures["declined"] == 3
    assert [event.captures["message"] for event in own] == [f"card {n} was declined" for n in (7, 17, 27)]


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
                "(path=arg0.getDecodedRequestURI(), status=arg1.getStatus(), ns=arg2) when arg2 > 50_000_000'",
            ),
            load="reports 11",
            shows=(("^armed", "path=.*status=200", "path=.*status=204", "^detached"),),
            reading="Tomcat calls `logAccess` once for each request, after the answer, with the time in ns. The status "
            "is therefore the final one, also after an error. Faster requests are counted as filtered, and fire "
            "nothing.",
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
            "exception, its message and the thread; the 91 calls that returned are filtered.",
            check=check_exceptions,
        ),
        Recipe(
            question="Which endpoints are called how often, and how fast are they?",
            commands=(
                "sudo jcollect attach PID --select '@org.springframework.web.bind.annotation.GetMapping' &",
                "sudo jcollect top PID --duration 4",
            ),
            load="reports 13",
            shows=(("^armed",), ("CALLS/S", "Shop#order", "Shop#report", "received")),
            reading="One line per endpoint: calls per second, median, 99th percentile, and the number of exceptions.",
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
    ),
)
