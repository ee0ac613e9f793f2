"""A program that uses libstapsdt's Python binding from PyPI, as in the binding's documentation."""

import sys

from stapsdt import ArgTypes, Provider

provider = Provider("shop")
sold = provider.add_probe("sold", ArgTypes.uint64, ArgTypes.uint64, ArgTypes.int32)
provider.load()
print("ready", flush=True)
for line in sys.stdin:
    if line == "enabled\n":
        print(f"{int(sold.is_enabled)} done", flush=True)
    else:
        for number in range(1, int(line) + 1):
            sold.fire(f"item {number}", number, -number)
        print("done", flush=True)
provider.unload()
