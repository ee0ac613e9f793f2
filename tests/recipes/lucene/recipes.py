"""Recipes for a search engine: Lucene."""

from __future__ import annotations

from recipes.recipe import Program, Recipe, Run
from recipes.running import java_program


def check_documents(run: Run) -> None:
    assert run.hits["hits"] == run.figures["maxDoc"] == 2003
    assert run.hits["lost"] == 0
    assert len(run.events) == run.hits["delivered"]
    # 20 flushes, of which a few may need less than 1 ms.
    assert sum(event.captures["buffered"] == "99" for event in run.events) > 10
    assert sorted(run.events, key=lambda event: event.number("sequence")) == sorted(
        run.events, key=lambda event: event.number("id")
    )


def check_queries(run: Run) -> None:
    assert run.hits["hits"] == len(run.events) == run.figures["searches"] == 104
    assert sum(event.number("hits") for event in run.events) == run.figures["hits"]
    assert sum(event.captures["query"] == "text:w*" for event in run.events) == 3


def check_files(run: Run) -> None:
    commits = [event for event in run.events if "pending_segments" in event.captures["file"]]
    assert len(commits) == run.figures["commits"] == 7
    assert run.hits["hits"] == run.hits["delivered"] > len(commits)


PROGRAM = Program(
    name="lucene",
    title="A search engine: Lucene 9.12",
    introduction="An index on disk that is flushed every 100 documents.",
    start=java_program("Search"),
    recipes=(
        Recipe(
            question="Which documents are slow to index?",
            commands=(
                "sudo jcollect attach PID -o compact --select \\\n"
                "    'org.apache.lucene.index.IndexWriter#addDocument(sequence=return, buffered=this.numRamDocs(), "
                "id=((org.apache.lucene.document.Field) ((org.apache.lucene.document.Document) arg0).fields[0])"
                ".fieldsData) when duration > 1ms'",
            ),
            load="index 2003",
            shows=(("^armed", "buffered=99", "buffered=99", "^detached"),),
            reading="`buffered` is the number of documents in memory when the call begins: the slow calls with 99 flush a "
            "segment. Other calls are slow while the JVM has not compiled their code. `id` is the first field of "
            "the document, whose class the casts name, because `addDocument` accepts any `Iterable`. The number of "
            "hits equals the growth of `maxDoc`.",
            check=check_documents,
        ),
        Recipe(
            question="Which queries run, how long, and with how many hits?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'org.apache.lucene.search.IndexSearcher#search(Query,int)"
                "(query=arg0.toString(), hits=return.totalHits.value)'",
            ),
            load="search 101",
            shows=(("^armed", r"w\*", "text:w1", "text:w2", "^detached"),),
            reading="`toString()` of a query is its text. Every call of it takes time in the program, so add `at most "
            "20/s` if there are many queries. The numbers of queries and hits equal those of the program.",
            check=check_queries,
        ),
        Recipe(
            question="Which files does a commit write to disk, and how long does each take?",
            commands=(
                "sudo jcollect attach PID -o compact --probe '*__return' --select \\\n"
                "    'org.apache.lucene.util.IOUtils#fsync(Path,boolean)(file=arg0.toString(), folder=arg1)'",
            ),
            load="commits 7",
            shows=(("^armed", "fsync", "fsync", "pending_segments", "^detached"),),
            reading="Each line is one `fsync`. The file `pending_segments…` ends a commit, so the number of "
            "such lines equals the number of commits.",
            check=check_files,
        ),
    ),
)
