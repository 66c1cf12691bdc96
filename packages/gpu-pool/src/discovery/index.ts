// @holdfast/gpu-pool/discovery: what this machine has to run models on.
export { cpuDevices } from "./cpu.ts";
export { nvidiaDevices, nvidiaFreeMemory, readNvidiaSmi } from "./nvidia.ts";
export type { NvidiaDevice, NvidiaDevicesOptions } from "./nvidia.ts";
