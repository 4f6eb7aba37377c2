"""The rehearsal: zotui's engine and vLLM's own CUDA code, run on a simulated card.

    python -m tests.rehearsal [--venvs DIR] [--quick] [--only PATTERN] [--case N] [--json FILE]

It makes what it needs: a virtual environment for each version of vLLM (9 GB and minutes each, kept in DIR), a stub of
NVIDIA's driver, tiny models. Each case is a process; its losses are those of the conventional loop on the CPU, its
kernels and its waits are counted and held to a budget. `simulated/` is the card; what it cannot show is listed in
`engine/BENCHMARKS.md`. The exit code is 1 if anything is wrong.
"""
