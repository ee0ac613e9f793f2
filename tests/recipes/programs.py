"""The programs of the recipes, in the order of docs/recipes.md."""

from __future__ import annotations

import importlib

NAMES = (
    "spring",
    "tomcat",
    "jetty",
    "hikari",
    "hibernate",
    "kafka",
    "lucene",
    "caffeine",
    "jackson",
    "netty",
    "ecj",
)
PROGRAMS = tuple(importlib.import_module(f"recipes.{name}.recipes").PROGRAM for name in NAMES)
