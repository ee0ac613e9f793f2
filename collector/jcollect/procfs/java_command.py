"""The main class in the command line of the java launcher, as jps -l names it.

Which options take the next word as their argument: src/java.base/share/native/libjli/java.c of the JDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

_CLASS_PATH = frozenset(("-cp", "-classpath", "--class-path"))
_WITH_ARGUMENT = _CLASS_PATH | frozenset(
    (
        "-p",
        "--module-path",
        "--upgrade-module-path",
        "--add-modules",
        "--enable-native-access",
        "--limit-modules",
        "--add-exports",
        "--add-opens",
        "--add-reads",
        "--patch-module",
        "--source",
    )
)
_MAIN = frozenset(("-jar", "-m", "--module"))
_MAX_WORDS = 1 << 14
_NO_ARGUMENT_FILES = "--disable-@files"


def main_class(words: Iterable[str], read_argument_file: Callable[[str], str]) -> str:
    """Returns what the launcher starts: a class, the path of a jar, or module/class; "" if unknown.

    `words` are those after "java". `read_argument_file` returns the content of an @file, or raises OSError.
    """
    every = _expanded(words, read_argument_file)
    for word in every:
        if word in _MAIN:
            return next(every, "")
        if word in _WITH_ARGUMENT:
            next(every, "")
        elif word.startswith("--module="):
            return word.removeprefix("--module=")
        elif not word.startswith("-"):
            return word
    return ""


def _expanded(words: Iterable[str], read: Callable[[str], str]) -> Iterator[str]:
    """Yields the words, with @files replaced by their words. Like java, does not open @files in @files."""
    takes_files = True
    for word, _ in zip(words, range(_MAX_WORDS), strict=False):
        takes_files &= word != _NO_ARGUMENT_FILES
        if not takes_files or not word.startswith("@"):
            yield word
        elif word.startswith("@@"):
            yield word[1:]
        else:
            try:
                yield from words_of(read(word[1:]))
            except OSError:
                yield word


def words_of(text: str) -> Iterator[str]:
    """Returns the words of an argument file: https://docs.oracle.com/en/java/javase/17/docs/specs/man/java.html,
    "java Command-Line Argument Files"."""
    word, quote, begun = "", "", False
    characters = iter(text)
    for character in characters:
        if character in "\r\n" or (not quote and character.isspace()):
            if begun:
                yield word
            word, quote, begun = "", "", False
        elif quote and character == "\\":
            word += _escaped(next(characters, ""), characters)
        elif character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote, begun = character, True
        elif not quote and not begun and character == "#":
            # To the end of the line.
            next((each for each in characters if each in "\r\n"), "")
        else:
            word, begun = word + character, True
    if begun:
        yield word


def _escaped(character: str, following: Iterator[str]) -> str:
    if character in "\r\n":
        # The word continues in the next line, after the indentation.
        return next((each for each in following if not each.isspace()), "")
    return {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}.get(character, character)
