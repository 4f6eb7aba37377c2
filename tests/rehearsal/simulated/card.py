"""Which card is simulated: what torch and NVML say of it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

# (multiprocessors, shared memory a block may take): NVIDIA's CUDA C++ programming guide, and the cards' data sheets.
_KNOWN = {
    (8, 0): (108, 166912),  # A100
    (8, 6): (82, 101376),  # 3090
    (8, 9): (128, 101376),  # 4090
    (9, 0): (132, 232448),  # H100
    (12, 0): (170, 101376),  # 5090
}


@dataclass(frozen=True)
class Card:
    """A card by its compute capability, with so much memory in bytes."""

    capability: tuple[int, int]
    total: int

    @classmethod
    def named(cls, text: str) -> Card:
        """From text such as `8.9/24`: compute capability, GiB."""
        capability, _, gib = text.partition("/")
        major, minor = map(int, capability.split("."))
        return cls((major, minor), int(gib) << 30)

    @property
    def name(self) -> str:
        return f"Simulated GPU {self.capability[0]}.{self.capability[1]}"

    @property
    def free(self) -> int:
        """Bytes; the driver and a desktop have the rest."""
        return self.total - (1 << 30)

    @property
    def properties(self) -> SimpleNamespace:
        """As torch.cuda.get_device_properties tells them."""
        multiprocessors, shared = _KNOWN[self.capability]
        return SimpleNamespace(
            name=self.name,
            major=self.capability[0],
            minor=self.capability[1],
            total_memory=self.total,
            multi_processor_count=multiprocessors,
            shared_memory_per_block_optin=shared,
            shared_memory_per_block=49152,
            max_threads_per_multi_processor=2048,
            regs_per_multiprocessor=65536,
            warp_size=32,
            L2_cache_size=50 << 20,
            gcnArchName="",
            uuid="GPU-0",
            is_integrated=0,
        )
