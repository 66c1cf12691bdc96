// @holdfast/queue/file: a journal in a file for the memory store.
export { JournalDamagedError, JournalFailedError, JournalLockedError } from "./errors.ts";
export type { FileJournalOptions } from "./file-journal.ts";
export { FILE_JOURNAL_DEFAULTS, fileJournal } from "./file-journal.ts";
