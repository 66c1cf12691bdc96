// What a failure on a device says about the device: nothing, that its memory is full, or that it is sick.
import { ModelFailedError } from "../errors.ts";

/**
 * - `item`: the request's own fault; the device is well.
 * - `out-of-memory`: the batch was too large for what is free.
 * - `restart`: the worker's state is broken, such as a CUDA context after an illegal access: every later call fails too.
 * - `quarantine`: the device itself is broken: a new worker would fail as well.
 */
export type FailureKind = "item" | "out-of-memory" | "restart" | "quarantine";

/** By NVIDIA's catalogue of Xid errors: what is left to do after each. Others are left to the application. */
const XIDS: Readonly<Record<number, FailureKind>> = {
  8: "restart", // GPU stopped processing
  13: "restart", // graphics engine exception
  31: "restart", // memory page fault
  41: "restart",
  43: "restart", // GPU stopped processing
  45: "restart", // preemptive cleanup
  94: "restart", // contained ECC error
  46: "quarantine", // drain and reset
  48: "quarantine", // double-bit ECC error
  62: "quarantine", // micro-controller halt
  63: "quarantine", // row remapping pending
  64: "quarantine", // row remapping failed
  74: "quarantine", // NVLink error
  79: "quarantine", // fallen off the bus
  95: "quarantine", // uncontained ECC error
  119: "quarantine", // GSP timeout
  120: "quarantine",
};

const QUARANTINE =
  /fallen off the bus|uncorrectable ecc|GPU is lost|no CUDA-capable device|device unavailable/i;
const OUT_OF_MEMORY =
  /out of memory|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED|\bOOM\b/i;
const RESTART =
  /illegal memory access|device-side assert|unspecified launch failure|misaligned address|illegal instruction|invalid program counter|launch timed out|CUBLAS_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED)|CUDNN_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR)|context is destroyed|HIP error/i;

/**
 * How what CUDA, HIP, the driver and the frameworks above them say begins, after the names of errors if any. A message
 * that only contains such words may quote somebody: `cannot read "CUDA error"`.
 */
const RUNTIME =
  /^(?:[\w.]*(?:Error|Exception)\s*:\s*)*(?:\[ONNXRuntimeError\]|Non-zero status code returned|Allocation on device|(?:an? |the )?(?:illegal memory|illegal instruction|misaligned address|launch timed out)|device-side assert|unspecified launch|no CUDA-capable|uncorrectable|out of memory|OOM when|RESOURCE_EXHAUSTED|CU(?:DA|BLAS|DNN)|HIP|ROCm|NCCL|NVML|NVRM|Xid|GPU |ggml_)/i;

/**
 * Classifies a failure by what it says: the message of the error, its `code`, and those of its causes. A message counts
 * if it begins as those of a GPU's runtime do: give a runtime's error on as it is, or as the `cause` of your own. What a
 * server answers with a status of 500 and more counts wherever it stands, and one of 400 to 499 never: it is about the
 * request, and may quote it.
 *
 * @example
 * ```ts
 * import { classifyFailure } from "@holdfast/gpu-pool";
 *
 * classifyFailure(new Error("CUDA error: an illegal memory access was encountered")); // => "restart"
 * classifyFailure(new Error("NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus")); // => "quarantine"
 * classifyFailure(new Error("CUDA out of memory. Tried to allocate 2.00 GiB")); // => "out-of-memory"
 * classifyFailure(new Error("the picture is not a PNG")); // => "item"
 * classifyFailure(new Error("no such colour: CUDA error")); // => "item"
 * ```
 */
export function classifyFailure(error: Error): FailureKind {
  const status = error instanceof ModelFailedError ? /^HTTP_(\d)\d\d$/.exec(error.reason)?.[1] : undefined;
  if (status === "4") return "item";
  const said = textOf(error, status === "5");
  const xid = /\bXid\b\s*(?:\([^)]*\))?\s*:?\s*(\d+)/i.exec(said)?.[1];
  if (xid !== undefined) return XIDS[Number(xid)] ?? "item";
  if (QUARANTINE.test(said)) return "quarantine";
  if (OUT_OF_MEMORY.test(said)) return "out-of-memory";
  return RESTART.test(said) ? "restart" : "item";
}

/**
 * Of an error and its causes, at most four deep: a chain may lead back to itself.
 *
 * @param isAll - Whether messages count however they begin.
 */
function textOf(error: Error, isAll: boolean): string {
  const parts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < 4 && current instanceof Error; depth += 1) {
    const { code } = current as { readonly code?: unknown };
    if (isAll || RUNTIME.test(current.message)) parts.push(current.message);
    if (typeof code === "string") parts.push(code);
    current = current.cause;
  }
  return parts.join(" ");
}
