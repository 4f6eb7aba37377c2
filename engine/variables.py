"""Which environment variables zotui sets, drops or leaves alone for the libraries under it, and why.

A variable that was set for another program, such as a server on the same machine, changes nothing of what zotui
decided: numbers, sizes, the files that are read, processes, ports, which code computes. What a run shall do otherwise,
its preset says. The user's stay the limits and places of the machine (threads, memory of allocators, caches, mirrors,
offline), what is only logged, and which GPUs are seen.

`VLLM_*` is turned round: all of the user's are dropped but those that are named here. vLLM reads more than three
hundred, each release some others (0.26 to 0.33: 340), nearly all for servers; a list of those that matter would be out
of date with the next. The same goes for the switches of torch's compiler, of Triton and of TunableOp, whose families
are of that kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

FORCED: Mapping[str, str] = {
    # Nothing phones home.
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # or `datasets` tells the hub what it reads
    # No code comes from elsewhere: kernels that transformers would fetch, plugins that change vLLM.
    "USE_HUB_KERNELS": "0",
    "VLLM_PLUGINS": "",
    # The worker lives in this process: no port is opened, and a call costs a function call.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # No pickle that could run code is loaded, neither as weights nor as a message.
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "0",
    # The packed path is written against the V1 model runner, which every release up to 0.33 takes by this, whatever
    # the model. `engine.runtimes.vllm.support` says so where a release has none.
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    # Nothing is drawn at random from logits here, and FlashInfer compiles its sampler with nvcc at the start.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    # vLLM would replace an unset value by a thread count of its own.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # The two losses of a probe differ in digits that TF32 does not have.
    "VLLM_FLOAT32_MATMUL_PRECISION": "highest",
    # CUDA counts GPUs as NVML and nvidia-smi do, so that `cuda:1` is what they call 1.
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}

DROPPED = frozenset(
    {
        # Coarser numbers than those that are asked for.
        "NVIDIA_TF32_OVERRIDE",  # cuBLAS takes TF32 by it, whatever torch asks for
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "ONEDNN_DEFAULT_FPMATH_MODE",  # on the CPU, products of float32 in bfloat16
        "DNNL_DEFAULT_FPMATH_MODE",
        # Other kernels, or other room for them: other last bits, in another shell.
        "CUBLAS_WORKSPACE_CONFIG",
        "CUBLASLT_WORKSPACE_SIZE",
        "DISABLE_ADDMM_CUDA_LT",
        "DISABLE_LLVM_OPT",
        "DISABLE_PTXAS_OPT",
        "PTXAS_OPTIONS",
        "TORCH_BLAS_PREFER_CUBLASLT",
        "TORCH_CUBLASLT_UNIFIED_WORKSPACE",
        "TORCH_CUDNN_SDPA_DEPRIORITIZED",
        "TORCH_LINALG_PREFER_CUSOLVER",
        "TORCH_LINEAR_FLATTEN_3D",
        "TORCH_MKLDNN_MATMUL_MIN_DIM",
        "TORCH_MKLDNN_MATMUL_MIN_SIZE",
        # Which of its code a library runs on the CPU, whatever the processor has: other sums, other last bits, and in
        # a resumed run others than before.
        "ATEN_CPU_CAPABILITY",
        "ONEDNN_MAX_CPU_ISA",
        "DNNL_MAX_CPU_ISA",
        "MKL_ENABLE_INSTRUCTIONS",
        "MKL_CBWR",
        "PYTORCH_NO_CUDA_MEMORY_CACHING",  # no pass could be recorded
        "TORCH_COMPILE_DISABLE",  # on the CPU TORCHDYNAMO_DISABLE does the same; see `prepare_device` for CUDA
        # Whether there is a torch, as a library sees it.
        "USE_TORCH",
        "USE_TF",
        "USE_FLAX",
        "USE_JAX",
        "FORCE_TF_AVAILABLE",
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",  # torch refuses to have both
        # One of several processes: left by torchrun or a batch system, in whose job this is started.
        "RANK",
        "LOCAL_RANK",
        "GROUP_RANK",
        "WORLD_SIZE",
        "LOCAL_WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
        # A server's figures: vLLM's would be written to its folder, or fail where that is gone.
        "PROMETHEUS_MULTIPROC_DIR",
        "prometheus_multiproc_dir",
    }
)

_DROPPED_FAMILIES = (
    "VLLM_",
    "TORCHINDUCTOR_",
    "TORCHDYNAMO_",
    "TRITON_",
    "PYTORCH_TUNABLEOP_",  # another product for a shape, from a file
    "ACCELERATE_",
    "FSDP_",
)

_KEPT = frozenset(
    {
        # Only what torch and Triton log. vLLM's lines are the run's log, which is ours, and a level that it does not
        # know keeps it from loading.
        "TORCHDYNAMO_VERBOSE",
        "TRITON_PRINT_AUTOTUNING",
        # Where things lie on this machine.
        "VLLM_CACHE_ROOT",
        "VLLM_CUDART_SO_PATH",
        "VLLM_NCCL_SO_PATH",
        "VLLM_CUDA_COMPATIBILITY_PATH",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
        "TRITON_HOME",
        "TRITON_CUDACRT_PATH",
        "TRITON_CUDART_PATH",
        "TRITON_LIBCUDA_PATH",
        "TRITON_LIBDEVICE_PATH",
        "TRITON_PTXAS_PATH",
        "TRITON_PTXAS_BLACKWELL_PATH",
        # Without which an installation does not run, or a kernel does not compile; the numbers are the same.
        "VLLM_ENABLE_CUDA_COMPATIBILITY",
        "VLLM_HAS_FLASHINFER_CUBIN",
        "VLLM_LORA_DISABLE_PDL",
        # Of a machine's processors.
        "TORCHINDUCTOR_COMPILE_THREADS",
        "TORCHDYNAMO_DISABLE",  # `prepare_device` sees to it, once the device is known
        "TRITON_F32_DEFAULT",  # likewise
    }
)

# What vLLM sets as it is loaded, which may come from a process before this one: dropped, and not told as the user's. By
# the first of them torch would take a GPU for usable that its driver is too old for.
LEFT_BEHIND: Mapping[str, str] = {
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "TRITON_CACHE_AUTOTUNING": "1",
    "TORCHINDUCTOR_CPP_DYNAMIC_THREADS": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_DISABLE_SHARED_EXPERTS_STREAM": "1",
}

PREFERRED: Mapping[str, str] = {  # where the user's environment says otherwise, it is right
    "TOKENIZERS_PARALLELISM": "false",
    # Progress is told as phases; bars would only fill the log.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Idle OpenMP threads must not spin for long: two cores have other things to do between kernels. Some microseconds
    # save waking them for the next small kernel, of which slots have many.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "20000",
}

_WHY = {
    "VLLM_USE_V2_MODEL_RUNNER": "zotui is written against vLLM's V1 model runner",
    "VLLM_CPU_KVCACHE_SPACE": "KV space is sized to the run",
}


def dropped(name: str) -> bool:
    """Whether the libraries must not see this variable of the user's as it is."""
    return name in DROPPED or (name.startswith(_DROPPED_FAMILIES) and name not in _KEPT)


def told(names: Iterable[str]) -> str:
    """These, which the user has set and does not get, as a line for people; empty if there is none."""
    names = list(names)
    if not names:
        return ""
    why = "".join(f"; {_WHY[name]}" for name in names if name in _WHY)
    return f"not as your environment has it: {', '.join(names)} (engine/variables.py says why){why}"
