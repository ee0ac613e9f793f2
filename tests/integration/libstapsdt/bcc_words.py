"""Traces a probe with bcc until stdin ends, then prints the words of each call, identified by the last.

Arguments: PID, provider:probe, and the sizes of the probe's arguments as in its note: 8 -4 1.
"""

import os
import platform
import sys

from bcc import BPF, USDT

from jcollect.sources.bpf.compilation import bpf_directory

pid, probe, *sizes = sys.argv[1:]
types = [f"{'' if size.startswith('-') else 'u'}int{8 * abs(int(size))}_t" for size in sizes]
reads = "".join(
    f"{name} a{i} = 0; bpf_usdt_readarg({i + 1}, ctx, &a{i}); call.words[{i}] = a{i};\n"
    for i, name in enumerate(types)
)
PROGRAM = f"""
#include <uapi/linux/ptrace.h>
#include <linux/types.h>
struct call {{ s64 words[{len(sizes)}]; }};
BPF_HASH(calls, s64, struct call);
int on_probe(struct pt_regs *ctx)
{{
    struct call call = {{}};
    {reads}
    calls.update(&call.words[{len(sizes) - 1}], &call);
    return 0;
}}
"""
# Definitions that bcc's own text includes from kernel headers, which may not be installed.
FLAGS = [
    f"-DJPROBE_{platform.machine().upper()}",
    "-D__always_inline=inline __attribute__((always_inline))",
    *(f"-Dint{8 * size}_t=__s{8 * size}" for size in (1, 2, 4, 8)),
    *(f"-Duint{8 * size}_t=__u{8 * size}" for size in (1, 2, 4, 8)),
    "-Wno-macro-redefined",
]
usdt = USDT(pid=int(pid))
usdt.enable_probe(probe, "on_probe")
os.environ["BCC_KERNEL_SOURCE"] = str(bpf_directory())
module = BPF(text=PROGRAM, usdt_contexts=[usdt], cflags=FLAGS)
print("attached", flush=True)
sys.stdin.read()
for call in module["calls"].values():
    print("call", *call.words)
