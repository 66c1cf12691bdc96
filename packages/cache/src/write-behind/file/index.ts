// @holdfast/cache/file: a write log in a file, which outlives its process.
export { WriteLogDamagedError, WriteLogLockedError } from "./errors.ts";
export { fileWriteLog } from "./file-log.ts";
export { FILE_WRITE_LOG_DEFAULTS } from "./settings.ts";
export type { FileWriteLogOptions } from "./settings.ts";
